//! Compiled modules, one compilation a path a process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Context as _;
use wasmtime::{Config, Engine, Module};

/// A filter's WebAssembly, compiled once and shared by all workers.
pub struct FilterModule {
    name: String,
    module: Module,
}

impl std::fmt::Debug for FilterModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterModule").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Compiled code is immutable, so sharing the engine and the compilations does not let tests affect one another.
fn engine() -> anyhow::Result<&'static Engine> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config).map_err(anyhow::Error::from).context("create a WebAssembly engine")?;
    Ok(ENGINE.get_or_init(|| engine))
}

type Compiled = Mutex<HashMap<PathBuf, Arc<FilterModule>>>;

impl FilterModule {
    /// Compiles the module at `path` (binary or text), or returns the compilation this process has already made.
    /// Its name is the file's without the extension, as Kong names filters.
    ///
    /// # Errors
    /// When the file cannot be read or is not a valid module.
    pub fn load(path: impl AsRef<Path>) -> anyhow::Result<Arc<Self>> {
        static COMPILED: OnceLock<Compiled> = OnceLock::new();
        let path = path.as_ref();
        let key = path.canonicalize().with_context(|| format!("find {}", path.display()))?;
        let compiled = COMPILED.get_or_init(Compiled::default);
        // Held while compiling: two tests that want the same module should wait for one compilation, not do two.
        let mut compiled = compiled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(module) = compiled.get(&key) {
            return Ok(Arc::clone(module));
        }
        let bytes = std::fs::read(&key).with_context(|| format!("read {}", key.display()))?;
        let name = key.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let module = Self::from_bytes(name, &bytes)?;
        compiled.insert(key, Arc::clone(&module));
        Ok(module)
    }

    /// Compiles a module from its binary or text form.
    ///
    /// # Errors
    /// When the bytes are not a valid module.
    pub fn from_bytes(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> anyhow::Result<Arc<Self>> {
        let name = name.into();
        let module = Module::new(engine()?, bytes.as_ref())
            .map_err(anyhow::Error::from)
            .with_context(|| format!("compile the module {name:?}"))?;
        Ok(Arc::new(Self { name, module }))
    }

    /// The module's name: the stem of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the module imports: (module, name) pairs.
    #[must_use]
    pub fn imports(&self) -> Vec<(String, String)> {
        self.module.imports().map(|import| (import.module().to_owned(), import.name().to_owned())).collect()
    }

    /// Whether the module exports something of this name.
    #[must_use]
    pub fn exports(&self, name: &str) -> bool {
        self.module.get_export(name).is_some()
    }

    pub(crate) fn compiled(&self) -> &Module {
        &self.module
    }
}
