//! Comparing bytes where WebAssembly's `memcmp`, which goes byte by byte, would be felt.

/// Whether the bytes are the same, found out eight at a time.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (Some(end), Some(other_end)) = (one.last_chunk(), other.last_chunk()) else {
        return one == other;
    };
    // What is left of the last whole word is in the last eight bytes.
    let mut pairs = one.as_chunks().0.iter().zip(other.as_chunks().0);
    word(end) == word(other_end) && pairs.all(|(one, other)| word(one) == word(other))
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_whole() {
        let text = b"0123456789abcdefghi";
        for len in 0..=text.len() {
            let text = &text[..len];
            assert!(is_same(text, text));
            for at in 0..len {
                let mut other = text.to_vec();
                other[at] ^= 1;
                assert!(!is_same(text, &other), "{at} of {len}");
                assert!(!is_same(text, &text[..at]), "{at} of {len}");
            }
        }
    }
}
