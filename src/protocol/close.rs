//! Close frames and close codes (RFC 6455, sections 5.5.1 and 7.4).

use super::{ControlPayload, ProtocolError, frame::MAX_CONTROL_PAYLOAD};

/// What a Close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CloseFrame {
    /// [`code::NO_STATUS`] where the frame has none.
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl CloseFrame {
    pub(crate) fn new(code: u16, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
        }
    }

    /// Reads the payload of a received Close frame.
    ///
    /// # Errors
    ///
    /// Half a code, a code that may not be sent, a reason that is not UTF-8.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() {
                Ok(Self::new(code::NO_STATUS, ""))
            } else {
                Err(ProtocolError::CloseLength)
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_received(code) {
            return Err(ProtocolError::CloseCode(code));
        }
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Self::new(code, reason)),
            Err(_) => Err(ProtocolError::Utf8),
        }
    }

    /// The payload to send. A reason that does not fit is cut at a character.
    pub(crate) fn payload(&self) -> ControlPayload {
        let mut bytes = [0; MAX_CONTROL_PAYLOAD];
        let mut len = 0;
        if self.code != code::NO_STATUS {
            let reason = truncate(&self.reason, MAX_CLOSE_REASON);
            bytes[..2].copy_from_slice(&self.code.to_be_bytes());
            bytes[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
            len = 2 + reason.len();
        }
        // At most 2 + 123 bytes, which fit.
        ControlPayload::new(&bytes[..len]).unwrap_or(ControlPayload::EMPTY)
    }
}

/// The start of `text`, at most `max` bytes of it, cut between characters.
fn truncate(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    &text[..end]
}

/// Whether a peer may send this close code: those that RFC 6455, section 7.4.1, and IANA's registry
/// define for the wire, and those left to libraries and applications (section 7.4.2).
pub(crate) fn may_be_received(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Whether an application may send this close code: any that may go over the wire, but 1002, because only this
/// library knows whether the peer broke the protocol. The W3C WebSocket API's narrower rule is for pages.
pub(crate) fn may_be_sent(code: u16) -> bool {
    may_be_received(code) && code != code::PROTOCOL_ERROR
}

/// The longest close reason, in bytes (RFC 6455, section 5.5: 125, less the code).
pub(crate) const MAX_CLOSE_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// Close codes (RFC 6455, section 7.4.1).
pub mod code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The end goes away: a server shuts down, a page is left.
    pub const GOING_AWAY: u16 = 1001;
    /// The other end broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// The end cannot take this kind of data.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// Only reported: the peer's Close had no code.
    pub const NO_STATUS: u16 = 1005;
    /// Only reported: the connection ended without a Close from the peer.
    pub const ABNORMAL: u16 = 1006;
    /// A message is not what its type says, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// A message breaks the end's policy.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// A message is too big.
    pub const MESSAGE_TOO_BIG: u16 = 1009;
    /// The client wanted an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: u16 = 1010;
    /// The server met a condition that it did not expect.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// The server restarts (IANA registry).
    pub const SERVICE_RESTART: u16 = 1012;
    /// The server is overloaded (IANA registry).
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// A gateway got a bad answer (IANA registry).
    pub const BAD_GATEWAY: u16 = 1014;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_the_registry_and_of_applications_are_taken() {
        for code in 0..=u16::MAX {
            let allowed = [
                1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
            ]
            .contains(&code)
                || (3000..5000).contains(&code);
            let parsed = CloseFrame::parse(&code.to_be_bytes());
            assert_eq!(parsed.is_ok(), allowed, "{code}");
        }
    }

    #[test]
    fn a_close_frame_survives_a_round_trip() {
        for reason in ["", "bye", "αβγ", &"x".repeat(123)] {
            let frame = CloseFrame::new(4001, reason);
            assert_eq!(CloseFrame::parse(frame.payload().as_ref()), Ok(frame));
        }
        let none = CloseFrame::new(code::NO_STATUS, "");
        assert_eq!(none.payload().as_ref(), b"");
        assert_eq!(CloseFrame::parse(b""), Ok(none));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = CloseFrame::new(1011, &"é".repeat(100)).payload();
        assert_eq!(payload.as_ref().len(), 2 + 122);
        assert!(CloseFrame::parse(payload.as_ref()).is_ok());
    }

    #[test]
    fn half_a_code_and_a_reason_that_is_not_utf8_are_refused() {
        assert_eq!(CloseFrame::parse(&[3]), Err(ProtocolError::CloseLength));
        assert_eq!(
            CloseFrame::parse(&[3, 0xe8, 0xff]),
            Err(ProtocolError::Utf8)
        );
    }
}
