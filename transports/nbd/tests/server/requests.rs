//! Requests and replies over a real socket, over both backends.

use std::time::Duration;

use parpen_block::{AccessTable, Admits, Rights};

use crate::client::{CACHE, Client, DISCONNECT, FLUSH, FUA, READ, STATUS, TRIM, WRITE, ZERO, request};
use crate::house::SIZE;
use crate::over_both;

#[test]
fn bytes_are_kept_at_any_offset_and_length() {
    over_both(|house| {
        let mut c = Client::open(house, "disk");
        assert_eq!(c.write(0, 4095, b"across a block"), 0);
        assert_eq!(c.write(FUA, 1, b"x"), 0);
        assert_eq!(c.ask(0, FLUSH, 0, 0), 0);
        assert_eq!(c.read(4094, 16), b"\0across a block\0");
        assert_eq!(c.read(0, 3), b"\0x\0");
        assert_eq!(c.read(SIZE - 1, 1), [0]);
        let big: Vec<u8> = (0..32 << 20).map(|n: u32| (n >> 9) as u8 ^ n as u8).collect();
        assert_eq!(c.write(0, 12_345, &big), 0);
        assert!(c.read(12_345, 32 << 20) == big);
    });
}

#[test]
fn trimmed_and_zeroed_ranges_read_as_zeros() {
    over_both(|house| {
        let mut c = Client::open(house, "disk");
        for (kind, flags) in
            [(TRIM, 0), (TRIM, FUA), (ZERO, 0), (ZERO, FUA), (ZERO, 2), (ZERO, 16), (ZERO, 19)]
        {
            assert_eq!(c.write(0, 0, &[7; 16384]), 0);
            assert_eq!(c.ask(flags, kind, 4096, 8192), 0);
            let bytes = c.read(0, 16384);
            assert!(bytes[4096..12288].iter().all(|b| *b == 0));
            assert!(bytes[..4096].iter().chain(&bytes[12288..]).all(|b| *b == 7));
        }
        assert_eq!(c.ask(0, ZERO, 0, SIZE as u32), 0);
        assert_eq!(house.memory.stored(), 0);
    });
}

#[test]
fn structured_replies_leave_zeros_out_and_tell_where_data_is() {
    over_both(|house| {
        let mut c = Client::open_structured(house, "disk");
        assert_eq!(c.write(0, 4096, &[7; 8192]), 0);
        assert_eq!(c.ask(0, CACHE, 0, 1 << 20), 0);
        c.request(0, READ, 1, 0, 16384);
        let data = [&4096u64.to_be_bytes()[..], &[7; 8192]].concat();
        let hole = |at: u64| [&at.to_be_bytes()[..], &4096u32.to_be_bytes()].concat();
        assert_eq!(c.chunks(1), [(2, hole(0)), (1, data), (2, hole(12288))]);
        c.request(4, READ, 2, 0, 16384);
        let whole = c.chunks(2);
        assert_eq!((whole.len(), whole[0].0, whole[0].1.len()), (1, 1, 8 + 16384));
        c.request(0, READ, 3, 4095, 3);
        assert_eq!(c.chunks(3), [(1, b"\0\0\0\0\0\0\x0f\xff\0\x07\x07".to_vec())]);
        let map = |all: &[(u32, u32)]| {
            let pairs = all.iter().flat_map(|(len, flags)| [*len, *flags]).flat_map(u32::to_be_bytes);
            vec![(5, 1u32.to_be_bytes().into_iter().chain(pairs).collect::<Vec<u8>>())]
        };
        c.request(0, STATUS, 4, 0, SIZE as u32);
        assert_eq!(c.chunks(4), map(&[(4096, 3), (8192, 0), (SIZE as u32 - 12288, 3)]));
        c.request(8, STATUS, 5, 4608, 4096);
        assert_eq!(c.chunks(5), map(&[(4096, 0)]));
        for (cookie, kind) in [(6, READ), (7, STATUS)] {
            c.request(0, kind, cookie, SIZE, 1);
            let [(0x8001, told)] = &c.chunks(cookie)[..] else { panic!("no error") };
            assert_eq!(told[..4], 22u32.to_be_bytes());
        }
        assert_eq!(c.ask(0, ZERO, 4096, 8192), 0, "the rest is answered simply");
        c.request(0, READ, 8, 512, 100_000);
        assert_eq!(c.chunks(8), [(2, [&512u64.to_be_bytes()[..], &100_000u32.to_be_bytes()].concat())]);
    });
}

#[test]
fn what_is_wrong_is_refused_and_the_connection_goes_on() {
    over_both(|house| {
        let mut c = Client::open(house, "disk");
        let (eperm, einval, enospc) = (1, 22, 28);
        assert_eq!(c.ask(0, READ, SIZE, 1), einval);
        assert_eq!(c.ask(0, READ, 0, (32 << 20) + 1), einval);
        assert_eq!(c.ask(0, CACHE, SIZE, 1), einval);
        assert_eq!(c.ask(0, STATUS, 0, 1), einval);
        assert_eq!(c.ask(0, 999, 0, 0), einval);
        assert_eq!(c.ask(0xfff0, READ, 0, 1), einval);
        assert_eq!(c.ask(0, TRIM, SIZE, 1), einval);
        assert_eq!(c.ask(0, ZERO, SIZE - 1, 2), enospc);
        // the payload of a refused write is skipped, however long
        assert_eq!(c.write(0, SIZE - 1, b"ab"), enospc);
        assert_eq!(c.write(0, 0, &vec![1; (32 << 20) + 4]), einval);
        assert_eq!(c.write(2, 0, &vec![1; 100_000]), einval);
        assert_eq!(c.read(0, 4), [0; 4]);
        let mut c = Client::open(house, "snap");
        assert_eq!(c.write(0, 0, b"no"), eperm);
        assert_eq!(c.ask(0, TRIM, 0, 512), eperm);
        assert_eq!(c.ask(0, ZERO, 0, 512), eperm);
        assert_eq!(c.ask(0, FLUSH, 0, 0), 0);
        assert_eq!(c.read(0, 2), [0, 0]);
    });
}

#[test]
fn many_requests_at_once_are_all_answered_once() {
    over_both(|house| {
        let mut c = Client::open(house, "disk");
        let mut out = Vec::new();
        for n in 0..1000u64 {
            let block = n % 500 * 4096;
            if n < 500 {
                out.extend(request(0, WRITE, n, block, 4096));
                out.extend([n as u8; 4096]);
            } else {
                out.extend(request(0, READ, n, block, 4096));
            }
        }
        out.extend(request(0, DISCONNECT, 0, 0, 0));
        let mut speaker = Client(c.0.try_clone().unwrap());
        let speaking = std::thread::Builder::new().spawn(move || speaker.say(&out)).unwrap();
        let mut seen = [false; 1000];
        for _ in 0..1000 {
            let (errno, cookie) = c.reply();
            assert_eq!((errno, std::mem::replace(&mut seen[cookie as usize], true)), (0, false));
            if cookie >= 500 {
                assert!(c.bytes(4096).iter().all(|b| *b == (cookie - 500) as u8), "block {cookie}");
            }
        }
        assert!(c.is_hung_up());
        speaking.join().unwrap();
    });
}

#[test]
fn a_client_that_takes_no_replies_stops_only_itself() {
    over_both(|house| {
        let mut greedy = Client::open(house, "disk");
        greedy.0.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // 64 GiB of replies: the server stops reading long before
        let mut sent = 0;
        while sent < 100_000 {
            let ask = request(0, READ, sent, 0, 640 << 10);
            if std::io::Write::write_all(&mut greedy.0, &ask).is_err() {
                break;
            }
            sent += 1;
        }
        assert!(sent < 100_000, "nothing stopped the client");
        let mut other = Client::open(house, "disk");
        assert_eq!(other.write(0, 0, b"fine"), 0);
        assert_eq!(other.read(0, 4), b"fine");
    });
}

#[test]
fn a_goodbye_and_a_hang_up_answer_what_is_open() {
    over_both(|house| {
        let mut c = Client::open(house, "disk");
        c.say(&[request(0, READ, 1, 0, 8), request(0, DISCONNECT, 2, 0, 0)].concat());
        assert_eq!(c.reply(), (0, 1));
        assert_eq!(c.bytes(8), [0; 8]);
        assert!(c.is_hung_up());
        let mut c = Client::open(house, "disk");
        c.request(0, FLUSH, 3, 0, 0);
        c.0.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(c.reply(), (0, 3));
        assert!(c.is_hung_up());
    });
}

#[test]
fn a_cut_ends_the_connection_and_leaves_others_alone() {
    over_both(|house| {
        let (mut cut, mut other) = (Client::open(house, "disk"), Client::open(house, "snap"));
        assert_eq!(cut.write(0, 0, b"mine"), 0);
        let info = house.server.connections();
        assert_eq!(info.len(), 2);
        assert_eq!(info[0].export.as_ref().unwrap().0, "disk");
        assert_eq!(info[0].export.as_ref().unwrap().1.export, house.disk);
        let table = AccessTable { rights: Rights::ReadWrite, admits: Admits::Nobody("moved".into()) };
        house.names.gate.publish(house.disk, table, 2);
        assert!(cut.is_hung_up());
        assert_eq!(other.read(0, 4), b"mine");
        let mut again = Client::greet(house);
        again.option(7, &[&[0, 0, 0, 4], &b"disk"[..], &[0, 0]].concat());
        assert_eq!(again.option_reply(), (7, 0x8000_0002, b"moved".to_vec()));
    });
}

#[test]
fn info_keeps_no_session() {
    over_both(|house| {
        let mut c = Client::greet(house);
        c.option(6, &[&[0, 0, 0, 4], &b"disk"[..], &[0, 0]].concat());
        assert_eq!((c.option_reply().1, c.option_reply().1), (3, 1));
        assert!(house.names.gate.sessions(house.disk).is_empty());
        let open = Client::open(house, "disk");
        assert_eq!(house.names.gate.sessions(house.disk).len(), 1);
        drop((c, open));
        while house.server.connection_count() > 0 {
            std::thread::yield_now();
        }
        assert!(house.names.gate.sessions(house.disk).is_empty());
    });
}

#[test]
fn a_held_device_makes_clients_wait_and_nothing_fails() {
    over_both(|house| {
        let mut c = Client::open(house, "disk");
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (held, is_held) = std::sync::mpsc::channel();
        let (gate, disk, timer) = (house.names.gate.clone(), house.disk, house.reactors[0].clone());
        let keeper = std::thread::Builder::new().spawn(move || {
            let exports = [disk];
            let mut hold = std::pin::pin!(gate.hold(&exports, 60_000, &timer));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(guard) = hold.as_mut().poll(&mut cx) else {
                panic!("nothing was in flight")
            };
            held.send(()).unwrap();
            released.recv().unwrap();
            drop(guard.unwrap());
        });
        is_held.recv().unwrap();
        c.say(&(0..300).flat_map(|n| request(0, READ, n, 0, 16)).collect::<Vec<u8>>());
        c.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(std::io::Read::read(&mut c.0, &mut [0]).is_err(), "an answer came during the hold");
        c.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        release.send(()).unwrap();
        for _ in 0..300 {
            assert_eq!(c.reply().0, 0);
            c.bytes(16);
        }
        keeper.unwrap().join().unwrap();
    });
}

#[test]
fn draining_answers_what_came_and_cuts_what_stays() {
    over_both(|house| {
        let mut idle = Client::open(house, "disk");
        let mut half = Client::greet(house);
        let stuck = Client::open(house, "disk");
        for n in 0..64 {
            Client(stuck.0.try_clone().unwrap()).request(0, READ, n, 0, 1 << 20);
        }
        idle.request(0, READ, 5, 0, 4);
        assert_eq!(idle.reply(), (0, 5));
        assert_eq!(house.server.drain(Duration::from_millis(1000)), 1);
        assert_eq!(idle.bytes(4), [0; 4]);
        assert!(idle.is_hung_up() && half.is_hung_up());
        assert!(std::os::unix::net::UnixStream::connect(&house.unix).is_err());
        assert!(std::net::TcpStream::connect(house.tcp).is_err());
    });
}
