//! The header lines of the request at hand.

use super::host::property;
use super::pairs::Pairs;
use crate::host::{Editing, KONG_LISTS, Lines, RequestHeaders, joined};
use crate::tags::Edit;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;
use std::borrow::Cow;

/// The header lines of the request at hand, read in one call when it arrives.
pub(super) struct Headers {
    /// Whether the host is Kong, whose `:path` nginx has decoded and normalised already: `/a%2F..%2Fb` would read as `/b`.
    is_kong: bool,
    all: Option<Pairs>,
}

impl Headers {
    /// Lists the lines, of which the host has counted so many. (Kong's count does not have what it adds.)
    pub(super) fn list(is_kong: bool, count: usize) -> Self {
        let is_safe = !is_kong || count <= KONG_LISTS;
        Self { is_kong, all: if is_safe { Pairs::of_request() } else { None } }
    }

    /// Lists no lines: for an answer to a request, which needs one or two of them by name.
    pub(super) fn unlisted(is_kong: bool) -> Self {
        Self { is_kong, all: None }
    }

    /// Carries changes out, each by name. Envoy would take all headers back in one call too, but to build its map anew costs it
    /// more than a call for each that changes.
    pub(super) fn edit(&self, edits: &[Edit]) {
        for Edit { name, value } in edits {
            let lines = self.all.as_ref().map_or(0, |all| all.values(name).count());
            match value {
                Some(value) => {
                    // Where every line can be changed, setting one of several may leave the others.
                    if self.editing() == Editing::EveryLine && lines > 1 {
                        remove(name);
                    }
                    set(name, value);
                }
                None if lines == 0 => {}
                None if self.editing() == Editing::EveryLine => remove(name),
                None => set(name, ""),
            }
        }
    }
}

fn set(name: &str, value: &str) {
    let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
}

fn remove(name: &str) {
    let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
}

impl RequestHeaders for Headers {
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if self.is_kong && name == ":path" {
            return property(&["request", "path"]).map(Cow::Owned);
        }
        match &self.all {
            None => hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten().map(Cow::Owned),
            Some(all) => joined(name, all.values(name)),
        }
    }

    fn lines(&self) -> Option<Lines<'_>> {
        self.all.as_ref().map(|all| Box::new(all.lines()) as Lines<'_>)
    }

    fn editing(&self) -> Editing {
        if self.is_kong { Editing::FirstLine } else { Editing::EveryLine }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.all.as_ref()?.values(name).next()
    }
}
