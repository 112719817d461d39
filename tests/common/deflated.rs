//! The raw peer's half of permessage-deflate (RFC 7692), by flate2 itself and nothing of the library's.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::thread;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use wstrand::{Client, Deflate, Options};

use super::raw::{
    CONTINUATION, Frame, PATIENCE, Pair, RSV1, Raw, answer, hand_out, listen, patient, request,
};

/// A peer's two streams, both with context takeover and a full window.
pub(crate) struct Flate {
    compress: Compress,
    decompress: Decompress,
}

/// A data message as it came, and the control frames that came before its end.
pub(crate) struct Received {
    pub(crate) opcode: u8,
    pub(crate) is_compressed: bool,
    pub(crate) fragments: usize,
    pub(crate) wire_bytes: usize,
    pub(crate) message: Vec<u8>,
    pub(crate) control: Vec<Frame>,
}

impl Flate {
    pub(crate) fn new() -> Self {
        Self {
            compress: Compress::new(Compression::new(6), false),
            decompress: Decompress::new(false),
        }
    }

    /// The payload of a message (RFC 7692, section 7.2.1).
    pub(crate) fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = self.deflate_more(message);
        assert!(payload.ends_with(TAIL));
        payload.truncate(payload.len() - TAIL.len());
        payload
    }

    /// As [`Self::deflate`], with the end that more can follow.
    pub(crate) fn deflate_more(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let before = self.compress.total_in();
        loop {
            payload.reserve(message.len() / 2 + 64);
            let taken = (self.compress.total_in() - before) as usize;
            self.compress
                .compress_vec(&message[taken..], &mut payload, FlushCompress::Sync)
                .expect("zlib compresses everything");
            if payload.len() < payload.capacity() {
                return payload;
            }
        }
    }

    /// The message of a payload (RFC 7692, section 7.2.2).
    #[track_caller]
    pub(crate) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let payload = [payload, TAIL].concat();
        let mut message = Vec::new();
        let before = self.decompress.total_in();
        loop {
            message.reserve(payload.len() * 2 + 64);
            let taken = (self.decompress.total_in() - before) as usize;
            self.decompress
                .decompress_vec(&payload[taken..], &mut message, FlushDecompress::Sync)
                .expect("what was sent is a stream of zlib's");
            if message.len() < message.capacity() {
                return message;
            }
        }
    }

    /// Reads up to the end of a data message, and decompresses it if it is compressed.
    #[track_caller]
    pub(crate) fn receive(&mut self, raw: &mut Raw) -> Received {
        let mut control = Vec::new();
        let mut first: Option<Frame> = None;
        let mut payload = Vec::new();
        let mut fragments = 0;
        loop {
            let frame = raw.frame();
            if frame.opcode >= 8 {
                assert!(!frame.is_compressed, "a control frame never is: {frame:?}");
                control.push(frame);
                continue;
            }
            assert_eq!(frame.opcode == CONTINUATION, first.is_some(), "{frame:?}");
            assert!(first.is_none() || !frame.is_compressed, "only the first is");
            fragments += 1;
            payload.extend_from_slice(&frame.payload);
            let is_final = frame.is_final;
            let first = first.get_or_insert(frame);
            if is_final {
                return Received {
                    opcode: first.opcode,
                    is_compressed: first.is_compressed,
                    fragments,
                    wire_bytes: payload.len(),
                    message: match first.is_compressed {
                        true => self.inflate(&payload),
                        false => payload,
                    },
                    control,
                };
            }
        }
    }
}

/// Sends a compressed message with the payload cut into so many fragments.
pub(crate) fn send_fragments(raw: &mut Raw, opcode: u8, payload: &[u8], fragments: usize) {
    send_cut(raw, opcode | RSV1, payload, fragments);
}

/// Sends a message cut into so many fragments; `first` is the first byte of the first.
pub(crate) fn send_cut(raw: &mut Raw, first: u8, payload: &[u8], fragments: usize) {
    let mut bytes = Vec::new();
    for n in 0..fragments {
        let from = payload.len() * n / fragments;
        let to = payload.len() * (n + 1) / fragments;
        let opcode = if n == 0 { first } else { CONTINUATION };
        let fin = if n + 1 == fragments { 0x80 } else { 0 };
        bytes.extend(raw.build(fin | opcode, &payload[from..to]).bytes());
    }
    raw.write(&bytes);
}

/// [`patient`] options with compression.
pub(crate) fn options(deflate: Deflate) -> Options {
    let mut options = patient();
    options.deflate(Some(deflate));
    options
}

/// A client of the library's and a raw server that takes the offer with `parameters` (each behind "; ").
pub(crate) fn client(options: &Options, parameters: &str) -> Pair {
    let (listener, url) = listen();
    let extensions = format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n");
    let raw = thread::spawn(move || {
        let mut raw = Raw::accept(&listener);
        let head = raw.head();
        raw.write(answer(&head, &extensions).as_bytes());
        raw.deflates = true;
        raw
    });
    let ws = Client::new().options(options).connect(&url);
    Pair {
        ws: ws.expect("the raw server accepts"),
        raw: raw.join().expect("the raw server accepts"),
        server: None,
    }
}

/// A raw client that offers compression with `parameters`, and a server of the library's.
pub(crate) fn server(options: &Options, parameters: &str) -> Pair {
    let (running, connections) = hand_out(|server| {
        server.options(options);
    });
    let raw = open(running.addr(), parameters);
    let ws = connections.recv_timeout(PATIENCE);
    Pair {
        ws: ws.expect("the server accepts"),
        raw,
        server: Some(running),
    }
}

/// A raw client that has offered compression, to a server that has agreed.
pub(crate) fn open(addr: std::net::SocketAddr, parameters: &str) -> Raw {
    let mut raw = Raw::connect(addr);
    let extensions = format!("Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n");
    raw.write(&request(addr, &extensions));
    let head = raw.head();
    assert!(head.contains("permessage-deflate"), "{head}");
    raw.deflates = true;
    raw
}

/// Runs a test with the library's end as a client, then as a server.
pub(crate) fn both_roles(options: &Options, test: impl Fn(Pair)) {
    test(client(options, ""));
    test(server(options, ""));
}

/// Numbers without a pattern, the same each time.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 8) as usize % bound
    }

    /// What does not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// What compresses as text does: ASCII.
    pub(crate) fn text(&mut self, len: usize) -> String {
        const WORDS: [&str; 8] = [
            "{\"price\":",
            "\"volume\":",
            "the ",
            "window ",
            "of ",
            "a message ",
            "17",
            "},\n",
        ];
        let mut text = String::with_capacity(len + 16);
        while text.len() < len {
            let number = self.next() >> 8;
            match number % 9 {
                8 => text.push_str(&number.to_string()),
                word => text.push_str(WORDS[word as usize]),
            }
        }
        text.truncate(len);
        text
    }
}

/// What ends each flush and does not go over the wire (RFC 7692, section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];
