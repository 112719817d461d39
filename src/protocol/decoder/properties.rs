//! What holds for any stream, in whatever pieces it arrives.

use proptest::{collection::vec, prelude::*};

use super::tests::{LIMITS, Seen, feed_in};
use super::*;
use crate::protocol::{Encoder, deflate::Compression};

/// A message, in fragments with a ping behind each of them, or a control frame.
#[derive(Debug, Clone)]
enum Sent {
    Text(String, usize),
    Binary(Vec<u8>, usize),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    // Text with characters of every length; bytes that compress and bytes that do not.
    let text = prop_oneof!["\\PC{0,40}", "[a\u{e9}\u{20ac}\u{1f600}]{0,300}"];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0usize..70_000).prop_map(|(byte, len)| vec![byte; len]),
    ];
    let control = vec(any::<u8>(), 0..=125);
    prop_oneof![
        3 => (text, 1usize..400).prop_map(|(text, piece)| Sent::Text(text, piece)),
        3 => (bytes, 1usize..80_000).prop_map(|(bytes, piece)| Sent::Binary(bytes, piece)),
        1 => control.clone().prop_map(Sent::Ping),
        1 => control.prop_map(Sent::Pong),
    ]
}

fn compression() -> impl Strategy<Value = Option<Compression>> {
    let compression = (0u32..10, 0usize..200, 8u8..16, any::<bool>()).prop_map(
        |(level, threshold_bytes, window_bits, takes_over)| Compression {
            level,
            threshold_bytes,
            window_bits,
            takes_over,
        },
    );
    proptest::option::of(compression)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// A few lengths, taken in turn.
fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1usize..4, 1usize..200, 1usize..100_000], 1..20)
}

/// The bytes of all that, and what is to be seen of it.
fn encode(role: Role, compression: Option<Compression>, all: &[Sent]) -> (Vec<u8>, Vec<Seen>) {
    let mut encoder = Encoder::new(role, compression);
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for sent in all {
        let (opcode, bytes, piece, seen) = match sent {
            Sent::Text(text, piece) => (
                Opcode::Text,
                text.as_bytes(),
                *piece,
                Seen::Text(text.clone()),
            ),
            Sent::Binary(bytes, piece) => (
                Opcode::Binary,
                &bytes[..],
                *piece,
                Seen::Binary(bytes.clone()),
            ),
            Sent::Ping(bytes) => (Opcode::Ping, &bytes[..], 0, Seen::Ping(bytes.clone())),
            Sent::Pong(bytes) => (Opcode::Pong, &bytes[..], 0, Seen::Pong(bytes.clone())),
        };
        if opcode.is_control() {
            encoder.frame(opcode, true, bytes, &mut stream).unwrap();
            expected.push(seen);
            continue;
        }
        let mut opcode = opcode;
        let mut rest = bytes;
        loop {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            let is_final = later.is_empty();
            encoder
                .data_frame(opcode, is_final, now, true, &mut stream)
                .unwrap();
            if is_final {
                break;
            }
            encoder
                .frame(Opcode::Ping, true, b"between", &mut stream)
                .unwrap();
            expected.push(Seen::Ping(b"between".to_vec()));
            (opcode, rest) = (Opcode::Continuation, later);
        }
        expected.push(seen);
    }
    (stream, expected)
}

fn decoder(peer: Role, compression: Option<Compression>, received: &[u8]) -> Decoder {
    let decompressor = compression.map(|it| Decompressor::new(it.takes_over));
    Decoder::new(peer, LIMITS, decompressor, received.to_vec())
}

/// Many in little time, and few where an interpreter runs them.
fn config() -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_encoded_is_decoded_in_whatever_pieces_it_comes(
        role in role(),
        compression in compression(),
        all in vec(sent(), 0..8),
        pieces in pieces(),
    ) {
        let (stream, expected) = encode(role, compression, &all);
        let mut piece = pieces.iter().cycle();
        let decoder = decoder(role, compression, &[]);
        let (seen, _) = feed_in(decoder, &stream, || *piece.next().unwrap());
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn a_damaged_stream_comes_to_the_same_in_whatever_pieces(
        role in role(),
        compression in compression(),
        all in vec(sent(), 1..5),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        pieces in pieces(),
    ) {
        let (mut stream, _) = encode(role, compression, &all);
        for (place, byte) in damage {
            let place = place.index(stream.len());
            stream[place] = byte;
        }
        let (mut whole, _) = feed_in(decoder(role, compression, &stream), &[], || 1);
        let mut piece = pieces.iter().cycle();
        let in_pieces = decoder(role, compression, &[]);
        let (mut seen, _) = feed_in(in_pieces, &stream, || *piece.next().unwrap());
        // A compressed payload may have two things wrong; which shows first depends on the pieces.
        let in_payload = |seen: Option<&Seen>| {
            use ProtocolError::{Deflate, MessageTooBig, Utf8};
            matches!(seen, Some(Seen::Error(Deflate | MessageTooBig | Utf8)))
        };
        if compression.is_some() && in_payload(whole.last()) && in_payload(seen.last()) {
            whole.pop();
            seen.pop();
        }
        prop_assert_eq!(seen, whole);
    }
}
