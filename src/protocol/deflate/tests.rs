//! Section 7.2 of RFC 7692: messages in, compressed payloads out, and back.

use super::*;

const DEFAULT: Compression = Compression {
    level: 1,
    threshold_bytes: 0,
    window_bits: 15,
    takes_over: true,
};

const PLENTY: usize = 64 << 20;

fn compress(compressor: &mut Compressor, message: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    compressor.compress(message, true, &mut out).unwrap();
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

fn decompress(decompressor: &mut Decompressor, payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    let mut message = Vec::new();
    decompressor.decompress(payload, &mut message, PLENTY)?;
    decompressor.finish(&mut message, PLENTY)?;
    Ok(message)
}

/// Numbers without a pattern, the same each time.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Something between text and noise, `len` bytes long.
fn sample(seed: u64, len: usize) -> Vec<u8> {
    let mut next = noise(seed + 1);
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let value = next();
        match value % 8 {
            0 => bytes.extend_from_slice(&value.to_le_bytes()),
            1 => bytes.extend(std::iter::repeat_n(b'-', (value >> 8) as usize % 60)),
            word => {
                let text = format!("{{\"key{word}\":{},\"at\":\"noon\"}}", value >> 8 & 0xff);
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    bytes.truncate(len);
    bytes
}

/// The examples of RFC 7692, section 7.2.3.
#[test]
fn the_rfcs_examples_decompress_to_hello() {
    let one_block = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let sharing_the_window = b"\xf2\x00\x11\x00\x00";
    let not_compressed = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    let final_block = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    let two_blocks = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    let mut decompressor = Decompressor::new(true);
    for payload in [
        &one_block[..],
        sharing_the_window,
        not_compressed,
        final_block,
        two_blocks,
        one_block,
    ] {
        let message = decompress(&mut decompressor, payload);
        assert_eq!(message.as_deref(), Ok(&b"Hello"[..]), "{payload:x?}");
    }
    assert_eq!(decompress(&mut decompressor, &[0]), Ok(Vec::new()));
}

#[test]
fn a_compressor_makes_the_rfcs_first_two_examples() {
    let mut compressor = Compressor::new(Compression {
        level: 9,
        ..DEFAULT
    });
    let hello = compress(&mut compressor, b"Hello");
    assert_eq!(hello, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    assert_eq!(compress(&mut compressor, b"Hello"), b"\xf2\x00\x11\x00\x00");
}

#[test]
fn a_final_block_without_the_empty_one_that_should_follow_ends_the_message_too() {
    let mut decompressor = Decompressor::new(true);
    for _ in 0..3 {
        let message = decompress(&mut decompressor, b"\xf3\x48\xcd\xc9\xc9\x07\x00");
        assert_eq!(message.as_deref(), Ok(&b"Hello"[..]));
    }
    let two = b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00";
    let message = decompress(&mut decompressor, two);
    assert_eq!(message.as_deref(), Ok(&b"HelloHello"[..]));
}

#[test]
fn empty_messages_are_one_byte_however_many_follow_each_other() {
    for takes_over in [true, false] {
        let mut compressor = Compressor::new(Compression {
            takes_over,
            ..DEFAULT
        });
        let mut decompressor = Decompressor::new(takes_over);
        for n in 0..20 {
            let message = if n % 5 == 3 { &b"something"[..] } else { b"" };
            let payload = compress(&mut compressor, message);
            assert!(!message.is_empty() || payload == [0], "{payload:x?}");
            assert_eq!(
                decompress(&mut decompressor, &payload).as_deref(),
                Ok(message)
            );
        }
    }
}

#[test]
fn messages_survive_every_level_and_window_with_and_without_takeover() {
    for level in 0..=9 {
        for window_bits in 8..=15 {
            for takes_over in [true, false] {
                let mut compressor = Compressor::new(Compression {
                    level,
                    threshold_bytes: 0,
                    window_bits,
                    takes_over,
                });
                let mut decompressor = Decompressor::new(takes_over);
                for (n, len) in [0, 1, 100, 5000, 3, 0, 0, 70_000, 100]
                    .into_iter()
                    .enumerate()
                {
                    let message = sample(n as u64, len);
                    let payload = compress(&mut compressor, &message);
                    assert_eq!(decompress(&mut decompressor, &payload), Ok(message));
                    assert_eq!(compressor.stream.is_some(), takes_over);
                    assert_eq!(decompressor.stream.is_some(), takes_over);
                }
            }
        }
    }
}

#[test]
fn a_message_in_fragments_is_the_same_however_it_is_cut_on_either_side() {
    let message = sample(7, 40_000);
    let mut next = noise(3);
    for round in 0..200 {
        let takes_over = round % 2 == 0;
        let mut compressor = Compressor::new(Compression {
            takes_over,
            ..DEFAULT
        });
        let mut decompressor = Decompressor::new(takes_over);
        for _ in 0..2 {
            let mut payload = Vec::new();
            let mut rest = &message[..];
            while !rest.is_empty() {
                let len = (next() as usize % 9000).min(rest.len());
                let (piece, behind) = rest.split_at(len);
                compressor.compress(piece, false, &mut payload).unwrap();
                rest = behind;
            }
            compressor.compress(b"", true, &mut payload).unwrap();
            let mut out = Vec::new();
            let mut rest = &payload[..];
            while !rest.is_empty() {
                let len = (next() as usize % 700).min(rest.len());
                let (piece, behind) = rest.split_at(len);
                decompressor.decompress(piece, &mut out, PLENTY).unwrap();
                rest = behind;
            }
            decompressor.finish(&mut out, PLENTY).unwrap();
            assert_eq!(out, message);
        }
    }
}

#[test]
fn after_a_message_of_someone_elses_making_none_before_it_is_referred_to() {
    let mut compressor = Compressor::new(DEFAULT);
    let mut decompressor = Decompressor::new(true);
    for n in 0..6 {
        let message = sample(1, 3000);
        let payload = compress(&mut compressor, &message);
        assert_eq!(
            decompress(&mut decompressor, &payload).as_deref(),
            Ok(&message[..])
        );
        let prepared = Compression {
            takes_over: false,
            ..DEFAULT
        };
        let other = sample(20 + n, 2000);
        let payload = compress(&mut Compressor::new(prepared), &other);
        assert_eq!(decompress(&mut decompressor, &payload), Ok(other));
        compressor.forget();
    }
}

#[test]
fn the_limit_counts_what_comes_out_and_is_inclusive() {
    for len in [0usize, 1, 1000, 1024, 100_000] {
        let message = sample(5, len);
        let payload = compress(&mut Compressor::new(DEFAULT), &message);
        for (max, fits) in [(len.wrapping_sub(1), false), (len, true), (len + 1, true)] {
            if max == usize::MAX {
                continue;
            }
            let mut decompressor = Decompressor::new(true);
            let mut out = Vec::new();
            let result = decompressor
                .decompress(&payload, &mut out, max)
                .and_then(|()| decompressor.finish(&mut out, max));
            let expected = if fits {
                Ok(())
            } else {
                Err(ProtocolError::MessageTooBig)
            };
            assert_eq!(result, expected, "{len} of {max}");
        }
    }
}

/// 1 MiB that holds 1 GiB.
#[test]
fn a_bomb_is_refused_before_it_takes_more_than_the_limit() {
    let mut compressor = Compressor::new(Compression {
        level: 9,
        ..DEFAULT
    });
    let zeros = vec![0; 1 << 20];
    let (mut first, mut further) = (Vec::new(), Vec::new());
    compressor.compress(&zeros, false, &mut first).unwrap();
    compressor.compress(&zeros, false, &mut further).unwrap();
    let bomb = [first, further.repeat(1023)].concat();
    assert!(bomb.len() < 3 << 19, "{}", bomb.len());
    let max = 16 << 20;
    let mut message = Vec::new();
    let result = Decompressor::new(true).decompress(&bomb, &mut message, max);
    assert_eq!(result, Err(ProtocolError::MessageTooBig));
    assert!(message.capacity() <= max + 1, "{}", message.capacity());
}

#[test]
fn whatever_byte_is_damaged_there_is_a_message_or_an_error() {
    damage_every_byte();
}

/// Each byte of four hundred payloads, damaged in three ways. Also run on a small stack, in `src/threads.rs`.
pub(crate) fn damage_every_byte() {
    // Blocks are stored, have static codes, or dynamic ones (RFC 1951, section 3.2.3): these where most of it is digits.
    for (level, kind, digits, has_context) in [
        (0, 0, 0, false),
        (1, 1, 0, false),
        (6, 2, 200, false),
        (6, 2, 200, true),
    ] {
        let (mut messages, mut errors, mut of_kind) = (0, 0, 0);
        for n in 0..100 {
            let mut compressor = Compressor::new(Compression { level, ..DEFAULT });
            let before = has_context.then(|| compress(&mut compressor, &sample(n + 100, 300)));
            let mut message = sample(n, 20 + 3 * n as usize);
            let mut next = noise(n + 1);
            message.extend((0..digits).map(|_| b'0' + (next() % 10) as u8));
            let mut payload = compress(&mut compressor, &message);
            of_kind += u32::from(payload[0] >> 1 & 3 == kind);
            for at in 0..payload.len() {
                for flip in [0xff, 1, 0x80] {
                    let mut decompressor = Decompressor::new(true);
                    if let Some(before) = &before {
                        decompress(&mut decompressor, before).unwrap();
                    }
                    payload[at] ^= flip;
                    match decompress(&mut decompressor, &payload) {
                        Ok(_) => messages += 1,
                        Err(error) => {
                            assert_eq!(error, ProtocolError::Deflate);
                            errors += 1;
                        }
                    }
                    payload[at] ^= flip;
                }
            }
        }
        assert!(messages > 1000 && errors > 1000, "{messages} {errors}");
        assert!(of_kind > 50, "{of_kind} of 100 at level {level}");
    }
}

/// RFC 7692, section 7.2.1: what ends the message holds nothing of it.
#[test]
fn a_message_that_is_cut_off_inside_a_block_is_an_error_and_not_filled_up() {
    let stored = b"\x00\x0a\x00\xf5\xffabcdef";
    let result = decompress(&mut Decompressor::new(true), stored);
    assert_eq!(result, Err(ProtocolError::Deflate));
    let whole = b"\x00\x06\x00\xf9\xffabcdef\0";
    let result = decompress(&mut Decompressor::new(true), whole);
    assert_eq!(result.as_deref(), Ok(&b"abcdef"[..]));
}

#[test]
fn blocks_that_hold_nothing_take_no_memory() {
    let mut decompressor = Decompressor::new(true);
    let mut message = Vec::new();
    for _ in 0..10_000 {
        decompressor
            .decompress(b"\0\0\0\xff\xff", &mut message, PLENTY)
            .unwrap();
    }
    assert_eq!(message.len(), 0);
    assert!(message.capacity() <= LEAST_GROWTH);
}

/// A peer that agreed to a window of 8 bits has 256 bytes of it; zlib is told 9.
#[test]
fn with_a_window_of_8_bits_nothing_further_back_than_256_bytes_is_referred_to() {
    let mut furthest = 0;
    for level in 0..=9 {
        let mut compressor = Compressor::new(Compression {
            level,
            window_bits: 8,
            ..DEFAULT
        });
        let mut stream = Vec::new();
        for n in 0..12 {
            let message = match n % 4 {
                0 => sample(n, 3000),
                // What repeats at all distances up to 600.
                1 => (0..6_000u32)
                    .map(|i| (i % (200 + 40 * n as u32)) as u8)
                    .collect(),
                2 => vec![b'a'; 2000],
                _ => sample(3, 1000),
            };
            let payload = compress(&mut compressor, &message);
            stream.extend_from_slice(&payload);
            stream.extend_from_slice(&TAIL);
        }
        furthest = furthest.max(inflate::furthest_distance(&stream));
    }
    assert!((200..=256).contains(&furthest), "{furthest}");
    // The measure itself: a full window reaches further.
    let mut compressor = Compressor::new(DEFAULT);
    let message = sample(3, 20_000).repeat(2);
    let mut stream = compress(&mut compressor, &message);
    stream.extend_from_slice(&TAIL);
    assert!(inflate::furthest_distance(&stream) > 1000);
}

/// So much of a decompressor as tells how far back a stream refers (RFC 1951).
mod inflate {
    struct Bits<'a> {
        bytes: &'a [u8],
        at: usize,
    }

    impl Bits<'_> {
        fn take(&mut self, count: u32) -> u32 {
            (0..count).fold(0, |value, n| {
                let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
                self.at += 1;
                value | u32::from(bit) << n
            })
        }
    }

    /// The symbols by their code's length and value.
    struct Huffman(Vec<(u32, u32, usize)>);

    impl Huffman {
        fn new(lengths: &[u32]) -> Self {
            let mut codes = Vec::new();
            let mut code = 0;
            for length in 1..=15 {
                for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
                    codes.push((length, code, symbol));
                    code += 1;
                }
                code <<= 1;
            }
            Self(codes)
        }

        fn read(&self, bits: &mut Bits<'_>) -> usize {
            let (mut length, mut code) = (0, 0);
            let mut codes = self.0.iter();
            loop {
                code = code << 1 | bits.take(1);
                length += 1;
                let found = codes
                    .by_ref()
                    .take_while(|entry| (entry.0, entry.1) <= (length, code))
                    .find(|entry| (entry.0, entry.1) == (length, code));
                if let Some((_, _, symbol)) = found {
                    return *symbol;
                }
                codes = self.0.iter();
                assert!(length < 15);
            }
        }
    }

    pub(super) fn furthest_distance(stream: &[u8]) -> u32 {
        let mut bits = Bits {
            bytes: stream,
            at: 0,
        };
        let mut furthest = 0;
        while bits.at + 10 < 8 * stream.len() {
            assert_eq!(bits.take(1), 0, "a final block");
            let (literals, distances) = match bits.take(2) {
                0 => {
                    bits.at = bits.at.next_multiple_of(8);
                    let len = bits.take(16);
                    bits.take(16);
                    bits.at += 8 * len as usize;
                    continue;
                }
                1 => {
                    let mut lengths = [8; 288];
                    lengths[144..256].fill(9);
                    lengths[256..280].fill(7);
                    (Huffman::new(&lengths), Huffman::new(&[5; 30]))
                }
                2 => dynamic(&mut bits),
                _ => panic!("not a kind of block"),
            };
            loop {
                let symbol = literals.read(&mut bits);
                match symbol {
                    0..256 => continue,
                    256 => break,
                    _ => {}
                }
                // Lengths: four codes for each number of additional bits, but for the first and the last.
                let additional = match symbol {
                    257..265 | 285 => 0,
                    _ => (symbol as u32 - 261) / 4,
                };
                bits.take(additional);
                let code = distances.read(&mut bits) as u32;
                let distance = if code < 2 {
                    code + 1
                } else {
                    let additional = code / 2 - 1;
                    ((2 + code % 2) << additional) + 1 + bits.take(additional)
                };
                furthest = furthest.max(distance);
            }
        }
        furthest
    }

    fn dynamic(bits: &mut Bits<'_>) -> (Huffman, Huffman) {
        let literals = bits.take(5) as usize + 257;
        let distances = bits.take(5) as usize + 1;
        let count = bits.take(4) as usize + 4;
        let mut of_lengths = [0; 19];
        let order = [
            16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
        ];
        for &at in &order[..count] {
            of_lengths[at] = bits.take(3);
        }
        let of_lengths = Huffman::new(&of_lengths);
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match of_lengths.read(bits) {
                16 => (*lengths.last().unwrap(), 3 + bits.take(2)),
                17 => (0, 3 + bits.take(3)),
                18 => (0, 11 + bits.take(7)),
                length => (length as u32, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        (
            Huffman::new(&lengths[..literals]),
            Huffman::new(&lengths[literals..]),
        )
    }
}
