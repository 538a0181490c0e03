//! The header lines of a request.

use std::borrow::Cow;

/// Name and value of each header line of a request.
pub type Lines<'a> = Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a>;

/// Most header lines of a request that Kong can list, `Host` among them: a hundred, four of which it adds itself (`:method` and
/// others). Its buffer for more has the wrong size, and a client chooses how many it sends.
pub const KONG_LISTS: usize = 100 - 4;

/// Which header lines of a request a host can change on their way to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editing {
    /// Every line, which can also be removed. Envoy.
    EveryLine,
    /// The first line of each name, which can be overwritten and not removed. Kong: nginx sends what its Wasm module has marked as
    /// removed all the same, and a second line of a name cannot be reached.
    FirstLine,
}

/// The header lines of a request.
pub trait RequestHeaders {
    /// The value under a lower-case name; of a repeated header all values [`joined`].
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// All lines in the order in which they came, without pseudo-headers; `None` where the host cannot list them (Kong, where
    /// there are very many).
    fn lines(&self) -> Option<Lines<'_>>;

    /// Which lines can be changed.
    fn editing(&self) -> Editing;

    /// The value of the first line under a lower-case name.
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.lines()?.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// The values of a header's lines in one, as Envoy joins them: by commas, but cookies as HTTP/2 has it (RFC 9113 §8.2.3), for
/// upstreams take a comma for part of a cookie's value.
pub fn joined<'a>(name: &str, mut values: impl Iterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let between: &[u8] = if name == "cookie" { b"; " } else { b"," };
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |joined, value| Cow::Owned([&joined, between, value].concat())))
}
