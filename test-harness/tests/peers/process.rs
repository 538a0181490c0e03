//! A server that a test has started.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

/// It ends with this value.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        Self(command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("start {program:?}: {error}")))
    }

    /// One that prints the port it listens on as its first line, or several of them.
    pub(crate) fn start_telling_ports<const N: usize>(command: &mut Command) -> (Self, [SocketAddr; N]) {
        let mut process = Self::start(command.stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ports: Vec<_> = line.split_whitespace().filter_map(|port| port.parse().ok()).map(loopback).collect();
        (process, ports.try_into().unwrap_or_else(|_| panic!("no {N} ports but {line:?}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap().port()
}
