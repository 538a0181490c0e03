//! Header maps.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::headers::{has_nginx_slot, marshal, marshal_for_kong, unmarshal};
use crate::host::state::{Exchange, HostState, Phase, Stage};
use crate::host::{HeaderPairs, LogLevel};

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;
const CALL_RESPONSE: u32 = 6;

type C<'a> = Caller<'a, HostState>;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_get_header_map_pairs", |c: C<'_>, map: u32, data_at: u32, len_at: u32| {
        Host::enter(c, "proxy_get_header_map_pairs").get_pairs(map, data_at, len_at)
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |c: C<'_>, map: u32, key_at: u32, key_len: u32, data_at: u32, len_at: u32| {
            Host::enter(c, "proxy_get_header_map_value").get_value(map, (key_at, key_len), data_at, len_at)
        },
    )?;
    linker.func_wrap("env", "proxy_set_header_map_pairs", |c: C<'_>, map: u32, at: u32, len: u32| {
        Host::enter(c, "proxy_set_header_map_pairs").set_pairs(map, at, len)
    })?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |c: C<'_>, map: u32, key_at: u32, key_len: u32, at: u32, len: u32| {
            Host::enter(c, "proxy_add_header_map_value").edit(map, (key_at, key_len), Some((at, len)), true)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |c: C<'_>, map: u32, key_at: u32, key_len: u32, at: u32, len: u32| {
            Host::enter(c, "proxy_replace_header_map_value").edit(map, (key_at, key_len), Some((at, len)), false)
        },
    )?;
    linker.func_wrap("env", "proxy_remove_header_map_value", |c: C<'_>, map: u32, key_at: u32, key_len: u32| {
        Host::enter(c, "proxy_remove_header_map_value").edit(map, (key_at, key_len), None, false)
    })?;
    Ok(())
}

fn pair(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

fn has_response(exchange: &Exchange) -> bool {
    exchange.stage == Stage::Response
}

impl Host<'_> {
    /// A map's pseudo-headers, in the order the host lists them.
    fn pseudo(&self, map: u32) -> HeaderPairs {
        let state = self.state();
        match (map, state.exchange()) {
            (REQUEST, Some(exchange)) => {
                let authority = if state.is_kong() { &state.node.settings().server_name } else { &exchange.authority };
                vec![
                    pair(":path", &exchange.path),
                    pair(":method", &exchange.method),
                    pair(":scheme", &exchange.scheme),
                    pair(":authority", authority),
                ]
            }
            (RESPONSE, Some(exchange)) if has_response(exchange) => {
                vec![pair(":status", &exchange.status.to_string())]
            }
            (CALL_RESPONSE, _) => match state.answer.as_ref().map(|answer| &answer.result) {
                Some(Ok(reply)) if state.is_kong() => {
                    vec![pair(":status", &reply.status.to_string()), pair(":dispatch_status", "ok")]
                }
                Some(Ok(reply)) => vec![pair(":status", &reply.status.to_string())],
                Some(Err(failure)) if state.is_kong() => vec![pair(":dispatch_status", failure.dispatch_status())],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// A map's listed headers; `None` when the map does not exist now.
    fn listed(&self, map: u32) -> Option<HeaderPairs> {
        let state = self.state();
        match map {
            REQUEST => state.exchange().map(|exchange| exchange.request.to_pairs()),
            RESPONSE => state.exchange().map(|exchange| exchange.response.to_pairs()),
            CALL_RESPONSE => {
                let answer = state.answer.as_ref()?;
                Some(answer.result.as_ref().map(|reply| reply.headers.clone()).unwrap_or_default())
            }
            _ => None,
        }
    }

    fn get_pairs(&mut self, map: u32, data_at: u32, len_at: u32) -> Returned {
        let Some(mut listed) = self.listed(map) else { return Status::BadArgument.returned() };
        let mut pseudo = self.pseudo(map);
        let bytes = if self.state().is_kong() {
            let (bytes, truncated) = marshal_for_kong(&pseudo, &listed);
            if truncated {
                self.state_mut().log(LogLevel::Warn, "marshalled map truncated to 100 elements");
            }
            bytes
        } else {
            pseudo.append(&mut listed);
            marshal(&pseudo)
        };
        self.give(data_at, len_at, &bytes)?;
        Status::Ok.returned()
    }

    fn get_value(&mut self, map: u32, key: (u32, u32), data_at: u32, len_at: u32) -> Returned {
        let key = self.read_text(key.0, key.1)?;
        match self.look_up(map, &key) {
            Some(value) => {
                self.give(data_at, len_at, &value)?;
                Status::Ok.returned()
            }
            None => Status::NotFound.returned(),
        }
    }

    fn look_up(&self, map: u32, key: &str) -> Option<Vec<u8>> {
        let state = self.state();
        if let Some((_, value)) = self.pseudo(map).into_iter().find(|(name, _)| name == key) {
            return Some(value);
        }
        let headers = match map {
            REQUEST => &state.exchange()?.request,
            RESPONSE => &state.exchange()?.response,
            CALL_RESPONSE => {
                let headers = self.listed(map)?;
                let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
                return Some(value.clone());
            }
            _ => return None,
        };
        match map {
            _ if state.is_kong() => headers.first_even_removed(key),
            // To Envoy the Host header is another name of `:authority`.
            REQUEST if key.eq_ignore_ascii_case("host") => {
                state.exchange().map(|exchange| exchange.authority.clone().into_bytes())
            }
            _ => headers.joined(key),
        }
    }

    /// Whether the map may be changed now; Kong traps when not.
    fn check_editable(&self, map: u32) -> wasmtime::Result<bool> {
        let state = self.state();
        let Some(exchange) = state.exchange() else { return Ok(false) };
        if !matches!(map, REQUEST | RESPONSE) {
            return Ok(false);
        }
        if !state.is_kong() {
            return Ok(true);
        }
        let before_response = matches!(state.phase, Phase::RequestHeaders | Phase::RequestBody)
            || (state.phase == Phase::CallResponse && exchange.stage != Stage::Response);
        match map {
            _ if before_response => Ok(true),
            RESPONSE if state.phase == Phase::ResponseHeaders => Ok(true),
            REQUEST => Err(trap("can only set request headers before response is produced")),
            _ => Err(trap("can only set response headers before \"on_response_body\"")),
        }
    }

    fn set_pairs(&mut self, map: u32, at: u32, len: u32) -> Returned {
        let bytes = self.read(at, len)?;
        let Some(pairs) = unmarshal(&bytes) else { return Status::InternalFailure.returned() };
        if !self.check_editable(map)? {
            return Status::BadArgument.returned();
        }
        let kong = self.state().is_kong();
        if kong {
            // As if each were removed, with what that does and does not do.
            for (name, _) in self.listed(map).unwrap_or_default() {
                self.apply(map, &name, None, false);
            }
        } else if let Some(exchange) = self.state_mut().exchange_mut() {
            if map == REQUEST { exchange.request.clear() } else { exchange.response.clear() }
        }
        for (name, value) in pairs {
            // Kong sets them one by one, so repeated names collapse.
            self.apply(map, &name, Some(&value), !kong);
        }
        Status::Ok.returned()
    }

    fn edit(&mut self, map: u32, key: (u32, u32), value: Option<(u32, u32)>, add: bool) -> Returned {
        let key = self.read_text(key.0, key.1)?;
        let value = value.map(|(at, len)| self.read(at, len)).transpose()?;
        if !self.check_editable(map)? {
            return Status::BadArgument.returned();
        }
        if value.is_none() && self.dies_of_removing(map, &key) {
            return Err(self.die(format!("the removal of {key}, of which there is none")));
        }
        self.apply(map, &key, value.as_deref(), add);
        Status::Ok.returned()
    }

    /// Kong's module keeps the lines of these names in a list, and puts into it what it has removed: where it found nothing, that
    /// is a pointer nobody has set.
    fn dies_of_removing(&self, map: u32, key: &str) -> bool {
        let state = self.state();
        let Some(exchange) = state.exchange().filter(|_| state.is_kong()) else { return false };
        let (names, headers) = match map {
            REQUEST => (["cookie", "x-forwarded-for"], &exchange.request),
            _ => (["cache-control", "link"], &exchange.response),
        };
        names.iter().any(|name| name.eq_ignore_ascii_case(key)) && headers.count(key) == 0
    }

    fn apply(&mut self, map: u32, key: &str, value: Option<&[u8]>, add: bool) {
        let kong = self.state().is_kong();
        let text = || String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let Some(exchange) = self.state_mut().exchange_mut() else { return };
        match (map, key) {
            (REQUEST, ":path") => exchange.path = text(),
            (REQUEST, ":method") => exchange.method = text(),
            (REQUEST, ":scheme" | ":authority") if kong => {
                self.state_mut().log(LogLevel::Error, format!("cannot set read-only \"{key}\" header"));
            }
            (REQUEST, ":scheme") => exchange.scheme = text(),
            (REQUEST, ":authority") => exchange.authority = text(),
            (REQUEST, "host" | "Host") if !kong => exchange.authority = text(),
            (REQUEST, _) if kong && has_nginx_slot(key) => match value {
                None => exchange.request.remove_slot(key),
                Some(_) if add && exchange.request.first_even_removed(key).is_some() => {
                    self.state_mut().log(LogLevel::Error, format!("cannot add new \"{key}\" builtin request header"));
                }
                Some(value) => exchange.request.set_slot(key, value),
            },
            (RESPONSE, ":status") => match text().parse() {
                Ok(status @ 100..=599) => exchange.status = status,
                _ => self.state_mut().log(LogLevel::Warn, "ignoring attempt to set invalid response status"),
            },
            _ => {
                let headers = if map == REQUEST { &mut exchange.request } else { &mut exchange.response };
                match value {
                    None => headers.remove(key),
                    Some(value) if add => headers.add(key, value),
                    Some(value) if kong => headers.set_like_kong(key, value),
                    Some(value) => headers.set(key, value),
                }
            }
        }
    }
}
