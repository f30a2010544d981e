//! What a client may cost: time, connections.

use std::time::Duration;

use parpen_nbd::Limits;
use parpen_ring::Backend;

use crate::client::Client;
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
    let limits = Limits { patience: Duration::from_millis(600), ..Limits::default() };
    let house = House::open_with(Backend::Auto, limits);
    let mut slow = Client::greet(&house);
    for _ in 0..8 {
        std::thread::park_timeout(Duration::from_millis(100));
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
