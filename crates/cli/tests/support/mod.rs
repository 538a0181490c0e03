//! Runs the built command.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests are tests too, and no test uses all of them"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a run said, and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs `backstage-kong` in a folder.
pub fn run_in(folder: &Path, args: &[&str]) -> Run {
    run_with(folder, args, &[])
}

/// Runs `backstage-kong` in a folder with environment variables.
pub fn run_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstage-kong"));
    command.current_dir(folder).args(args).env_remove("BACKSTAGE_TOKEN").envs(variables.iter().copied());
    let output = command.output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of files, deleted when it goes.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// A folder of its own.
    pub fn new(name: &str, files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(format!("backstage-kong-{name}-{process}-{next}")));
        std::fs::create_dir_all(&folder.0).unwrap();
        files.iter().for_each(|(file, text)| folder.write(file, text));
        folder
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Runs `backstage-kong` in it.
    pub fn run(&self, args: &[&str]) -> Run {
        run_in(&self.0, args)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
