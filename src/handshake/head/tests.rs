use super::*;

const HEAD: &str = "GET /chat HTTP/1.1\r\nHost: example.com\r\nCookie: a=\u{e9}\r\n\r\n";

/// The head, and the rest.
type Parts = (Vec<u8>, Vec<u8>);

/// What a buffer makes of these pieces: the head and the rest, or the error's text.
fn collect<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Parts>, String> {
    let mut buffer = HeadBuffer::new(16 * 1024);
    let mut is_complete = false;
    for piece in pieces {
        is_complete = buffer.push(piece).map_err(|error| error.to_string())?;
    }
    Ok(is_complete.then(|| (buffer.head().to_vec(), buffer.into_rest())))
}

/// A head of exactly this many bytes, in lines that are not too long.
fn head_of(length: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    while length - head.len() > 4000 {
        head.extend_from_slice(format!("X: {}\r\n", "x".repeat(1000)).as_bytes());
    }
    let left = length - head.len() - "X: \r\n\r\n".len();
    head.extend_from_slice(format!("X: {}\r\n\r\n", "x".repeat(left)).as_bytes());
    assert_eq!(head.len(), length);
    head
}

#[test]
fn a_head_split_anywhere_is_the_same_head() {
    let mut bytes = HEAD.as_bytes().to_vec();
    bytes.extend_from_slice(b"\x81\x05hello\r\n\r\n");
    let whole = collect([&bytes[..]]);
    assert_eq!(
        whole,
        Ok(Some((
            HEAD.as_bytes().to_vec(),
            b"\x81\x05hello\r\n\r\n".to_vec()
        )))
    );
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(collect(pieces), whole, "{first} {second}");
        }
    }
    assert_eq!(collect(bytes.chunks(1)), whole);
}

#[test]
fn fifty_heads_mean_the_same_in_a_thousand_random_splits() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let (mut good, mut bad) = (0, 0);
    for n in 0..50 {
        let mut head = HEAD.as_bytes().to_vec();
        for _ in 0..n / 10 {
            // The first ten stay as they are.
            let place = random(head.len());
            let junk = [
                &b"\r"[..],
                b"\n",
                b"\r\n",
                b"x",
                b" ",
                b"\0",
                b"\r\n\r\n",
                &[0xff],
            ][random(8)];
            head.splice(place..place, junk.iter().copied());
        }
        let whole = collect([&head[..]]);
        *(if whole.is_ok() { &mut good } else { &mut bad }) += 1;
        for _ in 0..1000 {
            let mut rest = &head[..];
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(1 + random(rest.len().min(20)));
                pieces.push(piece);
                rest = left;
            }
            assert_eq!(collect(pieces), whole, "{}", head.escape_ascii());
        }
    }
    assert!(good >= 10 && bad >= 10, "{good} {bad}");
}

#[test]
fn a_head_in_single_bytes_costs_no_more_than_two_looks_at_each() {
    let head = head_of(16 * 1024);
    for size in [1, 2, 7, 1000, head.len()] {
        let mut buffer = HeadBuffer::new(head.len());
        let complete = head
            .chunks(size)
            .filter(|piece| buffer.push(piece).unwrap())
            .count();
        assert_eq!(complete, 1);
        assert!(buffer.visited >= head.len());
        assert!(buffer.visited <= 2 * head.len(), "{}", buffer.visited);
    }
}

#[test]
fn the_limit_counts_the_head_alone_and_is_inclusive() {
    for limit in [1000, 16 * 1024] {
        for length in [limit - 1, limit] {
            let mut bytes = head_of(length);
            bytes.extend_from_slice(&[0; 5000]);
            let mut buffer = HeadBuffer::new(limit);
            assert!(buffer.push(&bytes).unwrap());
            assert!(buffer.push(&[1; 5000]).unwrap());
            assert_eq!(buffer.head().len(), length);
            assert_eq!(buffer.into_rest().len(), 10_000);
        }
        let head = head_of(limit + 1);
        let mut buffer = HeadBuffer::new(limit);
        assert!(matches!(
            buffer.push(&head),
            Err(HandshakeError::HeadTooLarge)
        ));
        let mut buffer = HeadBuffer::new(limit);
        assert!(!buffer.push(&head[..limit]).unwrap());
        assert!(matches!(
            buffer.push(&head[limit..]),
            Err(HandshakeError::HeadTooLarge)
        ));
    }
}

#[test]
fn a_line_has_at_most_8_kib() {
    let line = |length: usize| format!("GET / HTTP/1.1\r\nX:{}\r\n\r\n", "x".repeat(length - 2));
    assert!(
        HeadBuffer::new(1 << 20)
            .push(line(8192).as_bytes())
            .unwrap()
    );
    assert!(matches!(
        HeadBuffer::new(1 << 20).push(line(8193).as_bytes()),
        Err(HandshakeError::HeadTooLarge)
    ));
    assert!(matches!(
        HeadBuffer::new(1 << 20).push(&[b'x'; 8193]),
        Err(HandshakeError::HeadTooLarge)
    ));
}

#[test]
fn other_protocols_are_refused_in_their_first_bytes() {
    let mut seed = 7_u32;
    for _ in 0..100 {
        let junk: Vec<u8> = (0..4096)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            })
            .collect();
        assert!(matches!(
            HeadBuffer::new(1 << 20).push(&junk),
            Err(HandshakeError::Http(_))
        ));
    }
    for junk in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], // TLS
        b"\x16",
        b"\x80\x2e\x01\x00\x02", // SSL 2
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"EHLO example.com\r\n",
        b"220 example.com ESMTP\r\n",
        b"GET /\r\n",
        b"GET / HTTP/2\r\n",
        b"GET / xHTTP/1.1\r\n",
        b"\r\nGET / HTTP/1.1\r\n",
        b"\nGET / HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"\x00",
        b"\x81\x85",
        b"{\"jsonrpc\":",
        b"\xef\xbb\xbfGET / HTTP/1.1\r\n",
    ] {
        assert!(
            matches!(
                HeadBuffer::new(100).push(junk),
                Err(HandshakeError::Http(_))
            ),
            "{}",
            junk.escape_ascii()
        );
    }
}

#[test]
fn control_bytes_and_half_line_ends_are_refused_at_once() {
    for byte in (0..0x20).chain([0x7f]) {
        let mut buffer = HeadBuffer::new(100);
        buffer.push(b"GET / HTTP/1.1\r\nX: a").unwrap();
        let outcome = buffer.push(&[byte]);
        if matches!(byte, b'\t' | b'\r') {
            assert!(!outcome.unwrap());
        } else if byte == b'\n' {
            assert!(matches!(
                outcome,
                Err(HandshakeError::Http("a line feed alone"))
            ));
        } else {
            assert!(
                matches!(outcome, Err(HandshakeError::Http("a control byte"))),
                "{byte}"
            );
        }
    }
    for byte in [b'\r', b'x', b' ', 0xff] {
        let mut buffer = HeadBuffer::new(100);
        buffer.push(b"GET / HTTP/1.1\r").unwrap();
        assert!(matches!(buffer.push(&[byte]), Err(HandshakeError::Http(_))));
    }
}

#[test]
fn an_incomplete_head_is_shown_as_far_as_it_goes() {
    let mut buffer = HeadBuffer::new(100);
    assert!(!buffer.push(b"").unwrap());
    assert_eq!(buffer.head(), b"");
    assert!(!buffer.push(b"G").unwrap());
    assert_eq!(buffer.head(), b"G");
    assert_eq!(buffer.into_rest(), b"");
}

#[test]
fn a_status_line_begins_a_head_too() {
    for line in [
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/1.0 200 Connection established",
    ] {
        let head = format!("{line}\r\n\r\nrest");
        let (head, rest) = collect([head.as_bytes()]).unwrap().unwrap();
        assert_eq!(head, format!("{line}\r\n\r\n").as_bytes());
        assert_eq!(rest, b"rest");
    }
}
