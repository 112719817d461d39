//! Both roles against each other, and what no user's input may do.

use http::{HeaderMap, StatusCode};

use super::{
    body::{body_length, dechunk},
    client::ClientHandshake,
    head::HeadBuffer,
    *,
};
use crate::error::{HandshakeError, Misuse};

fn client(
    host: &str,
    target: &str,
    subprotocol: &str,
    name: &str,
    value: &str,
) -> Result<Vec<u8>, Misuse> {
    let headers = [(name.to_owned(), value.to_owned())];
    ClientHandshake::new(
        host,
        target,
        &[subprotocol.to_owned()],
        None,
        &headers,
        [7; 16],
    )
    .map(|handshake| handshake.request().to_vec())
}

fn request(handshake: &ClientHandshake) -> Request {
    let mut buffer = HeadBuffer::new(16 * 1024);
    assert!(buffer.push(handshake.request()).unwrap());
    let request = server::parse(buffer.head()).unwrap();
    assert!(buffer.into_rest().is_empty());
    request
}

#[test]
fn the_key_is_answered_as_in_rfc_6455_section_1_3() {
    assert_eq!(
        accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn a_client_and_a_server_agree() {
    let subprotocols = ["a".to_owned(), "b".to_owned()];
    let headers = [("Cookie".to_owned(), "c=d".to_owned())];
    for nonce in 0..=255 {
        let handshake = ClientHandshake::new(
            "[::1]:9",
            "/p?q",
            &subprotocols,
            Some(Deflate::new()),
            &headers,
            [nonce; 16],
        )
        .unwrap();
        let request = request(&handshake);
        server::check_upgrade(&request).unwrap();
        assert_eq!(request.header("cookie"), Some("c=d"));
        let chosen = server::choose_subprotocol(&request, &["b".to_owned()]);
        let acceptance = Acceptance::new().header("Set-Cookie", "e=f").unwrap();
        let answer = server::accept(
            &request,
            chosen.as_deref(),
            server::choose_deflate(&request, Some(Deflate::new())).as_ref(),
            &acceptance.headers,
        );
        let accepted = handshake.judge(&answer).unwrap();
        assert_eq!(accepted.subprotocol.as_deref(), Some("b"));
        assert!(accepted.deflate.is_some());
        assert_eq!(accepted.headers["set-cookie"], "e=f");
        // Another connection's answer is none to this one.
        let other = ClientHandshake::new("[::1]:9", "/", &subprotocols, None, &[], [nonce ^ 1; 16])
            .unwrap();
        assert!(other.judge(&answer).is_err());
    }
}

#[test]
fn a_client_understands_a_server_s_refusal() {
    let handshake = ClientHandshake::new("a", "/", &[], None, &[], [0; 16]).unwrap();
    let page = Response::new(StatusCode::UNAUTHORIZED)
        .body("who?")
        .to_bytes(false);
    for (answer, status, body) in [
        (
            server::refuse(&HandshakeError::Version, false),
            426,
            &b"WebSocket only\n"[..],
        ),
        (page, 401, b"who?"),
    ] {
        let mut buffer = HeadBuffer::new(16 * 1024);
        assert!(buffer.push(&answer).unwrap());
        let Err(HandshakeError::Status(refusal)) = handshake.judge(buffer.head()) else {
            panic!();
        };
        assert_eq!(refusal.status.as_u16(), status);
        assert_eq!(
            body_length(refusal.status, &refusal.headers),
            Some(body.len() as u64)
        );
        assert_eq!(buffer.into_rest(), body);
    }
    assert_eq!(dechunk(b"4\r\nwho?\r\n0\r\n\r\n").0, b"who?");
}

/// An input that a user controls: a name for messages, what is good, and the bytes sent if it is taken.
type Input = (
    &'static str,
    &'static str,
    fn(&str) -> Result<Vec<u8>, Misuse>,
);

const INPUTS: [Input; 10] = [
    ("host", "ab", |text| client(text, "/", "p", "X", "y")),
    ("target", "/ab", |text| client("h", text, "p", "X", "y")),
    ("subprotocol", "ab", |text| client("h", "/", text, "X", "y")),
    ("header name", "ab", |text| client("h", "/", "p", text, "y")),
    ("header value", "ab", |text| {
        client("h", "/", "p", "X", text)
    }),
    ("origin", "ab", |text| client("h", "/", "p", "Origin", text)),
    ("answer's name", "ab", |text| {
        Ok(Response::text("").header(text, "y")?.to_bytes(false))
    }),
    ("answer's value", "ab", |text| {
        Ok(Response::text("").header("X", text)?.to_bytes(false))
    }),
    ("acceptance's value", "ab", |text| {
        accepted(Acceptance::new().header("X", text)?)
    }),
    ("acceptance's subprotocol", "ab", |text| {
        accepted(Acceptance::new().subprotocol(text)?)
    }),
];

fn accepted(acceptance: Acceptance) -> Result<Vec<u8>, Misuse> {
    let handshake = ClientHandshake::new("h", "/", &[], None, &[], [0; 16])?;
    let subprotocol = acceptance.subprotocol.as_deref();
    Ok(server::accept(
        &request(&handshake),
        subprotocol,
        None,
        &acceptance.headers,
    ))
}

#[test]
fn no_user_s_input_leaves_its_place() {
    // The last two have the low bytes of CR and LF, and became these in a library that cut characters short.
    let bad = [
        "\r", "\n", "\r\n", "\0", "\x01", "\t", "\x0b", "\x1b", "\x1f", "\x7f", "\u{80}", "\u{e9}",
        "\u{10d}", "\u{10a}",
    ];
    for (what, good, send) in INPUTS {
        let sent = send(good).unwrap_or_else(|misuse| panic!("{what}: {misuse}"));
        assert_eq!(
            sent.windows(4)
                .filter(|window| window == b"\r\n\r\n")
                .count(),
            1
        );
        for bad in bad {
            for place in 0..=good.len() {
                let mut text = good.to_owned();
                text.insert_str(place, bad);
                assert!(send(&text).is_err(), "{what}: {text:?}");
            }
            assert!(send(bad).is_err(), "{what}: {bad:?}");
        }
        for edge in [format!(" {good}"), format!("{good} ")] {
            assert!(send(&edge).is_err(), "{what}: {edge:?}");
        }
    }
}

#[test]
fn names_hosts_and_targets_hold_no_separators() {
    for (what, _, send) in INPUTS {
        if what.contains("name") || what.contains("subprotocol") {
            for text in ["a:b", ":a", "a b", "a,b", "a;b", "\"a\"", ""] {
                assert!(send(text).is_err(), "{what}: {text:?}");
            }
        }
    }
    for host in ["", "a/b", "u@a", "a?b", "a#b", "a b", "a,b"] {
        assert!(
            matches!(client(host, "/", "p", "X", "y"), Err(Misuse::Url(_))),
            "{host}"
        );
    }
    for target in ["", "a", "*", "/a b", "/#a", "http://a/"] {
        assert!(
            matches!(client("h", target, "p", "X", "y"), Err(Misuse::Url(_))),
            "{target}"
        );
    }
    let twice = ["a".to_owned(), "a".to_owned()];
    assert_eq!(
        ClientHandshake::new("h", "/", &twice, None, &[], [0; 16]).err(),
        Some(Misuse::Subprotocol("a".to_owned()))
    );
}

#[test]
fn ten_thousand_random_inputs_make_one_head_or_none() {
    let alphabet = [
        '\r', '\n', ' ', ':', 'a', 'b', '/', ',', '\u{e9}', '\t', '=', '-',
    ];
    let mut seed = 1_u32;
    let mut sent = 0;
    for n in 0..10_000 {
        let mut text = String::new();
        for _ in 0..1 + n % 5 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(alphabet[(seed >> 16) as usize % alphabet.len()]);
        }
        for (what, _, send) in INPUTS {
            if let Ok(bytes) = send(&text) {
                sent += 1;
                let lines = bytes.split(|&byte| byte == b'\n').count();
                let expected = send(if what == "target" { "/" } else { "a" }).unwrap();
                assert_eq!(
                    lines,
                    expected.split(|&byte| byte == b'\n').count(),
                    "{what}: {text:?}"
                );
            }
        }
    }
    assert!(sent > 1000, "{sent}");
}

#[test]
fn an_answer_without_callback_is_the_default() {
    assert!(matches!(Answer::default(), Answer::Default));
    assert!(matches!(Answer::from(Acceptance::new()), Answer::Accept(_)));
    assert!(matches!(
        Answer::from(Response::text("")),
        Answer::Respond(_)
    ));
    assert!(Acceptance::new().headers == HeaderMap::new());
}
