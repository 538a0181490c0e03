//! Redis behind Webdis, with the users and the list of commands that operators are given in `kong/redis`.

use super::process::{Process, free_port, loopback};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../kong/redis");

pub(crate) struct RedisAndWebdis {
    folder: PathBuf,
    redis: Option<Process>,
    redis_port: u16,
    webdis: Option<Process>,
    /// Where Webdis is.
    pub(crate) webdis_at: SocketAddr,
}

impl RedisAndWebdis {
    pub(crate) fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let webdis_at = loopback(free_port());
        let mut new = Self { folder, redis: None, redis_port: free_port(), webdis: None, webdis_at };
        new.start_redis();
        new.start_webdis();
        new
    }

    /// Each write is on disk before it is answered: a kill loses nothing.
    pub(crate) fn start_redis(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.redis_port.to_string(), "--bind", "127.0.0.1", "--logfile", "redis.log"]);
        command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--aclfile"]);
        command.arg(Path::new(FILES).join("users.acl").canonicalize().unwrap()).current_dir(&self.folder);
        self.redis = Some(Process::start(&mut command));
        listening(loopback(self.redis_port));
        while self.cli(&["ping"]) != "PONG" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn kill_redis(&mut self) {
        self.redis = None;
    }

    pub(crate) fn start_webdis(&mut self) {
        let given = std::fs::read(Path::new(FILES).join("webdis.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&given).unwrap();
        let here = json!({
            "redis_host": "127.0.0.1", "redis_port": self.redis_port,
            "http_host": "127.0.0.1", "http_port": self.webdis_at.port(), "logfile": "webdis.log",
        });
        config.as_object_mut().unwrap().extend(here.as_object().unwrap().clone());
        std::fs::write(self.folder.join("webdis.json"), config.to_string()).unwrap();
        // It warns of every connection that Redis has closed.
        let quiet = Stdio::null();
        let mut command = Command::new("webdis");
        self.webdis = Some(Process::start(command.arg("webdis.json").current_dir(&self.folder).stderr(quiet)));
        listening(self.webdis_at);
    }

    pub(crate) fn kill_webdis(&mut self) {
        self.webdis = None;
    }

    /// Makes of a record, whose one window is of 30 days, what a clock that was ahead by so many windows has left behind.
    pub(crate) fn left_by_a_clock_ahead(&self, key: &str, windows: i64) {
        let counts = self.cli(&["hgetall", key]);
        let (length, counts) = counts.split_once('\n').unwrap();
        let (span, rest) = counts.split_once(' ').unwrap();
        let span = span.parse::<i64>().unwrap() + windows;
        self.cli_as("default", "gateway-development-only", &["hset", key, length, &format!("{span} {rest}")]);
    }

    /// What `redis-cli` prints for the operator that the documentation speaks of.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.cli_as("operator", "operator-development-only", arguments)
    }

    /// The same for the gateway's own user, which may load scripts.
    pub(crate) fn cli_as(&self, user: &str, password: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.redis_port.to_string(), "--user", user, "--pass", password, "--no-auth-warning"]);
        let output = command.args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// How often the script ran.
    pub(crate) fn script_calls(&self) -> u64 {
        let stats = self.cli(&["info", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
    }

    /// Units counted for a record, over the present and the last span of its one window.
    pub(crate) fn count(&self, key: &str) -> u64 {
        let counts = self.cli(&["hgetall", key]);
        let Some(counts) = counts.lines().nth(1) else { return 0 };
        counts.split(' ').skip(1).map(|part| part.parse::<u64>().unwrap()).sum()
    }
}

fn listening(at: SocketAddr) {
    let begin = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(10), "nobody listens at {at}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
