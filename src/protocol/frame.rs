//! Frame headers (RFC 6455, section 5.2).

use super::{ProtocolError, Role};

/// What a frame is for (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub(crate) fn is_control(self) -> bool {
        self as u8 >= 8
    }

    fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(ProtocolError::Opcode(other)),
        })
    }
}

/// A frame's header, as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) is_final: bool,
    /// The message that begins here is compressed (RFC 7692, section 6).
    pub(crate) is_compressed: bool,
    pub(crate) opcode: Opcode,
    /// Zero where the frame is not masked, which leaves the payload as it is.
    pub(crate) masking_key: [u8; 4],
    /// Below 2^63.
    pub(crate) payload_len: u64,
}

impl FrameHeader {
    /// Reads a header that `sender` sent from the start of `bytes`: the header and its length, or `None`
    /// while it is incomplete. What is forbidden is refused at the earliest byte that shows it.
    /// `may_compress` says that permessage-deflate was negotiated.
    ///
    /// # Errors
    ///
    /// Everything that a header alone can have wrong.
    #[inline]
    pub(crate) fn parse(
        bytes: &[u8],
        sender: Role,
        may_compress: bool,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        // "MUST be 0 unless an extension is negotiated" (RFC 6455, section 5.2).
        let is_compressed = first & RSV1 != 0;
        if first & (RSV2 | RSV3) != 0 || (is_compressed && !may_compress) {
            return Err(ProtocolError::ReservedBit);
        }
        let opcode = Opcode::from_bits(first & 0x0f)?;
        // Only on a message's first frame (RFC 7692, section 6.1).
        if is_compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(ProtocolError::ReservedBit);
        }
        let is_final = first & FIN != 0;
        // RFC 6455, section 5.5: control frames "MUST NOT be fragmented".
        if opcode.is_control() && !is_final {
            return Err(ProtocolError::FragmentedControl);
        }

        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        // RFC 6455, section 5.1: each end MUST close on a frame that is masked the wrong way.
        let is_masked = second & 0x80 != 0;
        match sender {
            Role::Client if !is_masked => return Err(ProtocolError::Unmasked),
            Role::Server if is_masked => return Err(ProtocolError::Masked),
            _ => {}
        }
        let short_len = second & 0x7f;
        if opcode.is_control() && short_len > MAX_CONTROL_PAYLOAD as u8 {
            return Err(ProtocolError::LongControl);
        }

        // "The minimal number of bytes MUST be used to encode the length" (RFC 6455, section 5.2).
        let (payload_len, rest) = match short_len {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                let len = u16::from_be_bytes(*len);
                if len < 126 {
                    return Err(ProtocolError::Length);
                }
                (u64::from(len), rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                let len = u64::from_be_bytes(*len);
                if len <= u64::from(u16::MAX) || len >> 63 != 0 {
                    return Err(ProtocolError::Length);
                }
                (len, rest)
            }
            short => (u64::from(short), rest),
        };

        let (masking_key, rest) = if is_masked {
            let Some((key, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (*key, rest)
        } else {
            ([0; 4], rest)
        };
        let header = Self {
            is_final,
            is_compressed,
            opcode,
            masking_key,
            payload_len,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// Whether a frame's first byte says that it begins a compressed message (RFC 7692, section 6).
pub(crate) fn says_compressed(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & RSV1 != 0)
}

/// The whole header of a frame that is neither masked, nor compressed, nor longer than 125 bytes.
#[inline]
pub(crate) fn short_header(opcode: Opcode, is_final: bool, payload_len: usize) -> Option<[u8; 2]> {
    match u8::try_from(payload_len) {
        Ok(len @ 0..=125) => Some([first_byte(opcode, is_final), len]),
        _ => None,
    }
}

#[inline]
fn first_byte(opcode: Opcode, is_final: bool) -> u8 {
    let fin = if is_final { FIN } else { 0 };
    opcode as u8 | fin
}

/// An encoded header: at most 14 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderBytes {
    bytes: [u8; MAX_HEADER],
    len: u8,
}

impl HeaderBytes {
    /// A header of no bytes, for a frame that has one already.
    pub(crate) const NONE: Self = Self {
        bytes: [0; MAX_HEADER],
        len: 0,
    };

    /// Encodes a header in its shortest form.
    #[inline]
    pub(crate) fn new(
        opcode: Opcode,
        is_final: bool,
        is_compressed: bool,
        payload_len: usize,
        masking_key: Option<[u8; 4]>,
    ) -> Self {
        let mut bytes = [0; MAX_HEADER];
        let rsv1 = if is_compressed { RSV1 } else { 0 };
        let mask_bit = if masking_key.is_some() { 0x80 } else { 0 };
        bytes[0] = first_byte(opcode, is_final) | rsv1;
        let mut len = if let Some([_, short]) = short_header(opcode, is_final, payload_len) {
            bytes[1] = mask_bit | short;
            2
        } else if let Ok(len) = u16::try_from(payload_len) {
            bytes[1] = mask_bit | 126;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            4
        } else {
            bytes[1] = mask_bit | 127;
            bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        };
        if let Some(key) = masking_key {
            // The longest so far has ten bytes, of MAX_HEADER.
            bytes[len..len + key.len()].copy_from_slice(&key);
            len += key.len();
        }
        Self {
            bytes,
            len: len as u8,
        }
    }
}

impl HeaderBytes {
    /// Appends the header to `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.len);
        // All of the array, so that the length is known when this is compiled, which makes it two instructions.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

impl AsRef<[u8]> for HeaderBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The payload of a control frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlPayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD],
    len: u8,
}

impl ControlPayload {
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; MAX_CONTROL_PAYLOAD],
        len: 0,
    };

    /// Takes up to 125 bytes; `None` if there are more.
    pub(crate) fn new(payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_CONTROL_PAYLOAD];
        bytes.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(Self {
            bytes,
            len: payload.len() as u8,
        })
    }
}

impl AsRef<[u8]> for ControlPayload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_ref())
    }
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

/// The longest payload of a control frame (RFC 6455, section 5.5).
pub(crate) const MAX_CONTROL_PAYLOAD: usize = 125;

/// The longest header: two bytes, a 64-bit length, a masking key.
pub(crate) const MAX_HEADER: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8], sender: Role) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        FrameHeader::parse(bytes, sender, false)
    }

    #[test]
    fn every_length_form_survives_a_round_trip_and_every_prefix_is_incomplete() {
        let lens = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 24, (1 << 31) + 7];
        for key in [None, Some([1, 2, 3, 4])] {
            for len in lens {
                let encoded = HeaderBytes::new(Opcode::Binary, true, false, len, key);
                let sender = if key.is_some() {
                    Role::Client
                } else {
                    Role::Server
                };
                let bytes = encoded.as_ref();
                for cut in 0..bytes.len() {
                    assert_eq!(parse(&bytes[..cut], sender), Ok(None), "{len} cut at {cut}");
                }
                let (header, used) = parse(bytes, sender).unwrap().unwrap();
                assert_eq!(used, bytes.len());
                assert_eq!(header.payload_len, len as u64);
                assert_eq!(header.masking_key, key.unwrap_or_default());
                assert_eq!((header.opcode, header.is_final), (Opcode::Binary, true));
            }
        }
    }

    /// Edge lengths × opcodes × mask × sender, against a model written from the RFC's text.
    #[test]
    fn edge_lengths_opcodes_and_masks_are_judged_as_the_rfc_says() {
        let forms: &[(u8, &[u8], Option<u64>)] = &[
            (0, &[], Some(0)),
            (1, &[], Some(1)),
            (125, &[], Some(125)),
            (126, &[0, 0], None),
            (126, &[0, 125], None),
            (126, &[0, 126], Some(126)),
            (126, &[0xff, 0xff], Some(65_535)),
            (127, &[0; 8], None),
            (127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff], None),
            (127, &[0, 0, 0, 0, 0, 1, 0, 0], Some(65_536)),
            (127, &[0, 0, 0, 1, 0, 0, 0, 0], Some(1 << 32)),
            (
                127,
                &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Some(u64::MAX >> 1),
            ),
            (127, &[0x80, 0, 0, 0, 0, 0, 0, 0], None),
            (127, &[0xff; 8], None),
        ];
        let mut cases = 0;
        for &(short, extended, len) in forms {
            for opcode in 0u8..16 {
                for masked in [false, true] {
                    for sender in [Role::Client, Role::Server] {
                        let mut bytes = vec![0x80 | opcode, short | if masked { 0x80 } else { 0 }];
                        bytes.extend_from_slice(extended);
                        if masked {
                            bytes.extend_from_slice(&[9, 8, 7, 6]);
                        }
                        let expected = if matches!(opcode, 3..=7 | 11..) {
                            Err(ProtocolError::Opcode(opcode))
                        } else if masked && sender == Role::Server {
                            Err(ProtocolError::Masked)
                        } else if !masked && sender == Role::Client {
                            Err(ProtocolError::Unmasked)
                        } else if opcode >= 8 && short > 125 {
                            Err(ProtocolError::LongControl)
                        } else {
                            len.ok_or(ProtocolError::Length)
                        };
                        let got = parse(&bytes, sender).map(|h| h.unwrap().0.payload_len);
                        assert_eq!(got, expected, "{bytes:x?} from {sender:?}");
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 896);
    }

    #[test]
    fn reserved_bits_and_fragmented_control_frames_are_refused_at_the_first_byte() {
        for bit in [0x40, 0x20, 0x10] {
            assert_eq!(
                parse(&[0x81 | bit], Role::Client),
                Err(ProtocolError::ReservedBit)
            );
        }
        for opcode in [8, 9, 10] {
            assert_eq!(
                parse(&[opcode], Role::Client),
                Err(ProtocolError::FragmentedControl)
            );
        }
        assert_eq!(parse(&[0x83], Role::Client), Err(ProtocolError::Opcode(3)));
    }

    /// RFC 7692, section 6: RSV1 is for the first frame of a message, of those only, and only where negotiated.
    #[test]
    fn with_permessage_deflate_rsv1_may_be_set_where_a_message_begins() {
        for opcode in [0u8, 1, 2, 8, 9, 10] {
            let first = [0xc0 | opcode];
            assert_eq!(parse(&first, Role::Client), Err(ProtocolError::ReservedBit));
            let negotiated = FrameHeader::parse(&first, Role::Client, true);
            let expected = match opcode {
                1 | 2 => Ok(None),
                _ => Err(ProtocolError::ReservedBit),
            };
            assert_eq!(negotiated, expected, "{opcode}");
            for other in [0x20, 0x10] {
                let negotiated = FrameHeader::parse(&[first[0] | other], Role::Client, true);
                assert_eq!(negotiated, Err(ProtocolError::ReservedBit));
            }
        }
        let (header, _) = FrameHeader::parse(&[0xc1, 0], Role::Server, true)
            .unwrap()
            .unwrap();
        assert!(header.is_compressed);
        let header = HeaderBytes::new(Opcode::Text, true, true, 0, None);
        assert_eq!(header.as_ref(), [0xc1, 0]);
    }
}
