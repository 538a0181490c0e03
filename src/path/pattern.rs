//! Patterns over paths, as rules name them.

use super::RequestPath;
use percent_encoding::percent_decode_str;
use std::fmt;

/// A pattern over paths: literal segments, `*` or `{name}` for one segment, `**` at the end for any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Any,
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        match (self.open, self.segments.is_empty()) {
            (true, _) => f.write_str("/**"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

/// Why a text is no pattern; the words say what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternProblem {
    /// The literal part is not the canonical form of a path.
    #[error(
        "a path such as /payments/*/items or /payments/**, in plain form: a leading slash, no query, no '//', no trailing \
         slash, no '.', '..' or ';', and nothing percent-encoded that need not be"
    )]
    Path,
    /// `*` inside a segment, or `**` before the end.
    #[error("a path in which * and {{name}} stand for one whole segment and ** stands at the end only")]
    Wildcard,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, PatternProblem> {
        let rest = text.strip_prefix('/').ok_or(PatternProblem::Path)?;
        let mut pattern = Self { segments: Vec::new(), open: false };
        if rest.is_empty() {
            return Ok(pattern);
        }
        for part in rest.split('/') {
            if pattern.open {
                return Err(PatternProblem::Wildcard);
            }
            match part {
                "**" => pattern.open = true,
                "*" => pattern.segments.push(Segment::Any),
                _ if part.len() > 2 && part.starts_with('{') && part.ends_with('}') => {
                    pattern.segments.push(Segment::Any)
                }
                _ if part.contains('*') => return Err(PatternProblem::Wildcard),
                _ => pattern.segments.push(Segment::Literal(literal(part)?)),
            }
        }
        Ok(pattern)
    }

    /// Whether the pattern is about the path.
    pub fn matches(&self, path: &RequestPath) -> bool {
        self.matches_by(path, |wanted, found| wanted == found)
    }

    /// Whether it is when letter case is ignored.
    pub fn matches_in_any_case(&self, path: &RequestPath) -> bool {
        self.matches_by(path, |wanted, found| wanted.eq_ignore_ascii_case(found) || folded(wanted) == folded(found))
    }

    fn matches_by(&self, path: &RequestPath, is_same: impl Fn(&str, &str) -> bool) -> bool {
        let mut found = path.segments();
        let all = self.segments.iter().all(|wanted| match (wanted, found.next()) {
            (_, None) => false,
            (Segment::Any, Some(_)) => true,
            (Segment::Literal(wanted), Some(found)) => is_same(wanted, found),
        });
        all && (self.open || found.next().is_none())
    }
}

/// A segment as servers compare it that ignore letter case by Unicode: four letters beyond ASCII are `i`, `k` and `s` to them.
fn folded(segment: &str) -> String {
    let fold = |letter| match letter {
        '\u{130}' | '\u{131}' => 'i',
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    percent_decode_str(segment).decode_utf8_lossy().chars().map(fold).collect()
}

fn literal(part: &str) -> Result<String, PatternProblem> {
    let path = format!("/{part}");
    match RequestPath::parse(path.as_bytes()) {
        Ok(parsed) if parsed.text == path => Ok(part.to_owned()),
        _ => Err(PatternProblem::Path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_segments() {
        let cases = [
            ("/payments", "/payments", true),
            ("/payments", "/payments/", true),
            ("/payments", "/payments/1", false),
            ("/payments", "/paymentsx", false),
            ("/payments/*", "/payments/1", true),
            ("/payments/*", "/payments", false),
            ("/payments/{id}/items", "/payments/1/items", true),
            ("/payments/**", "/payments", true),
            ("/payments/**", "/payments/1/2/3", true),
            ("/payments/**", "/paymentsx/1", false),
            ("/**", "/", true),
            ("/**", "/x", true),
            ("/", "/", true),
            ("/", "/x", false),
            ("/Payments", "/payments", false),
        ];
        for (pattern, target, matches) in cases {
            let path = RequestPath::parse(target.as_bytes()).unwrap();
            assert_eq!(PathPattern::parse(pattern).unwrap().matches(&path), matches, "{pattern} {target}");
        }
    }

    #[test]
    fn other_letter_case_matches_where_case_is_ignored() {
        let cases = [
            ("/admin/**", "/ADMIN/users", true),
            ("/admin/**", "/%41dmin", true),
            ("/admin/**", "/adm%C4%B1n", true),
            ("/kelvin", "/%E2%84%AAelvin", true),
            ("/secret", "/%C5%BFecret", true),
            ("/stra%C3%9Fe", "/STRA%C3%9FE", true),
            ("/{id}/admin", "/Any/Admin", true),
            ("/admin", "/admin/users", false),
            ("/admin", "/admins", false),
        ];
        for (pattern, target, matches) in cases {
            let path = RequestPath::parse(target.as_bytes()).unwrap();
            assert_eq!(PathPattern::parse(pattern).unwrap().matches_in_any_case(&path), matches, "{pattern} {target}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in ["/", "/**", "/payments", "/payments/*/items", "/payments/**"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(PathPattern::parse("/payments/{id}").unwrap().to_string(), "/payments/*");
    }

    #[test]
    fn patterns_that_could_never_match_or_mean_something_else_are_refused() {
        for text in
            ["", "payments", "/a//b", "/a/", "/a/../b", "/a;b", "/a?b", "/%61", "/a%2fb", "/**/a", "/a*", "/a/***"]
        {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }
}
