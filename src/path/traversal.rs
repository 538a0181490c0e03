//! Paths that climb out of the route that they were sent to.

use percent_encoding::percent_decode;

/// How often an upstream and what stands before it may decode a path between them.
const MAX_DECODINGS: usize = 3;

/// Whether some server reads a `..` segment in a request target: plain, encoded up to three times, with path parameters
/// (`..;`, as Tomcat cuts them off), or between backslashes.
///
/// A gateway picks the route by its own reading. Where the upstream climbs by `..` from there, it serves what another route, with
/// other rules, is for.
pub fn may_traverse(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if !path.contains(&b'%') {
        return has_parent_segment(path);
    }
    let mut path = path.to_vec();
    for _ in 0..MAX_DECODINGS {
        if has_parent_segment(&path) {
            return true;
        }
        path = percent_decode(&path).collect();
    }
    has_parent_segment(&path)
}

fn has_parent_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(is_parent)
}

/// Whether a segment is `..` to a server that cuts it at `;`, `?` or `#`, and drops spaces and controls.
fn is_parent(segment: &[u8]) -> bool {
    let kept = segment.iter().take_while(|byte| !matches!(byte, b';' | b'?' | b'#'));
    kept.filter(|byte| !matches!(byte, 0..=b' ' | 0x7f)).eq(b"..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_parent_segment_is_seen_however_it_is_written() {
        let cases: &[&[u8]] = &[
            b"/public/../admin",
            b"/public/..",
            b"/..",
            b"..",
            b"/public/%2e%2e/admin",
            b"/public/.%2E/admin",
            b"/public/..%2fadmin",
            b"/public%2F..%2Fadmin",
            b"/public/%252e%252e%252fadmin",
            b"/public/%25252e%25252e/admin",
            b"/public/..;/admin",
            b"/public/..;x=1/admin",
            b"/public/..%3b/admin",
            b"/public/..%253badmin",
            b"/public\\..\\admin",
            b"/public/..\\admin",
            b"/public/..%5Cadmin",
            b"/public/..%00/admin",
            b"/public/.%00./admin",
            b"/public/..%20/admin",
            b"/public/..%09/admin",
            b"/public/..%23/admin",
            b"/public/..%3f/admin",
            b"/public/..#/admin",
            b"http://host/public/../admin",
            b"/public/%2e%2e",
            b"/caf\xe9/../admin",
            b"/public/..?x",
        ];
        for target in cases {
            assert!(may_traverse(target), "{}", String::from_utf8_lossy(target));
        }
    }

    #[test]
    fn other_paths_pass_however_odd() {
        let cases: &[&[u8]] = &[
            b"",
            b"*",
            b"/",
            b"/groups/a%2Fb",
            b"/a;x=1/b",
            b"/a..b/..c/d..",
            b"/...",
            b"/./a",
            b"/.",
            b"/%2e",
            b"/a%zz/%",
            b"/caf\xe9",
            b"/a?next=/../b",
            b"/a?x=%2e%2e%2f",
            b"//a",
            b"/100%25",
        ];
        for target in cases {
            assert!(!may_traverse(target), "{}", String::from_utf8_lossy(target));
        }
    }

    proptest! {
        #[test]
        fn a_path_of_one_reading_never_traverses(target in "/[ -~]{0,40}") {
            if super::super::RequestPath::parse(target.as_bytes()).is_ok() {
                prop_assert!(!may_traverse(target.as_bytes()));
            }
        }
    }
}
