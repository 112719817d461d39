//! Messages and control frames into bytes (RFC 6455, sections 5 and 6.1).

use super::{
    Opcode, Role,
    frame::{HeaderBytes, MAX_HEADER},
    mask,
};

/// Turns what is to be sent into frames.
///
/// It knows nothing of what was received. Whether a Close was sent before is the caller's to know.
pub(crate) struct Encoder {
    masking_keys: Option<MaskingKeys>,
}

/// A frame whose payload is encoded in pieces: see [`Encoder::begin_frame`].
#[derive(Clone, Copy)]
pub(crate) struct OpenFrame {
    header: HeaderBytes,
    masking_key: Option<[u8; 4]>,
}

impl Encoder {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            masking_keys: (role == Role::Client).then(MaskingKeys::default),
        }
    }

    /// Appends a whole frame to `out`.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes for a masking key.
    pub(crate) fn frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), getrandom::Error> {
        let frame = self.begin_frame(opcode, is_final, payload.len())?;
        out.reserve(MAX_HEADER + payload.len());
        out.extend_from_slice(frame.header());
        frame.payload(payload, 0, out);
        Ok(())
    }

    /// Begins a frame whose payload is sent in pieces: the caller sends [`OpenFrame::header`], then all of
    /// the payload by [`OpenFrame::payload`], and nothing else in between.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes for a masking key.
    pub(crate) fn begin_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        payload_len: usize,
    ) -> Result<OpenFrame, getrandom::Error> {
        let masking_key = match &mut self.masking_keys {
            Some(keys) => Some(keys.next()?),
            None => None,
        };
        Ok(OpenFrame {
            header: HeaderBytes::new(opcode, is_final, payload_len, masking_key),
            masking_key,
        })
    }
}

impl OpenFrame {
    pub(crate) fn header(&self) -> &[u8] {
        self.header.as_ref()
    }

    /// Whether the payload goes out as it is, so that it need not be copied.
    pub(crate) fn is_plain(&self) -> bool {
        self.masking_key.is_none()
    }

    /// Appends a piece of the payload to `out`; `offset` is how many bytes came before.
    pub(crate) fn payload(&self, piece: &[u8], offset: usize, out: &mut Vec<u8>) {
        match self.masking_key {
            Some(key) => mask::extend_masked(out, piece, key, offset),
            None => out.extend_from_slice(piece),
        }
    }
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

    fn encode(role: Role, opcode: Opcode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new(role)
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
