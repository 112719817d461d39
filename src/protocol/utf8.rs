//! UTF-8 checked as it arrives (RFC 6455, section 8.1).

use std::str;

use super::ProtocolError;

/// Checks text that comes in pieces, and refuses it at the first byte that cannot be part of UTF-8.
#[derive(Debug, Default, Clone)]
pub(crate) struct Utf8Validator {
    /// The code point that the last piece ended in the middle of.
    partial: [u8; 4],
    partial_len: usize,
}

impl Utf8Validator {
    /// Checks the next piece.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Utf8`] as soon as nothing that follows could make the text valid.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.partial_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            // A code point has at most four bytes: the fourth makes it whole or wrong.
            let partial = self
                .partial
                .get_mut(..=self.partial_len)
                .ok_or(ProtocolError::Utf8)?;
            partial[self.partial_len] = byte;
            match str::from_utf8(partial) {
                Ok(_) => self.partial_len = 0,
                Err(error) if error.error_len().is_none() => self.partial_len += 1,
                Err(_) => return Err(ProtocolError::Utf8),
            }
        }
        let incomplete = match valid_up_to(piece)? {
            valid if valid == piece.len() => return Ok(()),
            valid => &piece[valid..],
        };
        // `error_len` is `None` only for the beginning of a code point: three bytes at most.
        self.partial[..incomplete.len()].copy_from_slice(incomplete);
        self.partial_len = incomplete.len();
        Ok(())
    }

    /// Says that the text has ended.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Utf8`] if it ends in the middle of a code point.
    pub(crate) fn finish(&self) -> Result<(), ProtocolError> {
        match self.partial_len {
            0 => Ok(()),
            _ => Err(ProtocolError::Utf8),
        }
    }
}

/// Checks a whole text.
pub(crate) fn check(text: &[u8]) -> Result<&str, ProtocolError> {
    if text.len() < SIMD_PAYS {
        str::from_utf8(text).map_err(|_| ProtocolError::Utf8)
    } else {
        simdutf8::basic::from_utf8(text).map_err(|_| ProtocolError::Utf8)
    }
}

/// How many bytes of `piece` are whole code points; the rest is the beginning of one.
fn valid_up_to(piece: &[u8]) -> Result<usize, ProtocolError> {
    let (valid, error_len) = if piece.len() < SIMD_PAYS {
        match str::from_utf8(piece) {
            Ok(_) => return Ok(piece.len()),
            Err(error) => (error.valid_up_to(), error.error_len()),
        }
    } else {
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => return Ok(piece.len()),
            Err(error) => (error.valid_up_to(), error.error_len()),
        }
    };
    match error_len {
        None => Ok(valid),
        Some(_) => Err(ProtocolError::Utf8),
    }
}

/// From this length on simdutf8 is faster than std (measured on x86-64).
const SIMD_PAYS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(text: &[u8], piece: usize) -> Result<(), ProtocolError> {
        let mut validator = Utf8Validator::default();
        for piece in text.chunks(piece) {
            validator.push(piece)?;
        }
        validator.finish()
    }

    #[test]
    fn any_split_of_any_bytes_is_judged_as_std_judges_the_whole() {
        let mut seed = 1u64;
        let mut random = move || {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as usize
        };
        let seeds = [
            "κόσμε",
            "a\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
            "plain",
            "日本語🦀",
        ];
        let (mut valid, mut invalid) = (0, 0);
        for _ in 0..100_000 {
            let mut text = seeds[random() % seeds.len()]
                .repeat(1 + random() % 20)
                .into_bytes();
            if random() % 2 == 0 {
                let at = random() % text.len();
                text[at] = random() as u8;
            }
            text.truncate(random() % (text.len() + 1));
            let expected = str::from_utf8(&text).is_ok();
            if expected {
                valid += 1
            } else {
                invalid += 1
            }
            for piece in [1, 2 + random() % 6] {
                assert_eq!(
                    in_pieces(&text, piece).is_ok(),
                    expected,
                    "{text:x?} by {piece}"
                );
            }
            assert_eq!(check(&text).is_ok(), expected);
        }
        assert!(valid > 10_000 && invalid > 10_000, "{valid} {invalid}");
    }

    #[test]
    fn hopeless_beginnings_are_refused_before_the_code_point_is_complete() {
        // Beyond U+10FFFF, a surrogate, overlong forms: the second byte shows it.
        for hopeless in [
            &b"\xf4\x90"[..],
            b"\xed\xa0",
            b"\xe0\x80",
            b"\xf0\x80",
            b"\xc0",
            b"\xff",
            b"\x80",
        ] {
            let mut validator = Utf8Validator::default();
            let result = hopeless
                .iter()
                .try_for_each(|&byte| validator.push(&[byte]));
            assert_eq!(result, Err(ProtocolError::Utf8), "{hopeless:x?}");
        }
    }
}
