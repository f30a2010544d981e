//! What a client may cost: time, connections.

use std::time::Duration;

use parpen_nbd::Limits;
use parpen_ring::Backend;

use crate::client::{Client, READ, WRITE, request};
use crate::house::House;

#[test]
fn a_handshake_that_stalls_or_trickles_is_ended_and_an_open_export_is_not() {
    let limits = Limits { patience: Duration::from_millis(300), ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let mut open = Client::open(&house, "disk");
    let (mut silent, mut trickling) = (Client::greet(&house), Client::greet(&house));
    let trickle = std::thread::Builder::new().spawn(move || {
        let mut said = 0;
        for byte in b"IHAVEOPT\0\0\0\x07\0\0\0\xff".iter().chain([0; 200].iter()) {
            if std::io::Write::write_all(&mut trickling.0, &[*byte]).is_err() {
                break;
            }
            said += 1;
            std::thread::park_timeout(Duration::from_millis(10));
        }
        said
    });
    assert!(silent.is_hung_up());
    assert!(trickle.unwrap().join().unwrap() < 100, "a byte now and then kept the handshake open");
    assert_eq!(open.write(0, 0, b"still here"), 0);
}

#[test]
fn a_handshake_may_last_as_long_as_it_goes_on() {
    let limits = Limits { patience: Duration::from_secs(1), ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let mut slow = Client::greet(&house);
    for _ in 0..8 {
        std::thread::park_timeout(Duration::from_millis(150));
        slow.option(12345, b"");
        assert_eq!(slow.option_reply().1, 0x8000_0001);
    }
}

#[test]
fn connections_beyond_the_limit_are_sent_away_and_places_come_free() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let (first, mut second) = (Client::open(&house, "disk"), Client::open(&house, "disk"));
    let mut third = Client(std::os::unix::net::UnixStream::connect(&house.unix).unwrap());
    assert!(third.is_hung_up());
    drop(first);
    while house.server.connection_count() > 1 {
        std::thread::yield_now();
    }
    let mut fourth = Client::open(&house, "disk");
    assert_eq!(fourth.write(0, 0, b"in"), 0);
    assert_eq!(second.read(0, 2), b"in");
}

#[test]
fn a_handshake_of_many_options_ends_too() {
    let limits = Limits { patience: Duration::from_millis(100), ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let mut slow = Client::greet(&house);
    let mut options = 0;
    let option = [&b"IHAVEOPT"[..], &[0, 0, 48, 57, 0, 0, 0, 0]].concat();
    while std::io::Write::write_all(&mut slow.0, &option).is_ok() {
        options += 1;
        assert!(options < 100, "options now and then kept the handshake open");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn one_peer_leaves_seats_for_others() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let _many: Vec<Client> = (0..7).map(|_| Client::open(&house, "disk")).collect();
    let mut eighth = Client(std::os::unix::net::UnixStream::connect(&house.unix).unwrap());
    assert!(eighth.is_hung_up());
    let mut other = std::net::TcpStream::connect(house.tcp).unwrap();
    other.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut greeting = [0; 18];
    std::io::Read::read_exact(&mut other, &mut greeting).unwrap();
    assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
}

/// Memory for one of the largest requests: whoever wants as much has to wait, and small requests do not.
#[test]
fn memory_is_waited_for_and_nobody_keeps_it_for_ever() {
    let limits = Limits { memory: 32 << 20, patience: Duration::from_millis(300), ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let mut stuck = Client::open(&house, "disk");
    // all but the last bytes of a write, and nothing more
    stuck.say(&request(0, WRITE, 1, 0, 32 << 20));
    stuck.say(&[5; 1 << 20]);
    let mut waits = Client::open(&house, "disk");
    waits.request(0, READ, 2, 0, 32 << 20);
    let mut small = Client::open(&house, "disk");
    assert_eq!(small.write(0, 0, b"small requests go on"), 0);
    assert_eq!(waits.reply(), (0, 2));
    assert_eq!(waits.bytes(32 << 20)[..5], *b"small");
    assert!(stuck.is_hung_up());
}

#[test]
fn idle_connections_give_their_memory_back() {
    let limits = Limits { memory: 32 << 20, ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let mut all: Vec<Client> = (0..3).map(|_| Client::open(&house, "disk")).collect();
    let big = vec![9; 32 << 20];
    for _ in 0..2 {
        for c in &mut all {
            assert_eq!(c.write(0, 0, &big), 0);
            assert!(c.read(0, 32 << 20) == big);
        }
    }
}
