//! The engine as a block device on a real reactor, over a file and over memory: the suite that every device
//! passes, and what only a store can show.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::rc::Rc;
use std::sync::Arc;

use parpen_array::{
    About, ArrayError, DiskSource, Host, NewSource, NoWitness, OldSource, Opening, Store, StoreError,
    WitnessSource,
};
use parpen_base::{Buf, SystemEntropy};
use parpen_block::conformance::{TestDevice, run};
use parpen_block::{BlockDevice, Home, IoError, Op, Request, Wake};
use parpen_engine::{Disk, EngineError, FileDisk, FileError, Format, Layout, OpenError, RamDisk};
use parpen_ring::{Backend, Handle, Reactor};
use tempfile::TempDir;
use uuid::Uuid;

const DISK: u64 = 64 << 20;

fn format() -> Format {
    Format { store: Uuid::from_u128(1), disk: Uuid::from_u128(2), layout: Layout::product(DISK) }
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(100 + n)
}

/// Runs a future whose answer comes from another thread.
fn wait<T>(f: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut f = std::pin::pin!(f);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    loop {
        match f.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(v) => return v,
            std::task::Poll::Pending => std::thread::park_timeout(std::time::Duration::from_secs(20)),
        }
    }
}

fn nobody() -> WitnessSource {
    Box::new(|| Rc::new(NoWitness))
}

fn format_on<D: Disk + 'static>(reactor: &Handle, disk: DiskSource<D>) -> Store {
    let home: Arc<dyn Home> = Arc::new(reactor.clone());
    let new = NewSource { number: 1, disk, format: format(), about: About::default() };
    wait(Store::format(home, Host::ring(), Arc::new(SystemEntropy), vec![new], nobody())).unwrap()
}

fn in_memory(reactor: &Handle) -> Store {
    format_on(reactor, Box::new(|| Ok(RamDisk::new(DISK))))
}

fn reactor_open<D: Disk + 'static>(
    home: Arc<dyn Home>,
    disk: impl FnOnce() -> Result<D, StoreError> + Send + 'static,
) -> Result<Store, StoreError> {
    let old = OldSource { number: 1, disk: Box::new(disk) as DiskSource<D> };
    let how = Opening { store: Some(Uuid::from_u128(1)), ..Opening::default() };
    wait(Store::open(home, Host::ring(), Arc::new(SystemEntropy), vec![old], nobody(), how))
}

fn formatted_file(dir: &TempDir, reactor: &Handle) -> std::path::PathBuf {
    let path = dir.path().join("disk");
    FileDisk::create(&path, DISK).unwrap();
    let at = path.clone();
    let store = format_on(reactor, Box::new(move || Ok(FileDisk::open(&at)?)));
    wait(store.close()).unwrap();
    path
}

fn end(store: Store, reactor: Handle) {
    assert_eq!(wait(store.fsck(true)).unwrap(), []);
    wait(store.close()).unwrap();
    reactor.shutdown();
    reactor.join().unwrap();
}

#[test]
fn a_volume_in_memory_passes_the_suite() {
    run(|size| {
        let reactor = Reactor::start("ram", Backend::Auto).unwrap();
        let store = in_memory(&reactor);
        wait(store.create(id(1), size, None, vec![])).unwrap();
        TestDevice::new(store.device(id(1)).unwrap()).ending(move || end(store, reactor))
    });
}

#[test]
fn a_volume_in_a_file_passes_the_suite() {
    for backend in [Backend::Auto, Backend::Threads] {
        run(|size| {
            let reactor = Reactor::start("file", backend).unwrap();
            let dir = TempDir::new().unwrap();
            let path = formatted_file(&dir, &reactor);
            let store = reactor_open(Arc::new(reactor.clone()), move || Ok(FileDisk::open(&path)?)).unwrap();
            wait(store.create(id(1), size, None, vec![])).unwrap();
            let device = store.device(id(1)).unwrap();
            TestDevice::new(device).ending(move || {
                end(store, reactor);
                drop(dir);
            })
        });
    }
}

/// Sends one request to a device at its home and waits for its end.
fn ask(
    reactor: &Handle,
    device: Arc<dyn BlockDevice>,
    op: Op,
    offset: u64,
    buf: Option<Buf>,
) -> Result<Buf, IoError> {
    let len = buf.as_ref().map_or(0, |b| b.len()) as u32;
    let result = reactor.block_on(move || async move {
        let mut queue = device.open(1, Wake::new(|| ())).unwrap();
        queue.submit(Request { tag: 1, op, offset, len, buf }).unwrap();
        queue.kick();
        loop {
            if let Some(c) = queue.reap() {
                return (c.result, c.buf);
            }
            parpen_ring::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let (result, buf) = result.unwrap();
    result.map(|_| buf.unwrap_or_else(|| Buf::zeroed(0)))
}

#[test]
fn snapshots_are_read_only_devices_and_outlive_their_volume_and_a_restart() {
    let reactor = Reactor::start("snap", Backend::Auto).unwrap();
    let dir = TempDir::new().unwrap();
    let path = formatted_file(&dir, &reactor);
    let home: Arc<dyn Home> = Arc::new(reactor.clone());
    let open = || {
        let path = path.clone();
        reactor_open(home.clone(), move || Ok(FileDisk::open(&path)?))
    };
    let store = open().unwrap();
    wait(store.create(id(1), 1 << 40, None, b"thin".to_vec())).unwrap();
    let volume = store.device(id(1)).unwrap();
    assert_eq!(volume.geometry().size, 1 << 40);
    let write = Op::Write { fua: true };
    ask(&reactor, volume.clone(), write, (1 << 40) - 512, Some(Buf::copy_of(&[7; 512]))).unwrap();
    wait(store.snapshot(vec![(id(1), id(2), vec![])])).unwrap();
    let snapshot = store.device(id(2)).unwrap();
    assert!(snapshot.capabilities().read_only);
    assert_eq!(
        ask(&reactor, snapshot.clone(), write, 0, Some(Buf::zeroed(512))).err(),
        Some(IoError::ReadOnly)
    );
    wait(store.delete(id(1))).unwrap();
    assert!(store.device(id(1)).is_err());
    assert_eq!(ask(&reactor, snapshot.clone(), Op::Flush, 0, None).err(), None);
    assert!(matches!(open(), Err(StoreError::File(FileError::Locked(_)))), "one opener at a time");
    wait(store.close()).unwrap();
    assert_eq!(wait(store.space()), Err(EngineError::Closed));
    let again = open().unwrap();
    let snapshot = again.device(id(2)).unwrap();
    let back = ask(&reactor, snapshot, Op::Read, (1 << 40) - 512, Some(Buf::zeroed(512))).unwrap();
    assert!(back.iter().all(|b| *b == 7));
    end(again, reactor);
}

#[test]
fn foreign_and_damaged_files_are_named_in_words() {
    let reactor = Reactor::start("words", Backend::Auto).unwrap();
    let dir = TempDir::new().unwrap();
    let home: Arc<dyn Home> = Arc::new(reactor.clone());
    let open = |path: std::path::PathBuf| reactor_open(home.clone(), move || Ok(FileDisk::open(&path)?));
    let noise = dir.path().join("noise");
    std::fs::write(&noise, vec![0xa5; 1 << 20]).unwrap();
    assert!(matches!(open(noise), Err(StoreError::Open(ArrayError::Open(OpenError::NotOurs)))));
    assert!(matches!(open(dir.path().into()), Err(StoreError::File(FileError::System { .. }))));
    assert!(matches!(open("/dev/null".into()), Err(StoreError::File(FileError::NoDisk(_)))));
    let path = formatted_file(&dir, &reactor);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(DISK / 2).unwrap();
    let short = OpenError::Truncated { recorded: DISK, actual: DISK / 2 };
    assert!(matches!(open(path), Err(StoreError::Open(ArrayError::Open(e))) if e == short));
    reactor.shutdown();
    reactor.join().unwrap();
}
