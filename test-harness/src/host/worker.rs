//! A worker: one VM, what it serves, and whether it still lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::{WasmParams, WasmResults};

use super::state::{Active, HostState, Phase};
use super::vm::{Trap, Vm};
use super::{Dispatch, ExchangeId, FilterModule, HostError, LogLevel, LogLine, Node, Report, StartError, Step};

/// One worker process of the gateway: one instance of the module, shared by all routes. Keep each on a thread of its
/// own, as the real ones are.
pub struct Worker {
    pub(crate) module: Arc<FilterModule>,
    pub(crate) node: Node,
    /// `None` only while one instance is being replaced by the next.
    pub(crate) vm: Option<Vm>,
    pub(crate) routes: BTreeMap<String, u32>,
    /// Kong: false when a configuration was refused at start-up; then no chain runs at all.
    pub(crate) chains_active: bool,
    pub(crate) vm_started: bool,
    next_id: u32,
    dead: Option<String>,
    /// What root contexts cost: starts, ticks and their calls.
    background: Report,
    /// Envoy: exchanges that another one's callback set going.
    pub(crate) ready: Vec<(ExchangeId, Step)>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("module", &self.module.name())
            .field("routes", &self.routes)
            .field("dead", &self.dead)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts a worker with one configuration a route.
    ///
    /// A refused configuration is not an error, because it is none on the real hosts: Kong goes on without *any*
    /// filter and logs a critical line, Envoy answers 503 on that route.
    ///
    /// # Errors
    /// When the module does not fit the host: [`StartError`].
    pub fn start(node: &Node, module: &Arc<FilterModule>, configs: &[(String, Vec<u8>)]) -> Result<Self, StartError> {
        let vm = Vm::instantiate(module, HostState::new(node.clone()))?;
        let mut worker = Self {
            module: Arc::clone(module),
            node: node.clone(),
            vm: Some(vm),
            routes: BTreeMap::new(),
            chains_active: true,
            vm_started: false,
            next_id: 0,
            dead: None,
            background: Report::default(),
            ready: Vec::new(),
        };
        worker.configure_at_start(configs);
        Ok(worker)
    }

    /// The node it runs on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What killed the worker, if anything has.
    #[must_use]
    pub fn died_of(&self) -> Option<&str> {
        self.dead.as_deref()
    }

    /// The log so far.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        self.vm.as_ref().map_or(&[], |vm| &vm.state().logs)
    }

    /// The log so far, which then starts afresh.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        self.vm.as_mut().map_or_else(Vec::new, |vm| std::mem::take(&mut vm.state_mut().logs))
    }

    /// Calls the filter has made that no [`Step`] has carried out yet: those of ticks, and those of requests that
    /// went on without waiting.
    pub fn take_dispatches(&mut self) -> Vec<Dispatch> {
        self.vm.as_mut().map_or_else(Vec::new, |vm| std::mem::take(&mut vm.state_mut().outbox))
    }

    /// Envoy: exchanges that were set going by another one's callback, through `set_effective_context`.
    pub fn take_ready(&mut self) -> Vec<(ExchangeId, Step)> {
        std::mem::take(&mut self.ready)
    }

    /// What an open exchange has cost so far.
    #[must_use]
    pub fn report(&self, exchange: ExchangeId) -> Option<&Report> {
        self.vm.as_ref()?.state().exchanges.get(&exchange).map(|exchange| &exchange.report)
    }

    /// What root contexts have cost: starting, ticks and the answers to their calls.
    #[must_use]
    pub fn background_report(&self) -> &Report {
        &self.background
    }

    /// How much memory the VM has taken, in bytes. It grows by pages of 64 KiB and never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.vm.as_ref().map_or(0, super::vm::Vm::memory_bytes)
    }

    pub(crate) fn next_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn is_kong(&self) -> bool {
        self.node.profile().is_kong()
    }

    /// The VM, unless the worker is dead.
    pub(crate) fn vm(&mut self) -> Result<&mut Vm, HostError> {
        match (&self.dead, &mut self.vm) {
            (Some(reason), _) => Err(HostError::WorkerDied { reason: reason.clone() }),
            (None, Some(vm)) => Ok(vm),
            (None, None) => Err(HostError::WorkerDied { reason: "no instance".to_owned() }),
        }
    }

    pub(crate) fn state(&mut self) -> Result<&mut HostState, HostError> {
        Ok(self.vm()?.state_mut())
    }

    pub(crate) fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        if let Some(vm) = &mut self.vm {
            vm.state_mut().log(level, text);
        }
    }

    /// Kills the worker.
    pub(crate) fn die(&mut self, reason: impl Into<String>) -> HostError {
        let reason = reason.into();
        self.log(LogLevel::Critical, format!("worker process exited: {reason}"));
        self.dead = Some(reason.clone());
        HostError::WorkerDied { reason }
    }

    /// Runs one callback, books its cost, and draws the consequences of a trap. A callback that the module does not export is
    /// passed over on Envoy.
    pub(crate) fn run<P, R>(
        &mut self,
        phase: Phase,
        active: Active,
        name: &str,
        parameters: P,
        absent: R,
    ) -> Result<Result<R, Trap>, HostError>
    where
        P: WasmParams,
        R: WasmResults,
    {
        self.vm()?;
        if self.is_kong() && !self.module.exports(name) {
            // Kong looks its callbacks up once and calls what it found, null pointers too.
            return Err(self.die(format!("the module does not export {name}")));
        }
        let vm = self.vm()?;
        let result = vm.call(phase, active, name, parameters, absent);
        self.book(active);
        if let Some(reason) = self.state()?.fatal.take() {
            return Err(self.die(reason));
        }
        if let Err(Trap(message)) = &result {
            self.log(LogLevel::Critical, format!("proxy_wasm filter trapped in {message}"));
            self.after_trap(active)?;
        }
        Ok(result)
    }

    fn book(&mut self, active: Active) {
        let Some(vm) = &mut self.vm else { return };
        let fuel = std::mem::take(&mut vm.fuel_used);
        let allocated = vm.take_allocated();
        let calls = std::mem::take(&mut vm.state_mut().calls);
        let copied = vm.state_mut().copied.take();
        let report = match active {
            Active::Exchange(id) => vm.state_mut().exchanges.get_mut(&id).map(|exchange| &mut exchange.report),
            _ => None,
        };
        let report = report.unwrap_or(&mut self.background);
        report.fuel_used += fuel;
        report.bytes_copied += copied;
        report.bytes_allocated += allocated;
        for (name, count) in calls {
            *report.host_calls.entry(name).or_default() += count;
        }
    }

    /// On Kong the instance is thrown away, and with it every context; that while someone waits for an answer is what
    /// can crash the process, so here it always does. On Envoy the VM stays failed.
    fn after_trap(&mut self, active: Active) -> Result<(), HostError> {
        let kong = self.is_kong();
        let state = self.state()?;
        if let Active::Exchange(id) = active
            && let Some(exchange) = state.exchanges.get_mut(&id)
        {
            exchange.failed = true;
        }
        state.cancel_pending(active);
        self.forget_contexts()?;
        let state = self.state()?;
        if !kong {
            state.timers.clear();
            state.pending.clear();
            for exchange in state.exchanges.values_mut() {
                exchange.failed = true;
            }
        } else if !state.pending.is_empty() {
            return Err(self.die("a trap while another call of the module was pending"));
        }
        Ok(())
    }

    /// Kong makes a new instance when the old one has trapped.
    pub(crate) fn ensure_instance(&mut self) -> Result<(), HostError> {
        if self.is_kong() && self.vm()?.trapped { self.instantiate_again() } else { Ok(()) }
    }

    /// Replaces the instance by a new one, as can happen on Kong when a reload's old plan is collected: what the
    /// filter kept in memory is gone, and its contexts are made again when they are next needed. Envoy does no such
    /// thing, so there this does nothing.
    ///
    /// # Errors
    /// [`HostError::WorkerDied`].
    pub fn lose_instance(&mut self) -> Result<(), HostError> {
        if !self.is_kong() {
            return Ok(());
        }
        self.forget_contexts()?;
        self.instantiate_again()
    }

    fn forget_contexts(&mut self) -> Result<(), HostError> {
        let state = self.state()?;
        for root in state.roots.values_mut() {
            root.started = false;
        }
        for exchange in state.exchanges.values_mut() {
            exchange.created = false;
        }
        Ok(())
    }

    fn instantiate_again(&mut self) -> Result<(), HostError> {
        let Some(old) = self.vm.take() else { return Ok(()) };
        match Vm::instantiate(&self.module, old.into_state()) {
            Ok(vm) => {
                self.vm = Some(vm);
                Ok(())
            }
            Err(error) => Err(self.die(format!("no new instance: {error}"))),
        }
    }
}
