//! A request that was never sent.

use anyhow::{Context, bail};
use backstage_kong::host::{Editing, KONG_LISTS, Lines, RequestHeaders, joined};
use std::borrow::Cow;

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target: path, query and all, as a client would send it.
    pub target: String,
    /// The host.
    pub host: String,
    /// Headers; names may repeat.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// Reads `METHOD /path`, or a path alone, which is a GET.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> anyhow::Result<(String, String)> {
        let (method, target) = line.trim().split_once(' ').unwrap_or(("GET", line.trim()));
        let target = target.trim();
        if !target.starts_with('/') || target.contains(' ') || method.is_empty() {
            bail!("found {line:?}; a request is a method and a path, such as \"GET /payments/42\"");
        }
        Ok((method.to_owned(), target.to_owned()))
    }

    /// Reads `name: value`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_header(text: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let (name, value) =
            text.split_once(':').with_context(|| format!("found {text:?}; a header is `name: value`"))?;
        Ok((name.trim().to_ascii_lowercase(), value.trim().as_bytes().to_vec()))
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }
}

impl RequestHeaders for Request {
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match name {
            ":method" => return Some(self.method.as_bytes().into()),
            ":path" => return Some(self.target.as_bytes().into()),
            ":authority" => return Some(self.host.as_bytes().into()),
            _ => {}
        }
        let found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        joined(name, found.map(|(_, value)| value.as_slice()))
    }

    fn lines(&self) -> Option<Lines<'_>> {
        let is_host = |(name, _): &(String, _)| name.eq_ignore_ascii_case("host");
        let count = self.headers.iter().filter(|header| !is_host(header)).count() + 1;
        let is_listed = count <= KONG_LISTS;
        is_listed.then(|| {
            Box::new(self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))) as Lines<'_>
        })
    }

    /// As on Kong: what is explained holds there, and a request that only Kong refuses is refused here too.
    fn editing(&self) -> Editing {
        Editing::FirstLine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_path() {
        let parsed = |line| Request::parse(line).ok();
        let of = |method: &str, target: &str| Some((method.to_owned(), target.to_owned()));
        assert_eq!(parsed("GET /payments/42?x=1"), of("GET", "/payments/42?x=1"));
        assert_eq!(parsed(" DELETE  /a "), of("DELETE", "/a"));
        assert_eq!(parsed("/a"), of("GET", "/a"));
        for line in ["", "GET", "GET payments", "GET /a HTTP/1.1", "https://host/a"] {
            let error = Request::parse(line).unwrap_err().to_string();
            assert!(error.contains("such as \"GET /payments/42\""), "{error}");
        }
        assert_eq!(Request::parse_header("X-A:  b:c ").unwrap(), ("x-a".to_owned(), b"b:c".to_vec()));
        assert!(Request::parse_header("x-a").is_err());
    }
}
