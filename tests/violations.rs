//! What a peer does wrong on an open connection: each violation is answered with its code, and is the end.

#[path = "common/raw.rs"]
mod raw;

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;

use raw::{
    BINARY, CLOSE, CONTINUATION, PATIENCE, PING, PONG, Pair, Raw, TEXT, both_roles, client,
    in_time, patient, server,
};
use wstrand::{CloseInfo, Error, Handler, Message, Options, ProtocolError, ReadyState, Sender};

/// What a peer may do wrong: what it is, the bytes, the code that answers them, and the error.
type Fault = (String, Vec<u8>, u16, ProtocolError);

fn faults(raw: &Raw) -> Vec<Fault> {
    [
        headers(raw),
        lengths(raw),
        orders(raw),
        closes(raw),
        texts(raw),
        limits(raw),
    ]
    .concat()
}

fn first(raw: &Raw, first: u8, payload: &[u8]) -> Vec<u8> {
    raw.build(first, payload).bytes()
}

/// Every reserved bit and opcode, halves of control frames, and the wrong mask.
fn headers(raw: &Raw) -> Vec<Fault> {
    use ProtocolError as E;
    let mut faults = Vec::new();
    for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
        for bits in 1..8u8 {
            let bytes = first(raw, 0x80 | bits << 4 | opcode, b"x");
            faults.push((
                format!("bits {bits} of opcode {opcode}"),
                bytes,
                1002,
                E::ReservedBit,
            ));
        }
        let mut frame = raw.build(0x80 | opcode, "");
        let error = match frame.mask {
            Some(_) => E::Unmasked,
            None => E::Masked,
        };
        frame.mask = match frame.mask {
            Some(_) => None,
            None => Some([1, 2, 3, 4]),
        };
        faults.push((
            format!("the mask of opcode {opcode}"),
            frame.bytes(),
            1002,
            error,
        ));
    }
    for opcode in (3..8).chain(11..16) {
        for is_final in [0, 0x80] {
            let bytes = first(raw, is_final | opcode, b"x");
            faults.push((format!("opcode {opcode}"), bytes, 1002, E::Opcode(opcode)));
        }
    }
    for opcode in [CLOSE, PING, PONG] {
        let bytes = first(raw, opcode, b"x");
        faults.push((
            format!("half of opcode {opcode}"),
            bytes,
            1002,
            E::FragmentedControl,
        ));
    }
    faults
}

/// Lengths that are not in their shortest form, or negative; control frames that are too long.
fn lengths(raw: &Raw) -> Vec<Fault> {
    use ProtocolError as E;
    let mut faults = Vec::new();
    for (name, length, payload) in [
        ("0 in 16 bits", &[126, 0, 0][..], 0),
        ("125 in 16 bits", &[126, 0, 125], 125),
        ("0 in 64 bits", &[127, 0, 0, 0, 0, 0, 0, 0, 0], 0),
        ("126 in 64 bits", &[127, 0, 0, 0, 0, 0, 0, 0, 126], 126),
        (
            "65535 in 64 bits",
            &[127, 0, 0, 0, 0, 0, 0, 255, 255],
            65535,
        ),
        ("a negative length", &[127, 128, 0, 0, 0, 0, 0, 0, 0], 0),
    ] {
        let mut build = raw.build(0x80 | BINARY, vec![0; payload]);
        build.length = Some(length.to_vec());
        faults.push((name.to_owned(), build.bytes(), 1002, E::Length));
    }
    for opcode in [CLOSE, PING, PONG] {
        for len in [126, 127, 70_000] {
            let bytes = raw.bytes(opcode, vec![b'x'; len]);
            faults.push((
                format!("opcode {opcode} of {len} bytes"),
                bytes,
                1002,
                E::LongControl,
            ));
        }
    }
    faults
}

/// Fragments in a wrong order.
fn orders(raw: &Raw) -> Vec<Fault> {
    use ProtocolError as E;
    let mut faults = Vec::new();
    for is_final in [0, 0x80] {
        let bytes = first(raw, is_final | CONTINUATION, b"x");
        faults.push((
            format!("a lone continuation, {is_final}"),
            bytes,
            1002,
            E::LoneContinuation,
        ));
        for outer in [TEXT, BINARY] {
            for inner in [TEXT, BINARY] {
                let bytes = [first(raw, outer, b"x"), first(raw, is_final | inner, b"x")].concat();
                faults.push((
                    format!("{inner} inside {outer}"),
                    bytes,
                    1002,
                    E::Interleaved,
                ));
            }
        }
    }
    faults
}

/// Codes and reasons that nobody may send.
fn closes(raw: &Raw) -> Vec<Fault> {
    use ProtocolError as E;
    let mut faults = vec![
        (
            "half a code".to_owned(),
            raw.bytes(CLOSE, [3]),
            1002,
            E::CloseLength,
        ),
        (
            "a bad reason".to_owned(),
            raw.bytes(CLOSE, b"\x03\xe8\xff"),
            1007,
            E::Utf8,
        ),
        (
            "half a character".to_owned(),
            raw.bytes(CLOSE, b"\x03\xe8\xe2\x82"),
            1007,
            E::Utf8,
        ),
    ];
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 5001, 65_535,
    ] {
        let bytes = raw.bytes(CLOSE, u16::to_be_bytes(code));
        faults.push((format!("code {code}"), bytes, 1002, E::CloseCode(code)));
    }
    faults
}

/// Text that is none, whole and in fragments.
fn texts(raw: &Raw) -> Vec<Fault> {
    let mut faults = Vec::new();
    for bad in [
        &b"ok\xc3\x28"[..],
        b"\xe2\x82",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let whole = raw.bytes(TEXT, bad);
        let (one, other) = bad.split_at(bad.len() - 1);
        let split = [
            first(raw, TEXT, one),
            first(raw, 0x80 | CONTINUATION, other),
        ];
        for bytes in [whole, split.concat()] {
            let name = format!("text {}", bad.escape_ascii());
            faults.push((name, bytes, 1007, ProtocolError::Utf8));
        }
    }
    let bytes = first(raw, TEXT, b"\xed\xa0\x80");
    faults.push((
        "text to be continued".to_owned(),
        bytes,
        1007,
        ProtocolError::Utf8,
    ));
    faults
}

/// One more than `limited` allows.
fn limits(raw: &Raw) -> Vec<Fault> {
    use ProtocolError as E;
    let one_more = first(raw, 0x80 | BINARY, &[0; 70_001])[..14].to_vec();
    let fragments = [
        first(raw, BINARY, &[0; 40_000]),
        first(raw, CONTINUATION, &[0; 30_001])[..8].to_vec(),
    ];
    let empty = first(raw, CONTINUATION, b"").repeat(3);
    let too_many = [first(raw, BINARY, b""), empty].concat();
    [
        (
            "one byte too many, which the header tells",
            one_more,
            1009,
            E::MessageTooBig,
        ),
        (
            "one byte too many in fragments",
            fragments.concat(),
            1009,
            E::MessageTooBig,
        ),
        ("one fragment too many", too_many, 1008, E::TooManyFragments),
    ]
    .map(|(name, bytes, code, error)| (name.to_owned(), bytes, code, error))
    .into()
}

fn limited() -> Options {
    let mut options = patient();
    options.max_message_bytes(70_000).max_fragments(3);
    options
}

#[track_caller]
fn assert_failed(info: Option<CloseInfo>, what: &str) {
    let info = info.expect("it has ended");
    assert_eq!((info.code, info.was_clean), (1006, false), "{what}");
}

#[test]
fn every_fault_of_the_peer_is_answered_with_its_code_and_the_end() {
    fn check(connect: fn(&Options) -> Pair) {
        let all = faults(&connect(&limited()).raw);
        assert!(all.len() >= 100, "{}", all.len());
        for (name, bytes, code, expected) in all {
            let pair = connect(&limited());
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let mut all = raw.bytes(TEXT, "before");
            all.extend(bytes);
            raw.write(&all);
            // Not to be delivered.
            raw.send(TEXT, "after");
            let peer = thread::spawn(move || {
                let close = raw.frame();
                raw.end();
                close
            });
            let message = ws.receive_timeout(PATIENCE).unwrap();
            assert_eq!(message, Some(Message::Text("before")), "{name}");
            for _ in 0..2 {
                let error = ws.receive().unwrap_err();
                assert!(
                    matches!(error, Error::Protocol(error) if error == expected),
                    "{name}: {error:?}"
                );
            }
            let error = ws.send_text("x").unwrap_err();
            assert!(matches!(error, Error::Protocol(error) if error == expected));
            assert_failed(ws.close_info(), &name);
            assert_eq!(ws.ready_state(), ReadyState::Closed);
            let close = peer.join().unwrap();
            assert_eq!(close.close().0, code, "{name}");
        }
    }

    in_time(|| {
        let roles = [client, server].map(|role| thread::spawn(move || check(role)));
        for role in roles {
            role.join().unwrap();
        }
    });
}

/// Tells what it is called for.
struct Calls(mpsc::Sender<&'static str>);

impl Handler for Calls {
    fn on_message(&mut self, _: &Sender, _: Message<'_>) {
        self.0.send("message").unwrap();
    }

    fn on_ping(&mut self, _: &Sender, _: &[u8]) {
        self.0.send("ping").unwrap();
    }

    fn on_error(&mut self, _: &Sender, _: &Error) {
        self.0.send("error").unwrap();
    }

    fn on_close(&mut self, _: &Sender, close: &CloseInfo) {
        assert_eq!((close.code, close.was_clean), (1000, true));
        self.0.send("close").unwrap();
    }
}

#[test]
fn a_mebibyte_behind_close_is_answered_by_one_close_and_is_one_event() {
    in_time(|| {
        for junk in 0..4 {
            both_roles(&patient(), |pair| {
                let Pair { ws, mut raw, .. } = pair;
                let piece = match junk {
                    0 => vec![0xff; 1000],
                    1 => raw.bytes(PING, "still there?"),
                    2 => raw.bytes(CLOSE, [3, 233]),
                    _ => raw.bytes(TEXT, "x".repeat(1000)),
                };
                let mut bytes = raw.bytes(CLOSE, [3, 232]);
                bytes.extend(piece.repeat((1 << 20) / piece.len()));
                let (tell, told) = mpsc::channel();
                ws.spawn(Calls(tell)).unwrap();
                let mut writer = raw.stream.try_clone().unwrap();
                let writing = thread::spawn(move || {
                    // It may be cut before the end.
                    let _ = writer.write_all(&bytes);
                    let _ = writer.shutdown(Shutdown::Write);
                });
                assert_eq!(raw.frame().close().0, 1000);
                raw.gone();
                writing.join().unwrap();
                let calls: Vec<_> = told.iter().collect();
                assert_eq!(calls, ["close"]);
            });
        }
    });
}
