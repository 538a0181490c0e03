//! Request paths, read in one way only.
//!
//! A rule that names paths is only as good as the agreement on what a path *is*. What two servers may read differently is
//! refused here rather than normalised: encoded slashes, dot segments, path parameters, double encoding, other letter case (see
//! `docs/adr/0002`).

mod pattern;
mod traversal;

pub use pattern::{PathPattern, PatternProblem};
pub use traversal::may_traverse;

use percent_encoding::percent_decode_str;
use std::fmt;

/// A request path in its one reading: segments without empty ones, unreserved characters decoded, triplets upper-case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    text: String,
}

/// Why a path cannot be read in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// Not an absolute path.
    #[error("does not begin with a slash")]
    NotAbsolute,
    /// A character that servers treat differently: `;`, `\`, `#`, a control or a non-ASCII byte.
    #[error("has a character that servers read differently")]
    Character,
    /// `%` without two hex digits, what does not decode to UTF-8, or an encoded slash, backslash, semicolon, question mark, hash,
    /// percent sign or control.
    #[error("has an encoding that servers read differently")]
    Encoding,
    /// `.` or `..`.
    #[error("has a dot segment")]
    DotSegment,
    /// A segment that ends in a dot, or begins or ends with an encoded space: some servers cut these off.
    #[error("has a segment with a dot at its end or a space at either end, which some servers cut off")]
    Cut,
    /// A path that a rule names when letter case is ignored, as many routers do, and only then.
    #[error("is a rule's path in other letter case, which many servers take for the same")]
    LetterCase,
}

impl RequestPath {
    /// Reads the path of a request target (RFC 9112 §3.2); the query is left out.
    ///
    /// # Errors
    /// What makes the path ambiguous.
    pub fn parse(target: &[u8]) -> Result<Self, PathProblem> {
        let path = target.split(|b| *b == b'?').next().unwrap_or_default();
        if path.first() != Some(&b'/') {
            return Err(PathProblem::NotAbsolute);
        }
        let mut text = String::with_capacity(path.len());
        for segment in path.split(|b| *b == b'/').filter(|segment| !segment.is_empty()) {
            text.push('/');
            let start = text.len();
            decode(segment, &mut text)?;
            match text.get(start..).unwrap_or_default() {
                "." | ".." => return Err(PathProblem::DotSegment),
                read if read.ends_with('.') || read.starts_with("%20") || read.ends_with("%20") => {
                    return Err(PathProblem::Cut);
                }
                read if !is_utf8(read) => return Err(PathProblem::Encoding),
                _ => {}
            }
        }
        Ok(Self { text })
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1)
    }
}

/// Whether a segment's triplets come to UTF-8.
fn is_utf8(segment: &str) -> bool {
    !segment.contains('%') || percent_decode_str(segment).decode_utf8().is_ok()
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "/" } else { &self.text })
    }
}

fn decode(segment: &[u8], into: &mut String) -> Result<(), PathProblem> {
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (digits, after) = after.split_first_chunk::<2>().ok_or(PathProblem::Encoding)?;
                rest = after;
                into.push_str(&triplet(*digits)?);
            }
            b';' | b'\\' | b'#' => return Err(PathProblem::Character),
            _ if byte.is_ascii_graphic() => into.push(char::from(byte)),
            _ => return Err(PathProblem::Character),
        }
    }
    Ok(())
}

/// A triplet in its one reading: the character itself where it is unreserved (RFC 3986 §2.3), else upper-case.
fn triplet(digits: [u8; 2]) -> Result<String, PathProblem> {
    let value = std::str::from_utf8(&digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit));
    let byte = value.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or(PathProblem::Encoding)?;
    match byte {
        b'/' | b'\\' | b';' | b'?' | b'#' | b'%' | 0..=0x1f | 0x7f => Err(PathProblem::Encoding),
        b'-' | b'.' | b'_' | b'~' => Ok(char::from(byte).to_string()),
        _ if byte.is_ascii_alphanumeric() => Ok(char::from(byte).to_string()),
        _ => Ok(format!("%{byte:02X}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn harmless_spellings_have_one_reading() {
        let cases = [
            ("/payments/42", "/payments/42"),
            ("/payments/42/", "/payments/42"),
            ("//payments///42", "/payments/42"),
            ("/p%61yments?x=%2F..", "/payments"),
            ("/a%20b/%c3%bc", "/a%20b/%C3%BC"),
            ("/report.json/.well-known", "/report.json/.well-known"),
            ("/", "/"),
            ("/v1.2/..x/x", "/v1.2/..x/x"),
        ];
        for (target, reading) in cases {
            assert_eq!(RequestPath::parse(target.as_bytes()).unwrap().to_string(), reading, "{target}");
        }
    }

    #[test]
    fn paths_that_servers_read_differently_are_refused() {
        let cases = [
            "",
            "*",
            "payments",
            "http://host/payments",
            "/a/../b",
            "/a/..",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a;x=1/b",
            "/a%3Bx/b",
            "/a#b",
            "/a%252Fb",
            "/a%25",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a%00",
            "/a b",
            "/a\tb",
            "/a%0d%0a",
            "/a%23b",
            "/a%3Fb",
            "/a%3f",
            "/admin.",
            "/admin%2e",
            "/admin..",
            "/admin%20",
            "/%20admin",
            "/admin%20/x",
            "/%c0%af",
            "/a%c3",
            "/a%ff",
            "/%e2%82%28",
        ];
        for target in cases {
            assert!(RequestPath::parse(target.as_bytes()).is_err(), "{target}");
        }
        assert!(RequestPath::parse(b"/a\xc3\xbc").is_err());
    }

    proptest! {
        #[test]
        fn a_reading_is_its_own_reading_and_holds_nothing_to_decode(target in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = RequestPath::parse(&target) {
                let text = path.to_string();
                prop_assert_eq!(RequestPath::parse(text.as_bytes()), Ok(path));
                prop_assert!(!text.contains("//") && !text.split('/').any(|s| s == "." || s == ".."));
                prop_assert!(!text.contains("%2F") && !text.contains("%25") && !text.contains(';'));
            }
        }

        #[test]
        fn encoding_unreserved_characters_changes_nothing(path in "/[a-zA-Z0-9_~-]{1,12}(/[a-z0-9.]{0,3}[a-z]){0,3}", mask in any::<u64>()) {
            let encoded: String = path
                .chars()
                .enumerate()
                .map(|(i, c)| if c != '/' && mask >> (i % 64) & 1 == 1 { format!("%{:02x}", c as u32) } else { c.to_string() })
                .collect();
            prop_assert_eq!(RequestPath::parse(encoded.as_bytes()), RequestPath::parse(path.as_bytes()));
        }
    }
}
