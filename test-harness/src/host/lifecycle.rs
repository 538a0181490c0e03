//! Root contexts: starting, reloading, ticking.

use super::state::{Active, Phase, Root};
use super::{Dispatch, HostError, LogLevel, Profile, Worker};

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new configurations are in force.
    Applied,
    /// Kong: one was refused, so all old ones stay; its Admin API has answered 201 all the same.
    KeptOld {
        /// Which route's configuration, and how it was refused.
        reason: String,
    },
}

/// Whether a root context came up.
type Started = Result<(), String>;

impl Worker {
    pub(crate) fn configure_at_start(&mut self, configs: &[(String, Vec<u8>)]) {
        for (route, config) in configs {
            let Ok(root) = self.add_root(route, config) else { return };
            self.routes.insert(route.clone(), root);
            let Ok(started) = self.start_root(root, true) else { return };
            let Err(problem) = started else { continue };
            if self.is_kong() {
                self.chains_active = false;
                self.log(LogLevel::Critical, format!("failed to initialize the filter chains: {problem}"));
                return;
            }
            self.log(LogLevel::Critical, format!("the plugin fails closed: {problem}"));
        }
    }

    /// Replaces the configurations. Routes whose configuration is the same keep their root context.
    ///
    /// On Kong replaced root contexts are never told and go on ticking; on Envoy they are done and deleted.
    ///
    /// # Errors
    /// [`HostError::WorkerDied`].
    pub fn reload(&mut self, configs: &[(String, Vec<u8>)]) -> Result<Reload, HostError> {
        self.ensure_instance()?;
        let mut routes = std::collections::BTreeMap::new();
        for (route, config) in configs {
            let kept = self.routes.get(route).copied();
            let same = kept.filter(|root| {
                let root = self.vm.as_ref().and_then(|vm| vm.state().roots.get(root));
                root.is_some_and(|root| root.config == *config && !root.failed)
            });
            let root = match same {
                Some(root) => root,
                None => {
                    let root = self.add_root(route, config)?;
                    match self.start_root(root, true)? {
                        Err(reason) if self.is_kong() => {
                            self.log(LogLevel::Error, format!("failed rebuilding filter chain state: {reason}"));
                            return Ok(Reload::KeptOld { reason });
                        }
                        Err(reason) => self.log(LogLevel::Critical, format!("the plugin fails closed: {reason}")),
                        Ok(()) => {}
                    }
                    root
                }
            };
            routes.insert(route.clone(), root);
        }
        let old = std::mem::replace(&mut self.routes, routes);
        self.chains_active = true;
        if self.node.profile() == Profile::Envoy {
            for root in old.into_values() {
                if !self.routes.values().any(|kept| *kept == root) {
                    self.retire(root)?;
                }
            }
        }
        Ok(Reload::Applied)
    }

    fn retire(&mut self, root: u32) -> Result<(), HostError> {
        let _: Result<u32, _> = self.run(Phase::Done, Active::Root(root), "proxy_on_done", root, 1)?;
        let _: Result<(), _> = self.run(Phase::Done, Active::Root(root), "proxy_on_delete", root, ())?;
        let state = self.state()?;
        state.timers.retain(|timer| timer.root != root);
        state.roots.remove(&root);
        Ok(())
    }

    fn add_root(&mut self, route: &str, config: &[u8]) -> Result<u32, HostError> {
        // Kong's ids are a CRC32; the high bit keeps them apart from the requests' here.
        let serial = self.next_id();
        let mut id = crc32fast::hash(config).wrapping_add(serial) | 0x8000_0000;
        let state = self.state()?;
        while state.roots.contains_key(&id) {
            id = id.wrapping_add(1) | 0x8000_0000;
        }
        let (route, config) = (route.to_owned(), config.to_vec());
        state.roots.insert(id, Root { route, config, started: false, failed: false, tick_period: 0 });
        Ok(id)
    }

    /// Creates and configures a root context in the present instance. `first`: not after a trap, where Kong leaves
    /// `on_vm_start` out.
    fn start_root(&mut self, id: u32, first: bool) -> Result<Started, HostError> {
        let Some(root) = self.state()?.roots.get_mut(&id) else { return Ok(Err("no such root".to_owned())) };
        root.tick_period = 0;
        let (route, len) = (root.route.clone(), u32::try_from(root.config.len()).unwrap_or(u32::MAX));
        let vm_len = u32::try_from(self.node.settings().vm_configuration.len()).unwrap_or(u32::MAX);
        let active = Active::Root(id);
        let outcome = 'outcome: {
            if self.run(Phase::Start, active, "proxy_on_context_create", (id, 0_u32), ())?.is_err() {
                break 'outcome Err("on_context_create trapped");
            }
            // Kong starts the VM once a configuration, Envoy once.
            if first && (self.is_kong() || !self.vm_started) {
                self.vm_started = true;
                match self.run(Phase::Start, active, "proxy_on_vm_start", (id, vm_len), 1_u32)? {
                    Ok(0) => break 'outcome Err("on_vm_start failure"),
                    Ok(_) => {}
                    Err(_) => break 'outcome Err("on_vm_start trapped"),
                }
            }
            match self.run(Phase::Start, active, "proxy_on_configure", (id, len), 1_u32)? {
                Ok(0) => Err("on_configure failure"),
                Ok(_) => Ok(()),
                Err(_) => Err("on_configure trapped"),
            }
        };
        if let Some(root) = self.state()?.roots.get_mut(&id) {
            root.started = outcome.is_ok();
            root.failed = outcome.is_err();
        }
        Ok(outcome.map_err(|problem| format!("route {route:?}: {problem}")))
    }

    /// Kong, after a trap: the next who needs the root context configures it again, which sets another tick timer.
    pub(crate) fn ensure_root(&mut self, id: u32) -> Result<Started, HostError> {
        self.ensure_instance()?;
        let started = self.state()?.roots.get(&id).is_some_and(|root| root.started);
        if started { Ok(Ok(())) } else { self.start_root(id, false) }
    }

    /// Runs one tick of a route's root context now. Returns the calls it made.
    ///
    /// # Errors
    /// [`HostError::UnknownRoute`], [`HostError::WorkerDied`].
    pub fn tick(&mut self, route: &str) -> Result<Vec<Dispatch>, HostError> {
        let root = self.routes.get(route).copied().ok_or_else(|| HostError::UnknownRoute(route.to_owned()))?;
        self.run_tick(root)?;
        Ok(self.take_dispatches())
    }

    /// Runs the ticks that are due at `now` (milliseconds since the Unix epoch), each timer once. Returns the calls
    /// they made.
    ///
    /// # Errors
    /// [`HostError::WorkerDied`].
    pub fn run_due_ticks(&mut self, now: u64) -> Result<Vec<Dispatch>, HostError> {
        let timers = &mut self.state()?.timers;
        let due: Vec<_> = timers.iter().copied().filter(|timer| timer.due <= now).collect();
        timers.retain(|timer| timer.due > now);
        for mut timer in due {
            self.run_tick(timer.root)?;
            let kong = self.is_kong();
            let state = self.state()?;
            let period = state.roots.get(&timer.root).map_or(0, |root| root.tick_period);
            let rearmed = !kong && state.timers.iter().any(|other| other.root == timer.root);
            if period != 0 && !rearmed {
                timer.period = period;
                timer.due = now + period;
                state.timers.push(timer);
            }
        }
        Ok(self.take_dispatches())
    }

    /// How many tick timers run: on Kong one more after each trap, and those of replaced configurations too.
    #[must_use]
    pub fn tick_timers(&self) -> usize {
        self.vm.as_ref().map_or(0, |vm| vm.state().timers.len())
    }

    /// When the next tick is due, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_tick_due(&self) -> Option<u64> {
        self.vm.as_ref()?.state().timers.iter().map(|timer| timer.due).min()
    }

    fn run_tick(&mut self, root: u32) -> Result<(), HostError> {
        if self.vm()?.trapped && !self.is_kong() {
            return Ok(());
        }
        if self.is_kong() && self.ensure_root(root)?.is_err() {
            return Ok(());
        }
        let _: Result<(), _> = self.run(Phase::Tick, Active::Root(root), "proxy_on_tick", root, ())?;
        Ok(())
    }
}
