//! Key pairs.

use crate::out;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use dev_keys::{Algorithm, SigningKey};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The key set in a folder.
const JWKS: &str = "jwks.json";

/// What keys to make.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  backstage-kong token keys --out dev-keys\n  \
                        backstage-kong token keys --alg RS256 --out dev-keys    # joins the key set that is there")]
pub struct KeysArgs {
    /// How the key signs.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Alg::Es256)]
    alg: Alg,
    /// The folder for `<kid>.pem`, which only you can read, and `jwks.json`; the public key joins those that are there.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Alg {
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "EdDSA")]
    EdDsa,
}

impl From<Alg> for Algorithm {
    fn from(alg: Alg) -> Self {
        match alg {
            Alg::Rs256 => Self::Rs256,
            Alg::Es256 => Self::Es256,
            Alg::EdDsa => Self::EdDsa,
        }
    }
}

/// Makes a key pair and prints where the private key is.
pub(super) fn run(args: &KeysArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let set = args.out.join(JWKS);
    let mut keys = published(&set)?;
    let key = SigningKey::generate(args.alg.into())?;
    let kid = key.kid();
    let private = args.out.join(format!("{kid}.pem"));
    let cannot_write = |path: &Path| format!("cannot write {}", path.display());
    let written = private_file(&private).and_then(|mut file| Ok(file.write_all(key.to_pem()?.as_bytes())?));
    written.with_context(|| cannot_write(&private))?;
    keys.push(key.public_jwk(&kid));
    let text = serde_json::to_string_pretty(&json!({"keys": keys}))?;
    fs::write(&set, text + "\n").with_context(|| cannot_write(&set))?;
    super::warn("this key");
    out::note(format_args!("public keys: {}", set.display()));
    out::print(private.display())?;
    Ok(())
}

/// A file that nobody else can read, from its first moment.
fn private_file(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?)
}

/// The keys that are in a folder's key set already.
fn published(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let set: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    match set.get("keys").and_then(Value::as_array) {
        Some(keys) => Ok(keys.clone()),
        None => bail!("{} is no key set: it has no array `keys`", path.display()),
    }
}
