//! The clients that people use, where they are installed; a missing one is said and skipped.

use std::process::{Command, Output};

use parpen_ring::Backend;

use crate::house::House;

/// Runs a tool; none if it is not installed.
fn run(tool: &str, args: &[&str]) -> Option<Output> {
    match Command::new(tool).args(args).output() {
        Ok(output) => Some(output),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {tool} is not installed");
            None
        }
        Err(e) => panic!("{tool} does not start: {e}"),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

#[test]
fn nbdinfo_sees_exports_sizes_and_flags() {
    let house = House::open(Backend::Auto);
    let Some(info) = run("nbdinfo", &["--json", &house.uri("disk")]) else { return };
    let info = good(&info);
    for wanted in [
        "\"protocol\": \"newstyle-fixed\"",
        "\"export-size\": 67108864",
        "\"is_read_only\": false",
        "\"can_multi_conn\": true",
        "\"can_fua\": true",
        "\"can_trim\": true",
        "\"can_zero\": true",
        "\"can_fast_zero\": true",
        "\"can_cache\": true",
        "\"structured\": true",
        "\"can_df\": true",
        "\"base:allocation\"",
        "\"block_size_minimum\": 1",
        "\"block_size_preferred\": 4096",
        "\"block_size_maximum\": 33554432",
        "\"description\": \"64MiB, read-write\"",
    ] {
        assert!(info.contains(wanted), "{wanted} is not in {info}");
    }
    let tcp = format!("nbd://{}", house.tcp);
    let list = good(&run("nbdinfo", &["--list", &tcp]).expect("it was there"));
    assert!(list.contains("export=\"disk\"") && list.contains("export=\"snap\""), "{list}");
    let refused = run("nbdinfo", &[&house.uri("locked")]).expect("it was there");
    assert!(!refused.status.success(), "{}", text(&refused));
    let unknown = run("nbdinfo", &[&house.uri("nothing")]).expect("it was there");
    assert!(!unknown.status.success(), "{}", text(&unknown));
}

#[test]
fn nbdcopy_brings_bytes_in_and_out() {
    let house = House::open(Backend::Auto);
    let dir = tempfile::tempdir().unwrap();
    let (there, back) = (dir.path().join("there"), dir.path().join("back"));
    let bytes: Vec<u8> =
        (0u32..16 << 20).map(|n| if n & 0xf0_0000 == 0 { 0 } else { ((n * 7) >> 8) as u8 }).collect();
    std::fs::write(&there, &bytes).unwrap();
    let Some(copy) = run("nbdcopy", &[there.to_str().unwrap(), &house.uri("disk")]) else { return };
    good(&copy);
    good(&run("nbdcopy", &[&house.uri("snap"), back.to_str().unwrap()]).expect("it was there"));
    let back = std::fs::read(&back).unwrap();
    assert!(back[..bytes.len()] == bytes && back[bytes.len()..].iter().all(|b| *b == 0));
}

#[test]
fn maps_and_copies_see_the_holes() {
    let house = House::open(Backend::Auto);
    let mut client = crate::client::Client::open(&house, "disk");
    assert_eq!(client.write(0, 1 << 20, &[7; 1 << 20]), 0);
    let Some(map) = run("nbdinfo", &["--map", "--json", &house.uri("disk")]) else { return };
    let map = good(&map);
    let stretch =
        |at: u32, len: u32, kind: u8| format!("\"offset\": {at}, \"length\": {len}, \"type\": {kind},");
    for wanted in [stretch(0, 1 << 20, 3), stretch(1 << 20, 1 << 20, 0), stretch(2 << 20, 62 << 20, 3)] {
        assert!(map.contains(&wanted), "{wanted} is not in {map}");
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    good(&run("nbdcopy", &[&house.uri("disk"), copy.to_str().unwrap()]).expect("it comes with nbdinfo"));
    let stored = std::os::unix::fs::MetadataExt::blocks(&copy.metadata().unwrap()) * 512;
    assert!(stored <= 2 << 20, "{stored} bytes for 1 MiB of data");
    let Some(map) = run("qemu-img", &["map", "-f", "raw", "--output=json", &house.uri("disk")]) else {
        return;
    };
    let map = good(&map);
    assert!(
        map.contains(
            "\"start\": 1048576, \"length\": 1048576, \"depth\": 0, \"present\": true, \"zero\": false"
        ),
        "{map}"
    );
}

#[test]
fn qemu_io_reads_writes_zeroes_and_discards() {
    let house = House::open(Backend::Auto);
    let uri = house.uri("disk");
    let commands = [
        "write -P 0x5a 1M 2M",
        "read -P 0x5a 1M 2M",
        "write -f -P 0x33 513 700",
        "read -P 0x33 513 700",
        "write -z -u 1M 64k",
        "read -P 0 1M 64k",
        "discard 2M 1M",
        "read -P 0 2M 1M",
        "aio_write -P 9 0 128k",
        "aio_write -P 8 128k 128k",
        "aio_flush",
        "read -P 8 128k 128k",
        "flush",
    ];
    let mut args = vec!["-f", "raw", uri.as_str()];
    commands.iter().for_each(|command| args.extend(["-c", command]));
    let Some(io) = run("qemu-io", &args) else { return };
    let io = good(&io);
    assert!(!io.contains("failed") && !io.contains("error"), "{io}");
    let snap = house.uri("snap");
    let refused = run("qemu-io", &["-f", "raw", &snap, "-c", "write 0 512"]).expect("it was there");
    assert!(text(&refused).contains("read-only") || !refused.status.success(), "{}", text(&refused));
}

#[test]
fn fio_verifies_what_it_wrote() {
    let house = House::open(Backend::Auto);
    let uri = format!("--uri={}", house.uri("disk"));
    let args = ["--name=v", "--ioengine=nbd", &uri, "--rw=randrw", "--bsrange=512-64k", "--iodepth=32"];
    let verify = ["--verify=crc32c", "--verify_fatal=1", "--size=16m", "--fsync=100", "--thread"];
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("fio").args(args).args(verify).current_dir(dir.path()).output();
    match output {
        Ok(output) if text(&output).contains("engine nbd not loadable") => {
            eprintln!("skipped: fio has no NBD")
        }
        Ok(output) => assert!(good(&output).contains("err= 0"), "{}", text(&output)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => eprintln!("skipped: fio is not installed"),
        Err(e) => panic!("fio does not start: {e}"),
    }
}
