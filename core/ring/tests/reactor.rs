//! What both backends must do alike.
#![allow(clippy::unwrap_used)] // helpers of tests, which the lint does not know as such

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parpen_base::{Buf, Clock, Entropy, SeededEntropy, SystemClock};
use parpen_block::{Home, Timer};
use parpen_ring::{
    Allocate, Backend, File, Gather, Handle, Listener, Part, Reactor, Socket, current, sleep, spawn_local,
    timeout,
};

/// Runs `test` over each backend that this machine has, and ends its reactor.
fn over_both(test: impl Fn(&Handle)) {
    for backend in [Backend::Uring, Backend::Threads] {
        let reactor = match Reactor::start("test", backend) {
            Ok(reactor) => reactor,
            Err(refused) if backend == Backend::Uring => {
                eprintln!("skipped over io_uring, which is refused here: {refused}");
                continue;
            }
            Err(e) => panic!("the thread pool does not start: {e}"),
        };
        assert_eq!(reactor.backend(), backend);
        test(&reactor);
        reactor.shutdown();
        reactor.join().unwrap();
    }
}

fn pair() -> (Socket, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    (Socket::new(a).unwrap(), b)
}

#[test]
fn files_read_what_was_written_and_end_where_they_end() {
    over_both(|reactor| {
        let file = File::new(tempfile::tempfile().unwrap());
        let (n, text) = reactor
            .block_on(move || async move {
                let (written, buf) = file.write_at(Buf::copy_of(b"0123456789"), 2..6, 8190).await;
                written.unwrap();
                file.sync(true).await.unwrap();
                file.sync(false).await.unwrap();
                let (n, buf) = file.read_at(buf, 0..10, 8188).await;
                (n.unwrap(), buf[..6].to_vec())
            })
            .unwrap();
        assert_eq!((n, &text[..]), (6, &b"\0\x002345"[..]));
    });
}

#[test]
fn parts_of_one_buffer_go_to_many_places_and_come_back() {
    over_both(|reactor| {
        let file = File::new(tempfile::tempfile().unwrap());
        let part = |at: usize, offset: u64| Part { range: at..at + 4096, offset };
        reactor
            .block_on(move || async move {
                let mut buf = Buf::zeroed(64 * 4096);
                buf.chunks_mut(4096).enumerate().for_each(|(n, block)| block.fill(n as u8 + 1));
                // backwards, every second block of the file
                let places: Vec<Part> = (0..64).map(|n| part(n * 4096, (63 - n as u64) * 8192)).collect();
                let (results, buf) = file.write_parts(buf, places.clone()).await;
                assert!(results.iter().all(|r| r.is_ok()) && results.len() == 64);
                let mut back = buf.clone();
                back.fill(0xee);
                let (results, back) = file.read_parts(back, places[1..].to_vec()).await;
                assert!(results.iter().all(|r| r.is_ok()));
                assert!(back[4096..] == buf[4096..] && back[..4096].iter().all(|b| *b == 0xee));
                // one that crosses the end, one in a hole, one beyond what a file can hold, one empty
                let odd = vec![part(0, 126 * 4096), part(8192, 4096), part(4096, u64::MAX - 5)];
                let odd =
                    [odd, vec![Part { range: 9..9, offset: 0 }, part(12288, 126 * 4096 + 4000)]].concat();
                let (results, back) = file.read_parts(back, odd).await;
                let kinds: Vec<_> = results.iter().map(|r| r.as_ref().map_err(|e| e.kind())).collect();
                let (eof, invalid) = (std::io::ErrorKind::UnexpectedEof, std::io::ErrorKind::InvalidInput);
                assert_eq!(kinds, [Ok(&()), Ok(&()), Err(invalid), Ok(&()), Err(eof)]);
                assert!(back[..4096].iter().all(|b| *b == 1) && back[8192..12288].iter().all(|b| *b == 0));
                assert!(file.read_parts(back, vec![]).await.0.is_empty());
            })
            .unwrap();
    });
}

#[test]
fn files_punch_zero_and_reserve() {
    over_both(|reactor| {
        let file = File::new(tempfile::tempfile().unwrap());
        reactor
            .block_on(move || async move {
                let (written, buf) = file.write_at(Buf::copy_of(&[7; 16384]), 0..16384, 0).await;
                written.unwrap();
                file.allocate(Allocate::Punch, 4096, 4096).await.unwrap();
                file.allocate(Allocate::Reserve, 16384, 4096).await.unwrap();
                let (n, buf) = file.read_at(buf, 0..16384, 4096).await;
                assert_eq!(n.unwrap(), 16384);
                assert!(buf[..4096].iter().all(|b| *b == 0) && buf[4096..12288].iter().all(|b| *b == 7));
                assert!(buf[12288..].iter().all(|b| *b == 0));
            })
            .unwrap();
    });
}

#[test]
fn errors_of_the_kernel_come_back_with_the_buffer() {
    over_both(|reactor| {
        let path = tempfile::NamedTempFile::new().unwrap();
        let read_only = File::new(std::fs::File::open(path.path()).unwrap());
        let (error, len) = reactor
            .block_on(move || async move {
                for far in [u64::MAX, u64::MAX - 5, i64::MAX as u64] {
                    assert!(read_only.read_at(Buf::zeroed(10), 0..10, far).await.0.is_err());
                }
                let (written, buf) = read_only.write_at(Buf::zeroed(10), 0..10, 0).await;
                (written.unwrap_err().raw_os_error(), buf.len())
            })
            .unwrap();
        assert_eq!((error, len), (Some(9), 10)); // EBADF
    });
}

#[test]
fn many_tasks_and_operations_at_once() {
    over_both(|reactor| {
        let file = File::new(tempfile::tempfile().unwrap());
        let sum = reactor
            .block_on(move || async move {
                let (left, sum) = (Rc::new(Cell::new(3000)), Rc::new(Cell::new(0)));
                for n in 0..3000u32 {
                    let (file, left, sum) = (file.clone(), left.clone(), sum.clone());
                    spawn_local(async move {
                        let at = u64::from(n) * 8;
                        let (done, buf) = file.write_at(Buf::copy_of(&n.to_le_bytes()), 0..4, at).await;
                        done.unwrap();
                        let (n, buf) = file.read_at(buf, 0..4, at).await;
                        assert_eq!(n.unwrap(), 4);
                        sum.set(sum.get() + u32::from_le_bytes(buf[..].try_into().unwrap()));
                        left.set(left.get() - 1);
                    });
                }
                while left.get() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                sum.get()
            })
            .unwrap();
        assert_eq!(sum, 2999 * 3000 / 2);
    });
}

#[test]
fn accepts_receives_and_sends() {
    over_both(|reactor| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        reactor.spawn(move || async move {
            let listener = Listener::new(listener);
            loop {
                let socket = Socket::new(listener.accept().await.unwrap()).unwrap();
                spawn_local(async move {
                    let mut buf = Buf::zeroed(100);
                    loop {
                        let (n, back) = socket.recv(buf, 10..100).await;
                        let n = n.unwrap();
                        if n == 0 {
                            return;
                        }
                        let (sent, back) = socket.send(back, 10..10 + n).await;
                        sent.unwrap();
                        buf = back;
                    }
                });
            }
        });
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).unwrap();
            for text in [&b"echo"[..], &[5; 1000]] {
                client.write_all(text).unwrap();
                let mut back = vec![0; text.len()];
                client.read_exact(&mut back).unwrap();
                assert_eq!(back, text);
            }
        }
    });
}

#[test]
fn gathered_pieces_arrive_in_order_through_a_full_socket() {
    over_both(|reactor| {
        let (socket, mut peer) = pair();
        reactor.spawn(move || async move {
            let mut gather = Gather::new();
            for n in 0..2000u32 {
                gather.copy(&n.to_be_bytes());
                gather.push(Buf::copy_of(&[n as u8; 1000]));
            }
            let (sent, mut gather) = socket.send_gather(gather).await;
            sent.unwrap();
            let mut back = 0;
            gather.clear(|_| back += 1);
            assert_eq!(back, 2000);
        });
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 2000 * 1004);
        for (n, piece) in (0u32..).zip(all.chunks(1004)) {
            assert_eq!(piece[..4], n.to_be_bytes());
            assert!(piece[4..].iter().all(|b| *b == n as u8));
        }
    });
}

#[test]
fn what_the_socket_has_room_for_is_sent_by_the_first_poll() {
    over_both(|reactor| {
        let (socket, mut peer) = pair();
        let send_polled_once = |socket: Socket, bytes: &'static [u8]| {
            let poll = move || async move {
                let mut gather = Gather::new();
                gather.copy(bytes);
                let mut send = pin!(socket.send_gather(gather));
                match send.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready((sent, gather)) => (sent.is_ok(), gather.len()),
                    Poll::Pending => panic!("there was room"),
                }
            };
            reactor.block_on(poll).unwrap()
        };
        assert_eq!(send_polled_once(socket.clone(), b"now"), (true, 0));
        socket.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"now");
        assert_eq!(send_polled_once(socket.clone(), b"late"), (false, 4));
        assert_eq!(send_polled_once(socket, b""), (true, 0), "nothing needs no socket");
    });
}

#[test]
fn two_buffers_are_filled_one_after_the_other() {
    over_both(|reactor| {
        let (socket, mut peer) = pair();
        peer.write_all(b"payload and the next head").unwrap();
        let got = reactor
            .block_on(move || async move {
                let (n, first, second) =
                    socket.recv_two(Buf::copy_of(b"old....."), 4..8, Buf::zeroed(64), 2).await;
                assert_eq!((n.unwrap(), &first[..]), (25, &b"old.payl"[..]));
                let (n, ..) = socket.recv_two(Buf::zeroed(4), 4..4, Buf::zeroed(2), 2).await;
                assert_eq!(n.unwrap(), 0, "there was no room");
                socket.ask_for_room(1 << 20).unwrap();
                second[..23].to_vec()
            })
            .unwrap();
        assert_eq!(got, b"\0\0oad and the next head");
    });
}

#[test]
fn a_dropped_receive_is_cancelled_and_its_memory_is_not_written() {
    over_both(|reactor| {
        let (socket, mut peer) = pair();
        let got = reactor
            .block_on(move || async move {
                for _ in 0..50 {
                    let waits = socket.recv(Buf::zeroed(64), 0..64);
                    assert!(timeout(Duration::from_micros(200), waits).await.is_none());
                }
                peer.write_all(b"late").unwrap();
                // the cancelled ones took nothing from the stream
                let (n, buf) = socket.recv(Buf::zeroed(64), 0..64).await;
                buf[..n.unwrap()].to_vec()
            })
            .unwrap();
        assert_eq!(got, b"late");
    });
}

#[test]
fn abandoned_operations_do_no_harm_to_others() {
    over_both(|reactor| {
        let file = File::new(tempfile::tempfile().unwrap());
        let left = reactor
            .block_on(move || async move {
                let left = Rc::new(Cell::new(64));
                for seed in 0..64 {
                    spawn_local(churn(SeededEntropy::new(seed), file.clone(), seed * 4096, left.clone()));
                }
                while left.get() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                left.get()
            })
            .unwrap();
        assert_eq!(left, 0);
    });
}

/// Writes, reads, receives and sends; drops some of that in flight, at moments that the seed chooses.
async fn churn(dice: SeededEntropy, file: File, at: u64, left: Rc<Cell<u32>>) {
    let (socket, peer) = UnixStream::pair().unwrap();
    let (socket, peer) = (Socket::new(socket).unwrap(), Socket::new(peer).unwrap());
    for round in 0..40u8 {
        let impatience = Duration::from_micros(dice.u64() % 100);
        match dice.u64() % 4 {
            0 => drop(timeout(impatience, file.read_at(Buf::zeroed(4096), 0..4096, at)).await),
            1 => drop(timeout(impatience, socket.recv(Buf::zeroed(512), 0..512)).await),
            2 => {
                let (sent, _) = peer.send(Buf::copy_of(&[round; 100]), 0..100).await;
                sent.unwrap();
                let (n, buf) = socket.recv(Buf::zeroed(100), 0..100).await;
                assert!(buf[..n.unwrap()].iter().all(|b| *b == round), "a stranger's bytes");
            }
            _ => {
                let (written, buf) = file.write_at(Buf::copy_of(&[round; 4096]), 0..4096, at).await;
                written.unwrap();
                let (n, buf) = file.read_at(buf, 0..4096, at).await;
                assert!(n.unwrap() == 4096 && buf.iter().all(|b| *b == round), "a stranger's bytes");
            }
        }
    }
    left.set(left.get() - 1);
}

#[test]
fn shutdown_of_a_socket_ends_a_waiting_receive() {
    over_both(|reactor| {
        let (socket, _peer) = pair();
        let n = reactor
            .block_on(move || async move {
                let cutter = socket.clone();
                spawn_local(async move {
                    sleep(Duration::from_millis(5)).await;
                    cutter.shutdown(std::net::Shutdown::Both).unwrap();
                });
                socket.recv(Buf::zeroed(64), 0..64).await.0
            })
            .unwrap();
        assert_eq!(n.unwrap(), 0);
    });
}

#[test]
fn closures_run_in_order_on_the_one_thread() {
    over_both(|reactor| {
        thread_local!(static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });
        for n in 0..1000 {
            reactor.run(Box::new(move || SEEN.with_borrow_mut(|seen| seen.push(n))));
        }
        let seen = reactor.block_on(|| async { SEEN.with_borrow(|seen| seen.clone()) }).unwrap();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        let id = reactor.block_on(|| async { current().map(|own| own.id()) }).unwrap();
        assert_eq!(id, Some(reactor.id()));
        assert!(current().is_none());
    });
}

#[test]
fn wakes_from_other_threads_are_never_lost() {
    over_both(|reactor| {
        let count = Arc::new(AtomicUsize::new(0));
        let (give, take) = std::sync::mpsc::channel();
        let seen = count.clone();
        let done = {
            let (done_give, done_take) = std::sync::mpsc::channel();
            reactor.spawn(move || {
                std::future::poll_fn(move |cx| {
                    let _ = give.send(cx.waker().clone());
                    if seen.load(Ordering::SeqCst) < 20_000 {
                        return std::task::Poll::Pending;
                    }
                    let _ = done_give.send(());
                    std::task::Poll::Ready(())
                })
            });
            done_take
        };
        while let Ok(waker) = take.recv() {
            count.fetch_add(1, Ordering::SeqCst);
            waker.wake();
        }
        done.recv().unwrap();
    });
}

#[test]
fn timers_fire_in_order_and_not_early() {
    over_both(|reactor| {
        let order = reactor
            .block_on(|| async {
                let order = Rc::new(RefCell::new(Vec::new()));
                for n in [30u64, 10, 20] {
                    let order = order.clone();
                    spawn_local(async move {
                        sleep(Duration::from_millis(n)).await;
                        order.borrow_mut().push(n);
                    });
                }
                let clock = SystemClock::new();
                sleep(Duration::from_millis(60)).await;
                assert!(clock.steady() >= Duration::from_millis(60));
                order.take()
            })
            .unwrap();
        assert_eq!(order, [10, 20, 30]);
    });
}

#[test]
fn calls_back_later_for_other_threads() {
    over_both(|reactor| {
        let (give, take) = std::sync::mpsc::channel();
        let late = give.clone();
        reactor.after(20, Box::new(move || late.send("late").unwrap()));
        reactor.after(1, Box::new(move || give.send("early").unwrap()));
        assert_eq!(take.iter().collect::<Vec<_>>(), ["early", "late"]);
    });
}

#[test]
fn an_idle_reactor_uses_no_processor_time() {
    over_both(|reactor| {
        let (socket, _peer) = pair();
        reactor.spawn(move || async move {
            let (n, _) = socket.recv(Buf::zeroed(64), 0..64).await;
            assert_eq!(n.unwrap(), 0);
        });
        let used = || {
            let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
        };
        let before = reactor.block_on(move || async move { used() }).unwrap();
        let spent = reactor
            .block_on(move || async move {
                sleep(Duration::from_millis(300)).await;
                used()
            })
            .unwrap()
            - before;
        assert!(spent < Duration::from_millis(15), "{spent:?} in 300 ms of idleness");
    });
}

#[test]
fn the_end_drops_tasks_refuses_work_and_is_reported() {
    over_both(|reactor| {
        let other = Reactor::start("other", reactor.backend()).unwrap();
        let own = other.clone();
        assert!(other.block_on(move || async move { own.join() }).unwrap().is_err());
        let (socket, mut peer) = pair();
        other.spawn(move || async move {
            socket.recv(Buf::zeroed(64), 0..64).await.0.unwrap();
        });
        other.shutdown();
        other.join().unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the task's socket was closed");
        assert!(other.block_on(|| async {}).is_err());
        let panicking = Reactor::start("panics", reactor.backend()).unwrap();
        panicking.spawn(|| async { panic!("on purpose") });
        assert!(panicking.join().is_err());
    });
}

#[test]
fn who_yields_lets_timers_and_completions_pass() {
    over_both(|reactor| {
        let turns = reactor
            .block_on(|| async {
                let (rang, mut turns) = (Rc::new(Cell::new(false)), 0);
                let bell = rang.clone();
                spawn_local(async move {
                    sleep(Duration::ZERO).await;
                    bell.set(true);
                });
                while !rang.get() {
                    turns += 1;
                    let mut yielded = false;
                    std::future::poll_fn(|cx| {
                        if std::mem::replace(&mut yielded, true) {
                            return std::task::Poll::Ready(());
                        }
                        cx.waker().wake_by_ref();
                        std::task::Poll::Pending
                    })
                    .await;
                }
                turns
            })
            .unwrap();
        assert!(turns < 10, "{turns} turns went by before a timer of no time at all");
    });
}
