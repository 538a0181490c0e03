//! Request paths as Kong, nginx and the upstream see them: three readings of one text.
//!
//! Kong routes by, and sends upstream, its own normal form ([`normalize`], [`escape`]). A filter reads nginx's
//! ([`nginx_path`]), which decodes everything: a `%2F` of the client is a `/` to the filter and stays `%2F` upstream.

use std::fmt::Write;

/// The path Kong routes by: percent-encoded characters that are not reserved are decoded, `.` and `..` segments resolved,
/// slashes merged. Reserved characters (`%2F`, `%3B`, …) stay encoded, in upper case.
pub fn normalize(path: &str) -> Vec<u8> {
    segments(&decode(path.as_bytes(), |byte| !RESERVED.contains(&byte)))
}

/// The path Kong sends upstream, from the normal form: what may not stand in a request line is percent-encoded.
pub fn escape(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@[\\]-._~%".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// nginx's `$uri`, which is what a filter on Kong reads in `:path`: everything decoded once, `.` and `..` resolved, slashes
/// merged. `None` where nginx answers 400: a path that climbs above the root, a NUL, or a broken percent-encoding.
pub fn nginx_path(path: &str) -> Option<Vec<u8>> {
    let mut rest = path.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let (byte, after) = percent(rest.get(at..)?)?;
        if byte == 0 {
            return None;
        }
        rest = after;
    }
    let decoded = decode(path.as_bytes(), |_| true);
    let mut depth = 0_usize;
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => depth = depth.checked_sub(1)?,
            _ => depth += 1,
        }
    }
    Some(segments(&decoded))
}

const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Resolves dot segments and merges slashes.
fn segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in path.split(|byte| *byte == b'/') {
        ends_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in &kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if ends_open || kept.is_empty() {
        out.push(b'/');
    }
    out
}

/// Decodes the characters `chosen`; the others keep their encoding, in upper case.
fn decode(path: &[u8], chosen: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match percent(rest) {
            Some((byte, after)) if chosen(byte) => {
                out.push(byte);
                rest = after;
            }
            Some((_, after)) => {
                out.extend(rest.iter().take(3).map(u8::to_ascii_uppercase));
                rest = after;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// The byte that a leading `%XX` stands for, and what follows.
fn percent(text: &[u8]) -> Option<(u8, &[u8])> {
    let (head, after) = text.split_at_checked(3)?;
    let digits = std::str::from_utf8(head.strip_prefix(b"%")?).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((u8::from_str_radix(digits, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_as_kong_does() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../../etc", "/etc"),
            ("/%61/%2e%2e/b", "/b"),
            ("/a%2fb%3b", "/a%2Fb%3B"),
            ("/a%252fb", "/a%252fb"),
            ("/a%zz", "/a%zz"),
            ("/a%", "/a%"),
        ] {
            assert_eq!(String::from_utf8(normalize(path)).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_goes_upstream_is_encoded_again() {
        assert_eq!(escape(&normalize("/a%20b/%C3%A9/%2F;x")), "/a%20b/%C3%A9/%2F;x");
    }

    #[test]
    fn a_filter_reads_the_decoded_path() {
        for (path, expected) in [
            ("/a%2Fb//c/%2e%2e/d", Some("/a/b/d")),
            ("/a%252Fb", Some("/a%2Fb")),
            ("/a%3Fb", Some("/a?b")),
            ("/..", None),
            ("/a/%2e%2e/..", None),
            ("/a%00b", None),
            ("/a%zz", None),
        ] {
            assert_eq!(nginx_path(path).map(|p| String::from_utf8(p).unwrap()).as_deref(), expected, "{path}");
        }
    }
}
