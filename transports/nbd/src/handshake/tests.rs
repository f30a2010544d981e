use proptest::prelude::*;

use super::*;
use crate::testing::offer;

/// Client flags: fixed newstyle, no zeroes.
const FLAGS: [u8; 4] = [0, 0, 0, 3];

fn option(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"IHAVEOPT".to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The data of an INFO or GO.
fn look_for(name: &[u8], kinds: &[u16]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend(name);
    data.extend((kinds.len() as u16).to_be_bytes());
    kinds.iter().for_each(|kind| data.extend(kind.to_be_bytes()));
    data
}

fn begun(flags: [u8; 4]) -> Handshake {
    let mut h = Handshake::new();
    assert_eq!(h.next(), Want::Bytes);
    assert_eq!(std::mem::take(&mut h.output), b"NBDMAGICIHAVEOPT\0\x03");
    h.feed(&flags);
    assert_eq!(h.next(), Want::Bytes);
    h
}

/// The replies that stand in the output: option, kind, data.
fn replies(h: &mut Handshake) -> Vec<(u32, u32, Vec<u8>)> {
    let output = std::mem::take(&mut h.output);
    let mut r = Reader(&output);
    let mut all = Vec::new();
    while let Some(magic) = r.u64() {
        assert_eq!(magic, 0x3e889045565a9);
        let (option, kind, len) = (r.u32().unwrap(), r.u32().unwrap(), r.u32().unwrap());
        all.push((option, kind, r.bytes(len as usize).unwrap().to_vec()));
    }
    all
}

fn admission(name: &str) -> Want {
    Want::Admission(name.into())
}

#[test]
fn export_name_opens_with_and_without_zeroes() {
    for (flags, zeroes) in [([0, 0, 0, 3], 0), ([0, 0, 0, 1], 124), ([0, 0, 0, 0], 124)] {
        let mut h = begun(flags);
        h.feed(&option(1, b"books"));
        h.feed(b"the first request");
        assert_eq!(h.next(), admission("books"));
        assert!(h.answer(&Ok(offer(2 << 30))));
        assert_eq!(h.next(), Want::Transmission);
        let expected = [&[0, 0, 0, 0, 0x80, 0, 0, 0, 0x0d, 0x6d][..], &vec![0; zeroes]].concat();
        assert_eq!(h.output, expected);
        assert_eq!(h.rest(), b"the first request");
    }
}

#[test]
fn a_refused_export_name_hangs_up_without_a_word() {
    let mut h = begun(FLAGS);
    h.feed(&option(1, b"books"));
    assert_eq!(h.next(), admission("books"));
    assert!(!h.answer(&Err(Refusal::Unknown)));
    assert!(matches!(h.next(), Want::End(_)) && h.output.is_empty());
}

#[test]
fn go_opens_and_info_looks() {
    for (code, opens) in [(7, true), (6, false)] {
        let mut h = begun(FLAGS);
        h.feed(&option(code, &look_for(b"books", &[3, 1, 2, 3, 77])));
        assert_eq!(h.next(), admission("books"));
        assert_eq!(h.answer(&Ok(offer(2 << 30))), opens);
        assert_eq!(
            replies(&mut h),
            [
                (code, 3, b"\0\0\0\0\0\0\x80\0\0\0\x0d\x6d".to_vec()),
                (code, 3, b"\0\x01books".to_vec()),
                (code, 3, b"\0\x022GiB, read-write".to_vec()),
                (code, 3, b"\0\x03\0\0\0\x01\0\0\x10\0\x02\0\0\0".to_vec()),
                (code, 1, vec![]),
            ]
        );
        assert_eq!(h.next(), if opens { Want::Transmission } else { Want::Bytes });
    }
}

#[test]
fn refusals_are_said_and_the_handshake_goes_on() {
    let mut h = begun(FLAGS);
    let told = |text: &str| text.to_owned();
    for (refusal, kind, text) in [
        (Refusal::Unknown, 0x8000_0006, "no export of that name"),
        (Refusal::Forbidden(told("locked by host b")), 0x8000_0002, "locked by host b"),
        (Refusal::Unavailable(told("starting")), 0x8000_0007, "starting"),
    ] {
        h.feed(&option(7, &look_for(b"x", &[])));
        assert_eq!(h.next(), admission("x"));
        assert!(!h.answer(&Err(refusal)));
        assert_eq!(replies(&mut h), [(7, kind, text.as_bytes().to_vec())]);
        assert_eq!(h.next(), Want::Bytes);
    }
}

#[test]
fn list_names_the_exports() {
    let mut h = begun(FLAGS);
    h.feed(&option(3, b"x"));
    assert_eq!(h.next(), Want::Bytes);
    assert_eq!(replies(&mut h)[0].1, 0x8000_0003);
    h.feed(&option(3, b""));
    assert_eq!(h.next(), Want::Names);
    h.list(&["a".into(), "x".repeat(4097), "böcker".into()]);
    let named = |name: &str| (3, 2, [&(name.len() as u32).to_be_bytes()[..], name.as_bytes()].concat());
    assert_eq!(replies(&mut h), [named("a"), named("böcker"), (3, 1, vec![])]);
    assert_eq!(h.next(), Want::Bytes);
}

#[test]
fn abort_is_acknowledged() {
    let mut h = begun(FLAGS);
    h.feed(&option(2, b""));
    assert!(matches!(h.next(), Want::End(_)));
    assert_eq!(replies(&mut h), [(2, 1, vec![])]);
}

#[test]
fn options_that_it_does_not_have_are_refused_politely() {
    let mut h = begun(FLAGS);
    // STARTTLS, EXTENDED_HEADERS, nonsense
    for code in [5, 11, 4, 0, 12345, u32::MAX] {
        h.feed(&option(code, b"data"));
        assert_eq!(h.next(), Want::Bytes);
        let replies = replies(&mut h);
        assert_eq!((replies.len(), replies[0].0, replies[0].1), (1, code, 0x8000_0001));
    }
    h.feed(&option(7, &look_for(b"still here", &[])));
    assert_eq!(h.next(), admission("still here"));
}

/// The data of LIST or SET META_CONTEXT.
fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let all: Vec<u8> = queries.iter().flat_map(|query| text(query)).collect();
    [text(name), (queries.len() as u32).to_be_bytes().to_vec(), all].concat()
}

#[test]
fn structured_replies_come_before_metadata_contexts() {
    let mut h = begun(FLAGS);
    for code in [9, 10] {
        h.feed(&option(code, &contexts("books", &["base:allocation"])));
        assert_eq!(h.next(), Want::Bytes);
        assert_eq!(replies(&mut h)[0].1, 0x8000_0003, "structured replies come first");
    }
    h.feed(&option(8, b"x"));
    assert_eq!((h.next(), replies(&mut h)[0].1), (Want::Bytes, 0x8000_0003));
    h.feed(&option(8, b""));
    assert_eq!((h.next(), replies(&mut h)), (Want::Bytes, vec![(8, 1, vec![])]));
    let there = |code| (code, 4, b"\0\0\0\x01base:allocation".to_vec());
    for (code, queries, found) in [
        (9, &[][..], true),
        (9, &["base:"], true),
        (9, &["qemu:", "base:allocation"], true),
        (9, &["qemu:dirty-bitmap:x"], false),
        (10, &[], false),
        (10, &["base:"], false),
        (10, &["base:allocation", "x-other:thing"], true),
    ] {
        h.feed(&option(code, &contexts("books", queries)));
        assert_eq!(h.next(), admission("books"));
        assert!(!h.answer(&Ok(offer(1 << 20))));
        let mut expected = if found { vec![there(code)] } else { vec![] };
        expected.push((code, 1, vec![]));
        assert_eq!(replies(&mut h), expected, "{code} {queries:?}");
    }
    h.feed(&option(10, &contexts("nothing", &["base:allocation"])));
    assert_eq!(h.next(), admission("nothing"));
    assert!(!h.answer(&Err(Refusal::Unknown)));
    assert_eq!((h.next(), replies(&mut h)[0].1), (Want::Bytes, 0x8000_0006));
    let mut mapless = offer(1 << 20);
    mapless.capabilities.extents = false;
    h.feed(&option(10, &contexts("mapless", &["base:allocation"])));
    assert_eq!(h.next(), admission("mapless"));
    assert!(!h.answer(&Ok(mapless)));
    assert_eq!(replies(&mut h), [(10, 1, vec![])]);
    let whole = contexts("books", &["base:allocation"]);
    for bad in [&whole[..whole.len() - 1], &[&whole[..], &[0]].concat(), b"", b"\0\0\0\x01"] {
        h.feed(&option(10, bad));
        assert_eq!((h.next(), replies(&mut h)[0].1), (Want::Bytes, 0x8000_0003));
    }
}

#[test]
fn a_context_holds_for_the_export_that_it_was_chosen_for() {
    for (chosen, opened, allocation) in [("books", "books", true), ("books", "other", false)] {
        let mut h = begun(FLAGS);
        h.feed(&option(8, b""));
        h.feed(&option(10, &contexts(chosen, &["base:allocation"])));
        assert_eq!(h.next(), admission(chosen));
        h.answer(&Ok(offer(1 << 20)));
        h.feed(&option(7, &look_for(opened.as_bytes(), &[])));
        assert_eq!(h.next(), admission(opened));
        h.output.clear();
        assert!(h.answer(&Ok(offer(1 << 20))));
        assert_eq!(replies(&mut h)[0].2[10..], [0x0d, 0xed], "DF is offered");
        assert_eq!(h.dialect(), Dialect { structured: true, allocation });
    }
}

#[test]
fn malformed_data_of_an_option_is_refused_and_survived() {
    let mut h = begun(FLAGS);
    let long = look_for(&[b'x'; 4097], &[]);
    let mut odd = look_for(b"x", &[1]);
    odd.push(0);
    let mut fewer = look_for(b"x", &[1]);
    fewer.truncate(fewer.len() - 2);
    let cut = [0, 0, 0, 9, b'x', 0, 0];
    for data in [&b""[..], b"\0\0", &cut, &long, &odd, &fewer, &look_for(b"\xff\xfe", &[])] {
        h.feed(&option(7, data));
        assert_eq!(h.next(), Want::Bytes);
        assert_eq!(replies(&mut h)[0].1, 0x8000_0003, "{data:?}");
    }
    h.feed(&option(6, &look_for(&[b'x'; 4096], &[])));
    assert_eq!(h.next(), admission(&"x".repeat(4096)));
}

#[test]
fn long_options_are_thrown_away_and_endless_ones_hang_up() {
    let mut h = begun(FLAGS);
    h.feed(&option(7, &vec![7; 1 << 20]));
    assert_eq!(h.next(), Want::Bytes);
    assert_eq!(replies(&mut h)[0].1, 0x8000_0009);
    assert_eq!(h.held(), 0);
    h.feed(&[b"IHAVEOPT", &[0, 0, 0, 7, 0, 0x10, 0, 1][..]].concat());
    assert_eq!(h.next(), Want::End("an option is too long"));
    let mut h = begun(FLAGS);
    h.feed(&option(1, &vec![b'x'; 4097]));
    assert_eq!(h.next(), Want::End("an option is too long"));
}

#[test]
fn nonsense_hangs_up() {
    let mut h = begun(FLAGS);
    h.feed(b"GET / HTTP/1.1\r\n");
    assert!(matches!(h.next(), Want::End(_)));
    let mut h = Handshake::new();
    h.feed(&[0, 0, 0, 7]);
    assert!(matches!(h.next(), Want::End(_)));
    let mut h = begun([0, 0, 0, 2]);
    h.feed(&option(3, b""));
    assert!(matches!(h.next(), Want::End(_)));
    let mut h = begun(FLAGS);
    for _ in 0..MAX_OPTIONS {
        h.feed(&option(99, b""));
        assert_eq!(h.next(), Want::Bytes);
        h.output.clear();
    }
    h.feed(&option(99, b""));
    assert_eq!(h.next(), Want::End("too many options"));
}

/// A valid conversation, for mutation.
fn conversation() -> Vec<u8> {
    let read = crate::testing::Req { len: 4096, ..Default::default() };
    let steps = [
        FLAGS.to_vec(),
        option(8, b""),
        option(3, b""),
        option(10, &contexts("four", &["base:allocation"])),
        option(6, &look_for(b"four", &[1, 2, 3])),
        option(7, &look_for(b"four", &[3])),
        read.bytes(),
        crate::testing::Req { kind: 1, len: 5, ..read }.bytes(),
        b"hello".to_vec(),
        crate::testing::Req { kind: 2, len: 0, ..read }.bytes(),
    ];
    steps.concat()
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(input in proptest::collection::vec(any::<u8>(), 0..4000)) {
        crate::fuzz::handshake(&input);
        crate::fuzz::requests(&input);
    }

    #[test]
    fn no_mutation_of_a_conversation_makes_it_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        step in 1u8..=255,
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = conversation();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        // the form that `fuzz::handshake` wants: each piece behind its length
        let pieces: Vec<u8> = bytes.chunks(usize::from(step) + 1).flat_map(|c| [&[step], c].concat()).collect();
        crate::fuzz::handshake(&pieces);
    }

    #[test]
    fn pieces_do_not_matter(step in 1usize..40) {
        let mut h = begun(FLAGS);
        let mut bytes = option(8, b"");
        bytes.extend(option(7, &look_for(b"books", &[])));
        bytes.extend(b"rest");
        let mut asked = false;
        for piece in bytes.chunks(step) {
            h.feed(piece);
            if !asked && h.next() != Want::Bytes {
                asked = true;
                prop_assert!(h.answer(&Ok(offer(512))));
            }
        }
        prop_assert_eq!(h.next(), Want::Transmission);
        prop_assert_eq!(h.rest(), b"rest");
    }
}
