//! Bytes in, steps out. No socket, no clock.

use super::*;
use crate::protocol::Encoder;

/// What a decoder said, in a form that is easy to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Error(ProtocolError),
}

pub(super) const LIMITS: Limits = Limits {
    max_message_bytes: 16 << 20,
    max_fragments: 131_072,
};

/// Feeds `stream` in pieces of `piece` bytes, as a socket would: never more than there is room for.
fn decode_with(stream: &[u8], piece: usize, peer: Role, limits: Limits) -> (Vec<Seen>, Decoder) {
    feed(Decoder::new(peer, limits, None, Vec::new()), stream, piece)
}

fn feed(decoder: Decoder, stream: &[u8], piece: usize) -> (Vec<Seen>, Decoder) {
    feed_in(decoder, stream, || piece)
}

/// As `feed`, in pieces of various lengths.
pub(super) fn feed_in(
    mut decoder: Decoder,
    stream: &[u8],
    mut piece: impl FnMut() -> usize,
) -> (Vec<Seen>, Decoder) {
    let mut seen = Vec::new();
    let mut rest = stream;
    loop {
        match decoder.poll() {
            Ok(Step::NeedMore) => {
                if rest.is_empty() {
                    return (seen, decoder);
                }
                let received = rest.len().min(piece());
                let room = match decoder.room() {
                    Ok(room) => room,
                    Err(error) => {
                        seen.push(Seen::Error(error));
                        return (seen, decoder);
                    }
                };
                let spare = room.capacity() - room.len();
                assert!(spare > 0, "no room");
                let received = received.min(spare);
                room.extend_from_slice(&rest[..received]);
                decoder.received(received);
                rest = &rest[received..];
            }
            Ok(Step::Message) => match decoder.message() {
                Ok(Payload::Text(text)) => seen.push(Seen::Text(text.to_owned())),
                Ok(Payload::Binary(bytes)) => seen.push(Seen::Binary(bytes.to_vec())),
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return (seen, decoder);
                }
            },
            Ok(Step::Ping(payload)) => seen.push(Seen::Ping(payload.as_ref().to_vec())),
            Ok(Step::Pong(payload)) => seen.push(Seen::Pong(payload.as_ref().to_vec())),
            Ok(Step::Close(close)) => seen.push(Seen::Close(close.code, close.reason)),
            Err(error) => {
                seen.push(Seen::Error(error));
                return (seen, decoder);
            }
        }
    }
}

fn decode(stream: &[u8], piece: usize) -> Vec<Seen> {
    decode_with(stream, piece, Role::Server, LIMITS).0
}

fn frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    encode(Role::Server, opcode, is_final, payload)
}

fn encode(role: Role, opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(role, None)
        .frame(opcode, is_final, payload, &mut out)
        .unwrap();
    out
}

mod examples_of_rfc_6455_section_5_7 {
    use super::*;

    #[test]
    fn unmasked_and_masked_text() {
        let hello = vec![Seen::Text("Hello".into())];
        assert_eq!(decode(b"\x81\x05Hello", 99), hello);
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(decode_with(masked, 99, Role::Client, LIMITS).0, hello);
    }

    #[test]
    fn fragments_pings_and_long_payloads() {
        assert_eq!(
            decode(b"\x01\x03Hel\x80\x02lo", 99),
            [Seen::Text("Hello".into())]
        );
        assert_eq!(decode(b"\x89\x05Hello", 99), [Seen::Ping(b"Hello".into())]);
        for len in [256, 65_536] {
            let stream = frame(Opcode::Binary, true, &vec![5; len]);
            assert_eq!(decode(&stream, 4096), [Seen::Binary(vec![5; len])]);
        }
    }
}

mod section_5_4_fragmentation {
    use super::*;

    /// Every frame after every state of the fragment machine, without permessage-deflate, with it, and with it
    /// where the message that has begun is compressed: against a model written apart from it.
    #[test]
    fn every_first_byte_in_every_state_is_judged_as_the_rfcs_say() {
        let mut cases = 0;
        // No message; a text message; a binary message.
        for state in 0..3u8 {
            for (negotiated, compressed) in [(false, false), (true, false), (true, true)] {
                for first in 0..=255u8 {
                    for masked in [false, true] {
                        judge(state, negotiated, compressed, first, masked);
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 3 * 3 * 256 * 2);
    }

    fn judge(state: u8, negotiated: bool, compressed: bool, first: u8, masked: bool) {
        let mut stream = match (state, compressed) {
            (0, _) => Vec::new(),
            // "a" is one of the compressed message's bytes too: a literal, then the empty block of a flush.
            (1, true) => b"\x41\x07\x4a\x04\x00\x00\x00\xff\xff".to_vec(),
            (_, true) => b"\x42\x07\x4a\x04\x00\x00\x00\xff\xff".to_vec(),
            (1, false) => b"\x01\x01a".to_vec(),
            (_, false) => b"\x02\x01a".to_vec(),
        };
        let (is_final, rsv1, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 15);
        // What is compressed to nothing is a byte all the same (RFC 7692, section 7.2.3.6).
        let payload: &[u8] = match rsv1 || opcode == 0 && compressed {
            true => &[0],
            false => &[],
        };
        stream.push(first);
        stream.push(payload.len() as u8 | if masked { 0x80 } else { 0 });
        if masked {
            stream.extend_from_slice(&[0; 4]);
        }
        stream.extend_from_slice(payload);
        use ProtocolError as E;
        let expected: Vec<Seen> = if first & 0x30 != 0 || rsv1 && !negotiated {
            vec![Seen::Error(E::ReservedBit)]
        } else if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
            vec![Seen::Error(E::Opcode(opcode))]
        } else if rsv1 && !matches!(opcode, 1 | 2) {
            vec![Seen::Error(E::ReservedBit)]
        } else if opcode >= 8 && !is_final {
            vec![Seen::Error(E::FragmentedControl)]
        } else if masked {
            vec![Seen::Error(E::Masked)]
        } else {
            match (opcode, state, is_final) {
                (8, ..) => vec![Seen::Close(1005, String::new())],
                (9, ..) => vec![Seen::Ping(vec![])],
                (10, ..) => vec![Seen::Pong(vec![])],
                (0, 0, _) => vec![Seen::Error(E::LoneContinuation)],
                (1 | 2, 1 | 2, _) => vec![Seen::Error(E::Interleaved)],
                (0, 1, true) => vec![Seen::Text("a".into())],
                (0, 2, true) => vec![Seen::Binary(b"a".to_vec())],
                (1, _, true) => vec![Seen::Text(String::new())],
                (2, _, true) => vec![Seen::Binary(vec![])],
                _ => vec![],
            }
        };
        let decompressor = negotiated.then(|| Decompressor::new(true));
        let decoder = Decoder::new(Role::Server, LIMITS, decompressor, Vec::new());
        let (seen, _) = feed(decoder, &stream, 1);
        assert_eq!(
            seen, expected,
            "state {state}, deflate {negotiated}, compressed {compressed}: {stream:x?}"
        );
    }

    #[test]
    fn control_frames_between_fragments_are_seen_at_once_and_leave_the_message_whole() {
        let mut stream = frame(Opcode::Text, false, "κό".as_bytes());
        stream.extend(frame(Opcode::Ping, true, b"1"));
        stream.extend(frame(Opcode::Continuation, false, b""));
        stream.extend(frame(Opcode::Pong, true, b"2"));
        stream.extend(frame(Opcode::Continuation, true, "σμε".as_bytes()));
        stream.extend(frame(Opcode::Binary, true, b"next"));
        for piece in 1..=stream.len() {
            assert_eq!(
                decode(&stream, piece),
                [
                    Seen::Ping(b"1".to_vec()),
                    Seen::Pong(b"2".to_vec()),
                    Seen::Text("κόσμε".into()),
                    Seen::Binary(b"next".to_vec()),
                ]
            );
        }
    }

    #[test]
    fn the_fragment_limit_counts_empty_fragments_and_is_inclusive() {
        let limits = Limits {
            max_fragments: 4,
            ..LIMITS
        };
        let mut stream = frame(Opcode::Binary, false, b"");
        stream.extend(frame(Opcode::Continuation, false, b"").repeat(2));
        let mut whole = stream.clone();
        whole.extend(frame(Opcode::Continuation, true, b"x"));
        let seen = decode_with(&whole, 99, Role::Server, limits).0;
        assert_eq!(seen, [Seen::Binary(b"x".to_vec())]);
        stream.extend(frame(Opcode::Continuation, false, b"").repeat(2));
        let seen = decode_with(&stream, 99, Role::Server, limits).0;
        assert_eq!(seen, [Seen::Error(ProtocolError::TooManyFragments)]);
    }

    #[test]
    fn many_tiny_fragments_cost_no_memory_beyond_their_payload() {
        let mut stream = frame(Opcode::Binary, false, b"x");
        stream.extend(frame(Opcode::Continuation, false, b"x").repeat(131_070));
        stream.extend(frame(Opcode::Continuation, true, b"x"));
        let (seen, decoder) = decode_with(&stream, 64 * 1024, Role::Server, LIMITS);
        assert_eq!(seen, [Seen::Binary(vec![b'x'; 131_072])]);
        assert!(
            decoder.buffer.capacity() <= 3 * 131_072 + 65_536,
            "{}",
            decoder.buffer.capacity()
        );
    }
}

mod section_8_1_text {
    use super::*;

    #[test]
    fn bad_text_is_refused_inside_a_frame_before_the_rest_has_come() {
        // A frame of 4,000 bytes of which only a hopeless beginning arrives.
        let mut stream = frame(Opcode::Text, true, &[b'x'; 4000]);
        stream.truncate(100);
        stream.extend_from_slice(b"\xf4\x90");
        assert_eq!(decode(&stream, 7), [Seen::Error(ProtocolError::Utf8)]);
    }

    #[test]
    fn text_that_ends_inside_a_character_is_refused_whole_or_in_fragments() {
        let whole = frame(Opcode::Text, true, b"ab\xe2\x82");
        let mut fragments = frame(Opcode::Text, false, b"ab\xe2");
        fragments.extend(frame(Opcode::Continuation, true, b"\x82"));
        for stream in [whole, fragments] {
            for piece in 1..=stream.len() {
                assert_eq!(decode(&stream, piece), [Seen::Error(ProtocolError::Utf8)]);
            }
        }
    }

    #[test]
    fn binary_may_be_anything() {
        let stream = frame(Opcode::Binary, true, b"\xff\xfe\xf4\x90");
        assert_eq!(
            decode(&stream, 3),
            [Seen::Binary(b"\xff\xfe\xf4\x90".to_vec())]
        );
    }
}

mod limits {
    use super::*;

    #[test]
    fn the_message_limit_is_inclusive_and_judged_by_the_header_alone() {
        let limits = Limits {
            max_message_bytes: 1000,
            ..LIMITS
        };
        let seen = |stream: &[u8]| decode_with(stream, 4096, Role::Server, limits).0;
        assert_eq!(
            seen(&frame(Opcode::Binary, true, &[1; 1000])),
            [Seen::Binary(vec![1; 1000])]
        );
        let too_big = [Seen::Error(ProtocolError::MessageTooBig)];
        // The header of 1,001 bytes, and none of them.
        assert_eq!(seen(&frame(Opcode::Binary, true, &[1; 1001])[..4]), too_big);
        let mut fragments = frame(Opcode::Binary, false, &[1; 600]);
        fragments.extend(&frame(Opcode::Continuation, true, &[1; 401])[..4]);
        assert_eq!(seen(&fragments), too_big);
    }

    #[test]
    fn a_sum_of_lengths_beyond_64_bits_is_too_big() {
        let limits = Limits {
            max_message_bytes: usize::MAX,
            ..LIMITS
        };
        let mut stream = frame(Opcode::Binary, false, b"xx");
        stream.extend_from_slice(b"\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff");
        // Below 2^63, so not wrong in itself: waits for the payload, and has allocated next to nothing.
        let (seen, decoder) = decode_with(&stream, 99, Role::Server, limits);
        assert_eq!(seen, []);
        assert!(decoder.buffer.capacity() <= 65_536);
    }

    /// Each time the buffer grows all that has come of the message may have to be moved.
    #[test]
    fn the_buffer_grows_seldom_also_for_a_message_in_large_fragments() {
        let mut decoder = Decoder::new(Role::Server, LIMITS, None, Vec::new());
        let (mut capacities, mut received) = (Vec::new(), 0);
        for index in 0..200 {
            let opcode = [Opcode::Continuation, Opcode::Binary][usize::from(index == 0)];
            let fragment = frame(opcode, false, &[0; 70_000]);
            let mut rest = fragment.as_slice();
            while !rest.is_empty() {
                assert!(matches!(decoder.poll(), Ok(Step::NeedMore)));
                let room = decoder.room().unwrap();
                capacities.push(room.capacity());
                let (now, later) = rest.split_at(rest.len().min(room.capacity() - room.len()));
                room.extend_from_slice(now);
                decoder.received(now.len());
                received += now.len();
                rest = later;
                assert!(decoder.buffer.capacity() <= 2 * received + 65_536);
            }
        }
        capacities.dedup();
        assert!(capacities.len() < 20, "{} sizes", capacities.len());
    }

    #[test]
    fn a_declared_length_allocates_nothing_until_its_bytes_arrive() {
        let stream = frame(Opcode::Binary, true, &vec![0; 16 << 20]);
        for received in [10, 5_000, 100_000, 1_000_000] {
            let (seen, mut decoder) =
                decode_with(&stream[..received], 64 * 1024, Role::Server, LIMITS);
            assert_eq!(seen, []);
            let capacity = decoder.room().unwrap().capacity();
            assert!(
                capacity <= 2 * received + 65_536,
                "{capacity} for {received}"
            );
        }
    }
}

mod buffer {
    use super::*;

    /// All kinds of frames in one stream, large ones among them.
    fn mixed(longest: usize) -> (Vec<u8>, Vec<Seen>) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        let lens = [0, 1, 125, 126, 5_000, 65_535, 65_536, 200_000, 3];
        for (i, len) in lens.into_iter().filter(|len| *len <= longest).enumerate() {
            let text: String = "añb€c🦀".chars().cycle().skip(i).take(len).collect();
            stream.extend(encode(Role::Client, Opcode::Text, true, text.as_bytes()));
            expected.push(Seen::Text(text.clone()));
            stream.extend(encode(Role::Client, Opcode::Ping, true, &[i as u8; 125]));
            expected.push(Seen::Ping(vec![i as u8; 125]));
            let (a, rest) = text.as_bytes().split_at(text.len() / 3);
            let (b, c) = rest.split_at(rest.len() / 2);
            stream.extend(encode(Role::Client, Opcode::Binary, false, a));
            stream.extend(encode(Role::Client, Opcode::Continuation, false, b));
            stream.extend(encode(Role::Client, Opcode::Pong, true, b"!"));
            stream.extend(encode(Role::Client, Opcode::Continuation, true, c));
            expected.push(Seen::Pong(b"!".to_vec()));
            expected.push(Seen::Binary(text.into_bytes()));
        }
        stream.extend(encode(Role::Client, Opcode::Close, true, b"\x03\xe8bye"));
        expected.push(Seen::Close(1000, "bye".into()));
        (stream, expected)
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_steps() {
        let larger = [13, 100, 1000, 1024, 4096, 10_000, 65_536, usize::MAX];
        for (longest, pieces) in [(5_000, &[1, 2, 3, 5, 7][..]), (200_000, &larger)] {
            let (stream, expected) = mixed(longest);
            for &piece in pieces {
                let (seen, _) = decode_with(&stream, piece, Role::Client, LIMITS);
                assert!(seen == expected, "pieces of {piece}");
            }
        }
    }

    /// Frames of all kinds, some of them wrong, as no sender of ours makes them.
    fn random(random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for _ in 0..1 + random(8) {
            let first = match random(12) {
                0 => random(256) as u8,
                1 => 0x88 + random(3) as u8,
                _ => random(2) as u8 * 0x80 + random(3) as u8,
            };
            let len = [random(4), random(126), random(400)][random(3)];
            stream.push(first);
            match u8::try_from(len) {
                Ok(len @ 0..=125) => stream.push(len),
                _ => {
                    stream.push(126);
                    stream.extend_from_slice(&(len as u16).to_be_bytes());
                }
            }
            stream.extend((0..len).map(|_| match random(1000) {
                0 => random(256) as u8,
                _ => b' ' + random(90) as u8,
            }));
        }
        // Half of them end inside a frame.
        stream.truncate(stream.len() - random(2) * random(stream.len()));
        stream
    }

    #[test]
    fn ten_thousand_random_streams_come_to_the_same_whole_and_in_random_pieces() {
        let mut state = 1u64;
        let mut below = move |end: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end.max(1)
        };
        let decoder = |received| Decoder::new(Role::Server, LIMITS, None, received);
        let (mut faulty, mut incomplete) = (0, 0);
        for _ in 0..10_000 {
            let stream = random(&mut below);
            let (whole, _) = feed(decoder(stream.clone()), &[], 1);
            let longest = [1, 3, 20, 500][below(4)];
            let (seen, _) = feed_in(decoder(Vec::new()), &stream, || 1 + below(longest));
            assert_eq!(seen, whole, "{stream:x?}");
            match whole.last() {
                Some(Seen::Error(_)) => faulty += 1,
                _ => incomplete += 1,
            }
        }
        assert!(faulty > 3000 && incomplete > 1000, "{faulty} {incomplete}");
    }

    #[test]
    fn bytes_that_came_behind_the_handshake_are_decoded_first() {
        let stream = frame(Opcode::Text, true, b"early").repeat(3);
        let mut decoder = Decoder::new(Role::Server, LIMITS, None, stream);
        for _ in 0..3 {
            assert_eq!(decoder.poll(), Ok(Step::Message));
            assert_eq!(decoder.message(), Ok(Payload::Text("early")));
        }
        assert_eq!(decoder.poll(), Ok(Step::NeedMore));
    }

    #[test]
    fn good_messages_before_a_bad_frame_are_delivered_first() {
        let mut stream = frame(Opcode::Text, true, b"good");
        stream.extend_from_slice(b"\x83\x00");
        let expected = [
            Seen::Text("good".into()),
            Seen::Error(ProtocolError::Opcode(3)),
        ];
        assert_eq!(decode(&stream, 99), expected);
    }

    #[test]
    fn whatever_follows_a_close_is_thrown_away() {
        let mut stream = frame(Opcode::Close, true, b"\x03\xe8");
        stream.extend(vec![0xff; 1 << 20]);
        let (seen, decoder) = decode_with(&stream, 4096, Role::Server, LIMITS);
        assert_eq!(seen, [Seen::Close(1000, String::new())]);
        assert!(decoder.buffer.capacity() <= 65_536);
    }

    #[test]
    fn what_arrived_behind_a_message_is_seen() {
        let mut stream = frame(Opcode::Text, true, b"one");
        stream.extend(frame(Opcode::Text, true, b"two"));
        for cut in 5..=stream.len() {
            let mut decoder = Decoder::new(Role::Server, LIMITS, None, stream[..cut].to_vec());
            assert_eq!(decoder.poll(), Ok(Step::Message));
            assert_eq!(decoder.has_more(), cut > 5);
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_message_that_is_no_longer_lent_is_overwritten() {
        let mut stream = frame(Opcode::Text, true, b"short-lived");
        // Something behind it, so that the buffer stays as it is.
        stream.extend(frame(Opcode::Text, true, b"next").iter().take(1));
        let mut decoder = Decoder::new(Role::Server, LIMITS, None, stream);
        assert_eq!(decoder.poll(), Ok(Step::Message));
        assert_eq!(decoder.message(), Ok(Payload::Text("short-lived")));
        assert_eq!(&decoder.buffer[2..13], b"short-lived");
        assert_eq!(decoder.poll(), Ok(Step::NeedMore));
        assert_eq!(decoder.buffer[2..13], [0xDD; 11]);
    }

    #[test]
    fn an_empty_buffer_shrinks_after_a_burst_and_stays_small_when_idle() {
        let small = frame(Opcode::Text, true, b"small");
        let big = frame(Opcode::Binary, true, &vec![1; 8 << 20]);
        let mut stream = big;
        stream.extend(small.repeat(200));
        let (seen, mut decoder) = decode_with(&stream, 1 << 16, Role::Server, LIMITS);
        assert_eq!(seen.len(), 201);
        // Fed as an idle connection is: one small message a read.
        for _ in 0..200 {
            assert_eq!(decoder.poll(), Ok(Step::NeedMore));
            decoder.room().unwrap().extend_from_slice(&small);
            decoder.received(small.len());
            assert_eq!(decoder.poll(), Ok(Step::Message));
        }
        assert_eq!(decoder.poll(), Ok(Step::NeedMore));
        assert!(decoder.room().unwrap().capacity() <= 8192);
    }
}

mod compressed {
    //! RFC 7692, sections 6 and 7.2, as far as frames go.

    use super::*;
    use crate::protocol::deflate::{Compression, Compressor, Decompressor};

    const COMPRESSION: Compression = Compression {
        level: 1,
        threshold_bytes: 0,
        window_bits: 15,
        takes_over: true,
    };

    fn deflate_decoder(limits: Limits) -> Decoder {
        let decompressor = Some(Decompressor::new(true));
        Decoder::new(Role::Client, limits, decompressor, Vec::new())
    }

    fn client() -> Encoder {
        Encoder::new(Role::Client, Some(COMPRESSION))
    }

    fn message(encoder: &mut Encoder, payload: &[u8], may_compress: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let frame = encoder.data_frame(Opcode::Binary, true, payload, may_compress, &mut out);
        frame.unwrap();
        out
    }

    /// A message in fragments of these lengths.
    fn fragments(
        encoder: &mut Encoder,
        opcode: Opcode,
        pieces: &[&[u8]],
        compress: bool,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            let opcode = if n == 0 { opcode } else { Opcode::Continuation };
            let is_final = n + 1 == pieces.len();
            encoder
                .data_frame(opcode, is_final, piece, compress, &mut out)
                .unwrap();
        }
        out
    }

    #[test]
    fn compressed_and_plain_messages_and_control_frames_may_follow_each_other() {
        let mut encoder = client();
        let mut stream = Vec::new();
        let long = "¡Hola! ".repeat(3000);
        for n in 0..10 {
            stream.extend(message(&mut encoder, long.as_bytes(), n % 3 != 0));
            encoder
                .frame(Opcode::Ping, true, b"between", &mut stream)
                .unwrap();
            // Cut inside characters.
            let pieces: Vec<&[u8]> = long.as_bytes().chunks(1001).collect();
            let text = fragments(&mut encoder, Opcode::Text, &pieces, n % 2 == 0);
            stream.extend(text);
            stream.extend(message(&mut encoder, b"", true));
        }
        let one = [
            Seen::Binary(long.as_bytes().to_vec()),
            Seen::Ping(b"between".to_vec()),
            Seen::Text(long.clone()),
            Seen::Binary(Vec::new()),
        ];
        let expected: Vec<Seen> = one.iter().cycle().take(40).cloned().collect();
        for piece in [1, 2, 3, 7, 100, 4096, 70_000, stream.len()] {
            let (seen, mut decoder) = feed(deflate_decoder(LIMITS), &stream, piece);
            assert!(seen == expected, "in pieces of {piece}");
            decoder.room().unwrap();
            assert!(decoder.buffer.capacity() + decoder.decompressed.capacity() <= 3 * 65_536);
        }
    }

    #[test]
    fn the_limit_is_inclusive_plain_and_compressed_whole_and_in_fragments() {
        let max = 5000;
        let limits = Limits {
            max_message_bytes: max,
            ..LIMITS
        };
        for len in [max - 1, max, max + 1] {
            let payload: Vec<u8> = (0..len as u32).map(|n| ((n * n) >> 3) as u8).collect();
            for compress in [true, false] {
                for count in [1, 2, 50] {
                    let pieces: Vec<&[u8]> = payload.chunks(len.div_ceil(count)).collect();
                    let stream = fragments(&mut client(), Opcode::Binary, &pieces, compress);
                    let (seen, _) = feed(deflate_decoder(limits), &stream, 333);
                    let expected = if len <= max {
                        Seen::Binary(payload.clone())
                    } else {
                        Seen::Error(ProtocolError::MessageTooBig)
                    };
                    assert!(
                        seen == [expected],
                        "{len} in {count}, compressed: {compress}"
                    );
                }
            }
        }
    }

    #[test]
    fn text_is_checked_after_decompressing_and_as_early_as_can_be() {
        let bad = b"fine until here \xff and on";
        let whole = fragments(&mut client(), Opcode::Text, &[bad], true);
        let (seen, _) = feed(deflate_decoder(LIMITS), &whole, 1);
        assert_eq!(seen, [Seen::Error(ProtocolError::Utf8)]);
        // The second fragment never comes.
        let mut out = Vec::new();
        client()
            .data_frame(Opcode::Text, false, bad, true, &mut out)
            .unwrap();
        let (seen, _) = feed(deflate_decoder(LIMITS), &out, out.len());
        assert_eq!(seen, [Seen::Error(ProtocolError::Utf8)]);
        let cut = fragments(&mut client(), Opcode::Text, &[b"a\xc3", b""], true);
        let (seen, _) = feed(deflate_decoder(LIMITS), &cut, cut.len());
        assert_eq!(seen, [Seen::Error(ProtocolError::Utf8)]);
    }

    #[test]
    fn damaged_data_is_an_error_and_so_is_rsv1_in_mid_message() {
        let (seen, _) = feed(
            deflate_decoder(LIMITS),
            b"\xc2\x84\0\0\0\0\xff\xff\xff\xff",
            1,
        );
        assert_eq!(seen, [Seen::Error(ProtocolError::Deflate)]);
        assert_eq!(ProtocolError::Deflate.close_code(), 1007);
        for bytes in [
            &b"\x02\x80\0\0\0\0\xc0"[..],
            b"\x42\x80\0\0\0\0\xc0",
            b"\xc9",
        ] {
            let (seen, _) = feed(deflate_decoder(LIMITS), bytes, 1);
            assert_eq!(
                seen,
                [Seen::Error(ProtocolError::ReservedBit)],
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn short_messages_go_as_they_are_and_so_do_those_that_would_grow() {
        let mut encoder = Encoder::new(
            Role::Server,
            Some(Compression {
                threshold_bytes: 10,
                takes_over: false,
                ..COMPRESSION
            }),
        );
        assert_eq!(message(&mut encoder, b"aaaaaaaaa", true)[0], 0x82);
        assert_eq!(message(&mut encoder, b"aaaaaaaaaa", true)[0], 0xc2);
        assert_eq!(message(&mut encoder, b"aaaaaaaaaa", false)[0], 0x82);
        let noise: Vec<u8> = (0..200u32)
            .map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8)
            .collect();
        let frame = message(&mut encoder, &noise, true);
        assert_eq!(frame[0], 0x82);
        assert_eq!(frame[frame.len() - noise.len()..], noise);
    }

    /// What is held for a compressed message does not follow what its header declares.
    #[test]
    fn a_compressed_frame_may_declare_any_length_and_takes_no_memory_for_it() {
        let mut decoder = deflate_decoder(LIMITS);
        let mut stream = b"\xc2\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec();
        for _ in 0..100_000 {
            stream.extend_from_slice(b"\0\0\0\xff\xff");
        }
        let (seen, fed) = feed(decoder, &stream, 4096);
        decoder = fed;
        assert_eq!(seen, []);
        assert!(decoder.buffer.capacity() + decoder.decompressed.capacity() <= 2 * 65_536);
    }

    #[test]
    fn nothing_is_held_after_the_end() {
        let stream = message(&mut client(), &[7; 100_000], true);
        let (_, mut decoder) = feed(deflate_decoder(LIMITS), &stream, 1000);
        decoder.retire();
        assert_eq!(
            decoder.buffer.capacity() + decoder.decompressed.capacity(),
            0
        );
        assert!(decoder.decompressor.is_none());
        assert_eq!(decoder.poll(), Ok(Step::NeedMore));
    }

    #[test]
    fn a_compressor_is_not_used_for_the_compressed_message_of_another() {
        let mut encoder = client();
        let _ = message(&mut encoder, b"0123456789abcdef0123456789abcdef", true);
        encoder.forget();
        let mut out = Vec::new();
        let mut fresh = Compressor::new(COMPRESSION);
        fresh.compress(b"0123456789abcdef", true, &mut out).unwrap();
        let frame = message(&mut encoder, b"0123456789abcdef", true);
        assert_eq!(frame.len(), 2 + 4 + out.len());
    }
}
