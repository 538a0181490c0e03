//! Where the filter that is tested is.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// The filter that `make wasm` builds, or the file that `BACKSTAGE_KONG_WASM` names.
///
/// # Errors
/// When there is none.
pub fn built_filter() -> anyhow::Result<PathBuf> {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../kong/filters/backstage_kong.wasm");
    let wasm = std::env::var_os("BACKSTAGE_KONG_WASM").map_or_else(built, PathBuf::from);
    wasm.canonicalize().with_context(|| format!("{} is not there; `make wasm` builds it", wasm.display()))
}
