//! One instance of the module, and calls into it.

use wasmtime::{Linker, Store, WasmParams, WasmResults};

use super::state::{Active, HostState, Phase};
use super::{FilterModule, StartError, abi};

/// A callback that did not come back.
#[derive(Clone, Debug)]
pub(crate) struct Trap(pub(crate) String);

pub(crate) struct Vm {
    store: Store<HostState>,
    instance: wasmtime::Instance,
    /// After a trap the instance's memory cannot be trusted: no host calls it again.
    pub(crate) trapped: bool,
    pub(crate) fuel_used: u64,
    /// What the filter had asked its allocator for when it was last looked at.
    allocated: u64,
}

const ABI_VERSIONS: [&str; 3] = ["proxy_abi_version_0_1_0", "proxy_abi_version_0_2_0", "proxy_abi_version_0_2_1"];
const REQUIRED: [&str; 3] = ["proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"];

fn check_exports(module: &FilterModule) -> Result<&'static str, StartError> {
    if !ABI_VERSIONS.iter().any(|name| module.exports(name)) {
        return Err(StartError::MissingExport("proxy_abi_version_0_2_1"));
    }
    if let Some(missing) = REQUIRED.iter().find(|name| !module.exports(name)) {
        return Err(StartError::MissingExport(missing));
    }
    ["malloc", "proxy_on_memory_allocate"]
        .into_iter()
        .find(|name| module.exports(name))
        .ok_or(StartError::MissingExport("malloc"))
}

impl Vm {
    pub(crate) fn instantiate(module: &FilterModule, state: HostState) -> Result<Self, StartError> {
        let allocator = check_exports(module)?;
        let link_error = |error: wasmtime::Error| StartError::Link(format!("{error:#}"));
        let mut linker = Linker::new(module.compiled().engine());
        abi::link(&mut linker, state.node.profile()).map_err(link_error)?;
        let prepared = linker.instantiate_pre(module.compiled()).map_err(link_error)?;
        let fuel = state.node.settings().fuel_per_call;
        let mut store = Store::new(module.compiled().engine(), state);
        let trapped = |error: wasmtime::Error| StartError::Trapped(describe(&error));
        store.set_fuel(fuel).map_err(trapped)?;
        let instance = prepared.instantiate(&mut store).map_err(trapped)?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = instance.get_typed_func(&mut store, allocator).map_err(link_error)?;
        store.data_mut().memory = memory;
        store.data_mut().allocate = Some(allocate);
        let mut vm = Self { store, instance, trapped: false, fuel_used: 0, allocated: 0 };
        let start = if module.exports("_initialize") { "_initialize" } else { "_start" };
        vm.call(Phase::Start, Active::None, start, (), ()).map_err(|Trap(message)| StartError::Trapped(message))?;
        Ok(vm)
    }

    /// Size of the linear memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Bytes that the filter has asked its allocator for since the last call; 0 where it does not tell.
    pub(crate) fn take_allocated(&mut self) -> u64 {
        if self.trapped {
            return 0;
        }
        let Ok(tell) = self.instance.get_typed_func::<(), u64>(&mut self.store, "allocated_bytes") else { return 0 };
        let now = tell.call(&mut self.store, ()).unwrap_or(self.allocated);
        now - std::mem::replace(&mut self.allocated, now)
    }

    pub(crate) fn state(&self) -> &HostState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    /// The state without the instance, for the next one.
    pub(crate) fn into_state(self) -> HostState {
        let mut state = self.store.into_data();
        state.memory = None;
        state.allocate = None;
        state
    }

    /// Calls an export; returns `absent` when the module has none of that name.
    pub(crate) fn call<P, R>(
        &mut self,
        phase: Phase,
        active: Active,
        name: &str,
        parameters: P,
        absent: R,
    ) -> Result<R, Trap>
    where
        P: WasmParams,
        R: WasmResults,
    {
        if self.trapped {
            return Err(Trap("the instance trapped before".to_owned()));
        }
        if self.instance.get_func(&mut self.store, name).is_none() {
            return Ok(absent);
        }
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name);
        let function = function.map_err(|error| Trap(format!("{name}: {error:#}")))?;
        self.state_mut().phase = phase;
        self.state_mut().active = active;
        let budget = self.state().node.settings().fuel_per_call;
        self.store.set_fuel(budget).map_err(|error| Trap(describe(&error)))?;
        let result = function.call(&mut self.store, parameters);
        self.fuel_used += budget.saturating_sub(self.store.get_fuel().unwrap_or(0));
        self.state_mut().active = Active::None;
        result.map_err(|error| {
            self.trapped = true;
            Trap(format!("{name}: {}", describe(&error)))
        })
    }
}

/// What a trap says, without the backtrace.
fn describe(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}
