//! Comparing bytes where WebAssembly's `memcmp`, which goes byte by byte, would be felt.

use std::cmp::Ordering;

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

/// As bytes compare, eight at a time: for texts that begin alike.
pub(crate) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    let differing = words.iter().zip(other_words).find(|(word, other)| word != other);
    if let Some((word, other)) = differing {
        return u64::from_be_bytes(*word).cmp(&u64::from_be_bytes(*other));
    }
    let common = words.len().min(other_words.len()) * 8;
    let (tail, other_tail) = (one.get(common..).unwrap_or(rest), other.get(common..).unwrap_or(other_rest));
    tail.cmp(other_tail)
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn lines_compare_as_bytes_do(start in "[ab]{0,20}", one in "\\PC{0,12}", other in "\\PC{0,12}") {
            let (one, other) = (format!("{start}{one}"), format!("{start}{other}"));
            prop_assert_eq!(compare(one.as_bytes(), other.as_bytes()), one.as_bytes().cmp(other.as_bytes()));
        }
    }
}
