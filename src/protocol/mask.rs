//! Masking (RFC 6455, section 5.3).

/// XORs `payload` with the masking key; `offset` is how many bytes of the frame's payload came before.
///
/// Masking and unmasking are the same. The key is all zero for a frame that is not masked.
pub(crate) fn apply_mask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    if key == [0; 4] {
        return;
    }
    let key = rotated(key, offset);
    let mut rest = payload;
    if rest.len() >= BLOCK {
        let mut pattern = [0; BLOCK];
        for quad in pattern.chunks_exact_mut(4) {
            quad.copy_from_slice(&key);
        }
        let mut blocks = rest.chunks_exact_mut(BLOCK);
        for block in &mut blocks {
            for (byte, mask) in block.iter_mut().zip(&pattern) {
                *byte ^= mask;
            }
        }
        rest = blocks.into_remainder();
    }
    let word_key = u32::from_ne_bytes(key);
    let mut words = rest.chunks_exact_mut(key.len());
    for word in &mut words {
        if let Some(bytes) = word.first_chunk_mut() {
            *bytes = (u32::from_ne_bytes(*bytes) ^ word_key).to_ne_bytes();
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(&key) {
        *byte ^= mask;
    }
}

/// Appends `payload` to `out`, masked; `offset` as in [`apply_mask`].
pub(crate) fn extend_masked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4], offset: usize) {
    out.reserve(payload.len());
    let mut offset = offset;
    for piece in payload.chunks(CACHED) {
        let start = out.len();
        out.extend_from_slice(piece);
        apply_mask(&mut out[start..], key, offset);
        offset = offset.wrapping_add(piece.len());
    }
}

fn rotated(key: [u8; 4], offset: usize) -> [u8; 4] {
    let mut key = key;
    key.rotate_left(offset % 4);
    key
}

/// Bytes a step: wide enough that the compiler makes vector instructions of it.
const BLOCK: usize = 64;

/// Bytes that are copied before they are masked: small enough to be in the first cache still.
const CACHED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytewise(payload: &[u8], key: [u8; 4], offset: usize) -> Vec<u8> {
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[(i + offset) % 4])
            .collect()
    }

    #[test]
    fn every_offset_and_length_masks_as_byte_by_byte() {
        let key = [0x12, 0x34, 0x56, 0x78];
        let data: Vec<u8> = (0..9000u32).map(|i| (i * 31) as u8).collect();
        for offset in 0..8 {
            for len in (0..200).chain([4095, 4096, 4097, 9000]) {
                let expected = bytewise(&data[..len], key, offset);
                let mut in_place = data[..len].to_vec();
                apply_mask(&mut in_place, key, offset);
                assert_eq!(in_place, expected, "in place, {len} at {offset}");
                let mut appended = vec![7, 7];
                extend_masked(&mut appended, &data[..len], key, offset);
                assert_eq!(appended[2..], expected, "appended, {len} at {offset}");
            }
        }
    }
}
