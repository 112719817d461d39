//! Messages and control frames into bytes (RFC 6455, sections 5 and 6.1).

use super::{
    Opcode, Role,
    deflate::{Compression, Compressor, Failed},
    frame::{self, HeaderBytes, MAX_HEADER},
    mask,
};

/// Turns what is to be sent into frames.
///
/// It knows nothing of what was received. Whether a Close was sent before is the caller's to know.
pub(crate) struct Encoder {
    masking_keys: Option<MaskingKeys>,
    compressor: Option<Compressor>,
    /// The message that is being sent in fragments is compressed.
    is_compressing: bool,
}

/// Why a frame cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The operating system has no random bytes for a masking key.
    #[error(transparent)]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Compression(#[from] Failed),
    #[error("no memory for a frame")]
    OutOfMemory,
}

/// A frame whose payload is encoded in pieces: see [`Encoder::begin_frame`].
#[derive(Clone, Copy)]
pub(crate) struct OpenFrame {
    header: HeaderBytes,
    masking_key: Option<[u8; 4]>,
}

impl Encoder {
    /// An encoder for one connection; it compresses messages if that was negotiated.
    pub(crate) fn new(role: Role, compression: Option<Compression>) -> Self {
        Self {
            masking_keys: (role == Role::Client).then(MaskingKeys::default),
            compressor: compression.map(Compressor::new),
            is_compressing: false,
        }
    }

    /// How messages are compressed, if they are.
    pub(crate) fn compression(&self) -> Option<&Compression> {
        self.compressor.as_ref().map(Compressor::settings)
    }

    /// Whether a message of this length would be compressed.
    pub(crate) fn compresses(&self, len: usize) -> bool {
        self.compression()
            .is_some_and(|compression| len >= compression.threshold_bytes)
    }

    /// Says that the peer has been sent a compressed message which this encoder did not make. It must not be
    /// inside a message.
    pub(crate) fn forget(&mut self) {
        if let Some(compressor) = &mut self.compressor {
            compressor.forget();
        }
    }

    /// An encoder for the next message, to be used elsewhere. Until [`Self::take_back`] this one encodes no message
    /// that is compressed; it may encode control frames.
    pub(crate) fn lend(&mut self) -> Self {
        Self {
            masking_keys: self.masking_keys.as_ref().map(|_| MaskingKeys::default()),
            compressor: self.compressor.as_mut().map(Compressor::lend),
            is_compressing: false,
        }
    }

    /// Takes back what [`Self::lend`] has lent. `was_sent` says whether the peer gets what was encoded.
    pub(crate) fn take_back(&mut self, lent: Self, was_sent: bool) {
        if let Some((own, lent)) = self.compressor.as_mut().zip(lent.compressor) {
            *own = lent;
            if !was_sent {
                own.forget();
            }
        }
    }

    /// Gives back what compression holds: nothing more will be sent.
    pub(crate) fn retire(&mut self) {
        self.compressor = None;
    }

    /// Appends a frame of a message to `out`, compressed where that is negotiated and worth it; the frames
    /// that continue a message go as its first one went. `may_compress` says whether the message may be.
    ///
    /// # Errors
    ///
    /// [`EncodeError`]; `out` is as it was.
    #[inline]
    pub(crate) fn data_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload: &[u8],
        may_compress: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self.compressor {
            None => self.frame(opcode, is_final, payload, out),
            Some(_) => self.frame_with_compressor(opcode, is_final, payload, may_compress, out),
        }
    }

    #[inline(never)]
    fn frame_with_compressor(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload: &[u8],
        may_compress: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let is_first = opcode != Opcode::Continuation;
        if is_first {
            // How long a message in fragments will be is not known.
            let is_worth_it = !is_final || self.compresses(payload.len());
            self.is_compressing = may_compress && is_worth_it;
        }
        if self.is_compressing {
            let start = out.len();
            let result = self.compressed_frame(opcode, is_final, payload, out);
            match result {
                Ok(true) => return Ok(()),
                Ok(false) => out.truncate(start),
                Err(error) => {
                    out.truncate(start);
                    return Err(error);
                }
            }
        }
        self.frame(opcode, is_final, payload, out)
    }

    /// Appends a whole frame to `out`, as it is: a control frame, or one of a message that is not compressed.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Random`], [`EncodeError::OutOfMemory`]; `out` is as it was.
    #[inline]
    pub(crate) fn frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // What a server mostly sends.
        let short = frame::short_header(opcode, is_final, payload.len());
        if let (Some(header), None) = (short, &self.masking_keys) {
            reserve(out, header.len() + payload.len())?;
            out.extend_from_slice(&header);
            out.extend_from_slice(payload);
            return Ok(());
        }
        self.other_frame(opcode, is_final, payload, out)
    }

    // Apart, as is `frame_with_compressor`, so that the short way is short.
    #[inline(never)]
    fn other_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let frame = self.begin_frame(opcode, is_final, payload.len())?;
        reserve(out, MAX_HEADER + payload.len())?;
        frame.header.append_to(out);
        frame.payload(payload, 0, out);
        Ok(())
    }

    /// Begins a frame whose payload is sent in pieces: the caller sends [`OpenFrame::header`], then all of
    /// the payload by [`OpenFrame::payload`], and nothing else in between.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Random`].
    #[inline]
    pub(crate) fn begin_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload_len: usize,
    ) -> Result<OpenFrame, EncodeError> {
        let masking_key = self.masking_key()?;
        Ok(OpenFrame {
            header: HeaderBytes::new(opcode, is_final, false, payload_len, masking_key),
            masking_key,
        })
    }

    /// Appends a frame with the payload compressed. Returns whether that is of any use: a message that
    /// would become longer, and to which no later one refers, is better sent as it is.
    fn compressed_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        // Before the payload goes into the compressor's context, from which it cannot be taken back.
        let masking_key = self.masking_key()?;
        let Some(compressor) = &mut self.compressor else {
            return Ok(false);
        };
        let start = out.len();
        reserve(out, MAX_HEADER)?;
        out.extend_from_slice(&[0; MAX_HEADER]);
        compressor.compress(payload, is_final, out)?;
        let compressed = start + MAX_HEADER;
        let len = out.len() - compressed;
        let is_first = opcode != Opcode::Continuation;
        let is_whole = is_first && is_final;
        if is_whole && !compressor.settings().takes_over && len > payload.len() {
            return Ok(false);
        }
        if let Some(key) = masking_key {
            mask::apply_mask(out.get_mut(compressed..).unwrap_or_default(), key, 0);
        }
        let header = HeaderBytes::new(opcode, is_final, is_first, len, masking_key);
        let header = header.as_ref();
        // Room was left for the longest header: `start` to `compressed` has MAX_HEADER bytes.
        out[start..start + header.len()].copy_from_slice(header);
        out.copy_within(compressed.., start + header.len());
        out.truncate(start + header.len() + len);
        Ok(true)
    }

    #[inline]
    fn masking_key(&mut self) -> Result<Option<[u8; 4]>, getrandom::Error> {
        self.masking_keys
            .as_mut()
            .map(MaskingKeys::next)
            .transpose()
    }
}

impl OpenFrame {
    /// A frame whose payload is a header and a payload already.
    pub(crate) const READY: Self = Self {
        header: HeaderBytes::NONE,
        masking_key: None,
    };

    pub(crate) fn header(&self) -> &[u8] {
        self.header.as_ref()
    }

    /// Whether the payload goes out as it is, so that it need not be copied.
    pub(crate) fn is_plain(&self) -> bool {
        self.masking_key.is_none()
    }

    /// Appends a piece of the payload to `out`; `offset` is how many bytes came before.
    #[inline]
    pub(crate) fn payload(&self, piece: &[u8], offset: usize, out: &mut Vec<u8>) {
        match self.masking_key {
            Some(key) => mask::extend_masked(out, piece, key, offset),
            None => out.extend_from_slice(piece),
        }
    }
}

/// Makes room for what is appended next.
pub(crate) fn reserve(out: &mut Vec<u8>, len: usize) -> Result<(), EncodeError> {
    out.try_reserve(len).map_err(|_| EncodeError::OutOfMemory)
}

/// Masking keys from the operating system's random source (RFC 6455, sections 5.3 and 10.3), fetched
/// several at a time: a system call a frame would cost as much as sending a small one.
struct MaskingKeys {
    random: [u8; 4 * KEYS],
    used: usize,
}

impl MaskingKeys {
    fn next(&mut self) -> Result<[u8; 4], getrandom::Error> {
        loop {
            let unused = self.random.get(self.used..).unwrap_or_default();
            if let Some(key) = unused.first_chunk() {
                self.used += key.len();
                return Ok(*key);
            }
            getrandom::fill(&mut self.random)?;
            self.used = 0;
        }
    }
}

impl Default for MaskingKeys {
    fn default() -> Self {
        Self {
            random: [0; 4 * KEYS],
            used: 4 * KEYS,
        }
    }
}

/// Keys a system call: 256 bytes, the most that Linux always delivers whole.
const KEYS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::protocol::deflate::Decompressor;

    fn encode(role: Role, opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new(role, None)
            .frame(opcode, is_final, payload, &mut out)
            .unwrap();
        out
    }

    /// The examples of RFC 6455, section 5.7, that a server sends.
    #[test]
    fn a_servers_frames_are_those_of_the_rfcs_examples() {
        assert_eq!(
            encode(Role::Server, Opcode::Text, true, b"Hello"),
            b"\x81\x05Hello"
        );
        assert_eq!(
            encode(Role::Server, Opcode::Text, false, b"Hel"),
            b"\x01\x03Hel"
        );
        assert_eq!(
            encode(Role::Server, Opcode::Continuation, true, b"lo"),
            b"\x80\x02lo"
        );
        assert_eq!(
            encode(Role::Server, Opcode::Ping, true, b"Hello"),
            b"\x89\x05Hello"
        );
        let big = encode(Role::Server, Opcode::Binary, true, &[0; 65_536]);
        assert_eq!(big[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_clients_frame_is_masked_with_the_key_in_its_header() {
        let frame = encode(Role::Client, Opcode::Text, true, b"Hello");
        assert_eq!(frame[..2], [0x81, 0x85]);
        let key = &frame[2..6];
        let payload: Vec<u8> = frame[6..]
            .iter()
            .zip(key.iter().cycle())
            .map(|(b, k)| b ^ k)
            .collect();
        assert_eq!(payload, b"Hello");
    }

    #[test]
    fn what_is_encoded_elsewhere_shares_the_context_unless_it_is_not_sent() {
        const MESSAGE: &[u8] = b"a message that the next one can refer to as a whole";
        let mut encoder = Encoder::new(
            Role::Server,
            Some(Compression {
                level: 6,
                threshold_bytes: 0,
                window_bits: 15,
                takes_over: true,
            }),
        );
        let mut next = |was_sent| {
            let mut lent = encoder.lend();
            let mut frame = Vec::new();
            lent.data_frame(Opcode::Text, true, MESSAGE, true, &mut frame)
                .unwrap();
            encoder.take_back(lent, was_sent);
            frame
        };
        let (first, second, _lost, fourth) = (next(true), next(true), next(false), next(true));
        assert!(second.len() < first.len(), "it refers to the first");
        assert_eq!(fourth, first, "the peer has not seen the one before it");
        let mut decompressor = Decompressor::new(true);
        for frame in [first, second, fourth] {
            let mut message = Vec::new();
            let payload = &frame[2..];
            decompressor
                .decompress(payload, &mut message, 1000)
                .unwrap();
            decompressor.finish(&mut message, 1000).unwrap();
            assert_eq!(message, MESSAGE);
        }
    }

    #[test]
    fn masking_keys_do_not_repeat_nor_favour_any_byte() {
        let mut keys = MaskingKeys::default();
        let mut seen = HashSet::new();
        let mut counts = [[0u32; 256]; 4];
        let mut repeats = 0;
        let mut last = None;
        for _ in 0..100_000 {
            let key = keys.next().unwrap();
            assert_ne!(Some(key), last, "two in a row");
            last = Some(key);
            repeats += u32::from(!seen.insert(key));
            for (count, byte) in counts.iter_mut().zip(key) {
                count[usize::from(byte)] += 1;
            }
        }
        // 100,000 draws of 2^32: 1.2 repeats expected; more than 12 has a chance below 1e-8.
        assert!(repeats <= 12, "{repeats} repeats");
        for count in counts {
            let expected = 100_000.0 / 256.0;
            let chi2: f64 = count
                .iter()
                .map(|&n| (f64::from(n) - expected).powi(2) / expected)
                .sum();
            // 255 degrees of freedom: mean 255, deviation 22.6; 400 is beyond six deviations.
            assert!(chi2 < 400.0, "chi² {chi2}");
        }
    }
}
