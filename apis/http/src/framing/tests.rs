use proptest::prelude::*;

use super::*;

const HOST: &str = "Host: x\r\n";

/// Feeds `pieces` one after the other; what the library would read, what was seen, whether a body was broken.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<Seen>, bool) {
    let mut framer = Framer::new(HeadLimits::default());
    let (mut out, mut broken) = (Vec::new(), false);
    for piece in pieces {
        if framer.push(piece, &mut out).is_err() {
            broken = true;
            break;
        }
    }
    let seen = std::iter::from_fn(|| framer.take_seen()).collect();
    (out, seen, broken)
}

fn whole(text: &[u8]) -> (Vec<u8>, Vec<Seen>, bool) {
    feed([text])
}

fn refusal(text: &[u8]) -> Option<StatusCode> {
    let (_, seen, broken) = whole(text);
    assert!(!broken, "a head is refused by a stand-in, not by an error");
    seen.last().and_then(|s| s.refused.as_ref()).map(|r| r.status)
}

#[test]
fn targets_are_rewritten_and_remembered() {
    let table: [(&[u8], &str); 7] = [
        (b"/a/host@b#pool?x=1#2", "/a/host@b%23pool?x=1%232"),
        (b"/with space and \"quotes\"", "/with%20space%20and%20%22quotes%22"),
        (b"/<>{}|\\^`[]", "/%3C%3E%7B%7D%7C%5C%5E%60%5B%5D"),
        ("/ü".as_bytes(), "/%C3%BC"),
        (b"/already%2Fencoded%zz", "/already%2Fencoded%zz"),
        (b"http://other:1/p?q", "/p?q"),
        (b"HTTP://other", "/"),
    ];
    for (target, uri) in table {
        let mut message = b"GET ".to_vec();
        message.extend_from_slice(target);
        message.extend_from_slice(b" HTTP/1.1\r\nHost: x\r\n\r\n");
        let (out, seen, _) = whole(&message);
        assert_eq!(String::from_utf8(out).unwrap(), format!("GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(seen, [Seen { target: target.to_vec(), uri: uri.into(), refused: None }]);
    }
}

#[test]
fn bodies_end_where_they_say() {
    let text = format!(
        "\r\n\r\nPOST /1 HTTP/1.1\r\n{HOST}content-length: 5\r\n\r\nGET /GET /2 HTTP/1.0\r\n\r\n\
         PUT /3 HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\r\n\r\n\
         b;x=\"y\"\r\nGET / HTTP/\r\n0\r\nTrailer: 1\r\n\r\nGET /4 HTTP/1.1\r\n{HOST}\r\n"
    );
    let (out, seen, broken) = whole(text.as_bytes());
    assert!(!broken);
    assert_eq!(String::from_utf8(out).unwrap(), text[4..]);
    let uris: Vec<_> = seen.iter().map(|s| s.uri.as_str()).collect();
    assert_eq!(uris, ["/1", "/2", "/3", "/4"]);
}

#[test]
fn what_two_readers_could_frame_differently_is_refused() {
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 5\r\n",
        " Content-Length: 5\r\n",
        "X: y\r\n Content-Length: 5\r\n",
        "Content-Length: 5\nX: y\r\n",
        "X: y\rContent-Length: 5\r\n",
        "X: y\0\r\n",
        "X: \x0b\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Host: y\r\n",
        "no colon\r\n",
        ": no name\r\n",
        "na me: x\r\n",
    ];
    for extra in heads {
        let text = format!("POST / HTTP/1.1\r\n{HOST}{extra}\r\nGET /smuggled HTTP/1.1\r\n{HOST}\r\n");
        let (out, seen, _) = whole(text.as_bytes());
        assert_eq!(refusal(text.as_bytes()), Some(StatusCode::BAD_REQUEST), "{extra:?}");
        assert_eq!(seen.len(), 1, "nothing after a refused head is read: {extra:?}");
        assert!(!String::from_utf8_lossy(&out).contains("smuggled"));
    }
    let lines = [
        ("GET /\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("CONNECT /x HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    ];
    for (text, status) in lines {
        assert_eq!(refusal(text.as_bytes()).map(|s| s.as_u16()), Some(status), "{text:?}");
    }
}

#[test]
fn broken_chunks_break_the_reading() {
    let bodies = [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "\r\nhello",
        ";x\r\n",
        "-1\r\n",
        "0x5\r\n",
        "10000000000000000\r\n",
        "5\r\rhello",
        "0\r\nX: y\n\r\n",
    ];
    for body in bodies {
        let text = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}");
        let (_, seen, broken) = whole(text.as_bytes());
        assert!(broken, "{body:?}");
        assert_eq!(seen.len(), 1);
    }
    let long = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(300));
    assert!(whole(long.as_bytes()).2);
}

#[test]
fn limits_of_a_head_hold_also_while_it_is_not_whole() {
    let long = format!("GET /volume/v3/{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(9 << 10));
    assert_eq!(refusal(long.as_bytes()), Some(StatusCode::URI_TOO_LONG));
    assert_eq!(refusal(&long.as_bytes()[..8300]), Some(StatusCode::URI_TOO_LONG));
    let (_, seen, _) = whole(long.as_bytes());
    assert!(seen[0].uri.starts_with("/volume/v3/aaa"), "the API can be told from what is kept");
    let fits = format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat((8 << 10) - 1));
    assert_eq!(refusal(fits.as_bytes()), None);
    let fat = format!("GET / HTTP/1.1\r\n{HOST}X: {}", "a".repeat(65 << 10));
    assert_eq!(refusal(fat.as_bytes()), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    let many = format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(refusal(many.as_bytes()), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
}

#[test]
fn what_follows_an_upgrade_waits_for_the_answer() {
    let text =
        format!("GET / HTTP/1.1\r\n{HOST}Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
    for upgraded in [true, false] {
        let mut framer = Framer::new(HeadLimits::default());
        let mut out = Vec::new();
        framer.push(format!("{text}GET /#2 HTTP/1.1\r\n{HOST}\r\n").as_bytes(), &mut out).unwrap();
        assert_eq!(out, text.as_bytes());
        assert!(framer.is_undecided());
        framer.decide(upgraded, &mut out).unwrap();
        let rest = String::from_utf8(out.split_off(text.len())).unwrap();
        let want = if upgraded { "GET /#2 HTTP/1.1" } else { "GET /%232 HTTP/1.1" };
        assert!(rest.starts_with(want), "{rest}");
    }
}

/// Messages good and bad, one after the other, with noise mixed in.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let message = prop_oneof![
        "[/][ -~]{0,20}".prop_map(|t| format!("GET {t} HTTP/1.1\r\n{HOST}\r\n").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| {
            let mut m =
                format!("PUT /b HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
            m.extend(body);
            m
        }),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..4).prop_map(|chunks| {
            let mut m = format!("PUT /c HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for chunk in chunks {
                m.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                m.extend(chunk);
                m.extend(b"\r\n");
            }
            m.extend(b"0\r\n\r\n");
            m
        }),
        Just(b"\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
        "[\r\n :;a-zA-Z0-9/.#-]{0,30}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(message, 1..8).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_changes_nothing(text in stream(), cuts in prop::collection::vec(1usize..40, 0..20)) {
        let at_once = whole(&text);
        let mut rest = &text[..];
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(&feed(pieces), &at_once);
        prop_assert_eq!(feed(text.chunks(1)), at_once);
    }
}
