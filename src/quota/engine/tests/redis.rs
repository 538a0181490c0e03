//! The script, run by Lua 5.1 as Redis runs it, over a keyspace in memory.

use crate::host::UnixMillis;
use crate::http::Reply;
use mlua::{Function, Lua, Table};
use percent_encoding::percent_decode_str;
use serde_json::json;
use std::cell::Cell;

/// What of Redis the script calls.
const COMMANDS: &str = r"
keyspace, expiry, now = {}, {}, 0
redis = {}
function redis.call(command, key, field, value)
  if command == 'TIME' then return {tostring(math.floor(now / 1000)), tostring((now % 1000) * 1000)} end
  if command == 'HGET' then return keyspace[key] and keyspace[key][field] or false end
  if command == 'HSET' then keyspace[key] = keyspace[key] or {} keyspace[key][field] = value return 1 end
  if command == 'PTTL' then return keyspace[key] and expiry[key] or -1 end
  if command == 'PEXPIRE' then expiry[key] = tonumber(field) return 1 end
  error(command)
end
";

/// A Redis behind a Webdis.
pub(super) struct Redis {
    lua: Lua,
    is_loaded: Cell<bool>,
    may_load: Cell<bool>,
    calls: Cell<usize>,
}

impl Redis {
    pub(super) fn new() -> Self {
        let lua = Lua::new();
        lua.load(COMMANDS).exec().unwrap();
        Self { lua, is_loaded: Cell::new(false), may_load: Cell::new(true), calls: Cell::new(0) }
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> usize {
        self.calls.get()
    }

    /// Forgets the script and takes it no more.
    pub(super) fn refuse_to_load(&self) {
        self.is_loaded.set(false);
        self.may_load.set(false);
    }

    /// Sets a window.
    pub(super) fn put(&self, key: &str, seconds: u64, span: u64, previous: u32, current: u32) {
        let keyspace: Table = self.lua.globals().get("keyspace").unwrap();
        let record = self.lua.create_table().unwrap();
        record.set(seconds.to_string(), format!("{span} {previous} {current}")).unwrap();
        keyspace.set(key, record).unwrap();
    }

    /// The present span's count of a window; nothing where nothing was charged.
    pub(super) fn count(&self, key: &str, seconds: u64) -> u32 {
        let keyspace: Table = self.lua.globals().get("keyspace").unwrap();
        let Some(record) = keyspace.get::<Option<Table>>(key).unwrap() else { return 0 };
        let text: String = record.get(seconds.to_string()).unwrap();
        text.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Answers a path as Webdis does.
    pub(super) fn answer(&self, path: &str, now: UnixMillis) -> Option<Reply> {
        self.calls.set(self.calls.get() + 1);
        let parts: Vec<_> =
            path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8().unwrap().into_owned()).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let body = match parts.as_slice() {
            ["EVALSHA", _, ..] if !self.is_loaded.get() => {
                json!({"EVALSHA": [false, "NOSCRIPT No matching script. Please use EVAL."]})
            }
            ["EVALSHA", sha1, keys, rest @ ..] => {
                assert_eq!(*sha1, super::protocol::SCRIPT_SHA1);
                json!({"EVALSHA": self.run(rest, keys.parse().unwrap(), now)})
            }
            ["SCRIPT", "LOAD", text] if self.may_load.get() => {
                assert_eq!(*text, include_str!("../script.lua"));
                self.is_loaded.set(true);
                json!({"SCRIPT": super::protocol::SCRIPT_SHA1})
            }
            _ => json!({"ERR": "unknown"}),
        };
        Some(Reply { status: 200, cache_control: None, body: body.to_string().into_bytes() })
    }

    fn run(&self, rest: &[&str], keys: usize, now: UnixMillis) -> Vec<u64> {
        let globals = self.lua.globals();
        globals.set("now", now.0 as f64).unwrap();
        globals.set("KEYS", self.lua.create_sequence_from(rest[..keys].iter().copied()).unwrap()).unwrap();
        globals.set("ARGV", self.lua.create_sequence_from(rest[keys..].iter().copied()).unwrap()).unwrap();
        let script: Function = self.lua.load(include_str!("../script.lua")).into_function().unwrap();
        let answer: Vec<f64> = script.call(()).unwrap();
        answer.into_iter().map(|number| number as u64).collect()
    }
}
