//! Texts of providers in headers.

use crate::digest::digest;
use std::fmt::Write;

/// Longest escaped text, in bytes.
const MAX_BYTES: usize = 512;
/// What ends a text that was cut: a mark that is escaped elsewhere, and a digest in hexadecimal.
const MARK_BYTES: usize = 33;

/// A provider's text as a header value: whatever is not plainly harmless is percent-encoded, so that no line break, comma or
/// non-ASCII byte gets through. A text that is too long ends in `~` and a digest of the whole, so that two texts never come out alike.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len().min(MAX_BYTES));
    // Where a text that turns out too long is cut: between characters.
    let mut cut = 0;
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || "-._:/@|+".contains(letter) {
            escaped.push(letter);
        } else {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String does not fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        if escaped.len() <= MAX_BYTES - MARK_BYTES {
            cut = escaped.len();
        } else if escaped.len() > MAX_BYTES {
            escaped.truncate(cut);
            let whole: [u8; 16] = digest(&[text.as_bytes()]);
            let _ = write!(escaped, "~{:032x}", u128::from_be_bytes(whole));
            break;
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_texts_with_one_beginning_stay_apart() {
        let [ada, bob] = ["ada", "bob"].map(|end| escape(&format!("{}{end}", "\u{fc}".repeat(200))));
        assert_ne!(ada, bob);
        for text in [ada, bob] {
            let (kept, digest) = text.split_once('~').unwrap();
            assert!(text.len() <= MAX_BYTES && kept.len() > MAX_BYTES - MARK_BYTES - 6 && digest.len() == 32, "{text}");
            assert!(kept.ends_with("%C3%BC"), "cut between characters: {text}");
        }
        let fitting = "a".repeat(MAX_BYTES);
        assert_eq!(escape(&fitting), fitting);
    }

    proptest! {
        #[test]
        fn a_text_that_fits_decodes_to_itself(text in "\\PC{0,40}") {
            let escaped = escape(&text);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_graphic() && !b",;=\"\\~".contains(&b)));
            prop_assert_eq!(percent_encoding::percent_decode_str(&escaped).decode_utf8().unwrap(), text);
        }
    }
}
