//! A machine: what its workers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::clock::SharedClock;
use super::metrics::MetricStore;
use super::shared_data::SharedData;
use super::{Clock, Faults, LabelPattern, Metric, Profile, Zone, prometheus};

/// One machine: shared data, metrics and a clock, shared by its workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    shared: SharedData,
    /// As they were asked for: a reload makes them anew.
    zones: Vec<Zone>,
    kept: Arc<Kept>,
}

/// What outlives `kong reload`.
#[derive(Debug)]
struct Kept {
    clock: SharedClock,
    metrics: MetricStore,
    /// Kong numbers calls a process; one counter a node keeps tokens unique for gateways that serve several workers.
    next_token: AtomicU32,
}

/// What a [`NodeBuilder`] was told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) filter_name: String,
    pub(crate) server_name: String,
    pub(crate) hostname: String,
    pub(crate) clusters: Option<BTreeSet<String>>,
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    pub(crate) fuel_per_call: u64,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) client_body_buffer_size: usize,
}

/// Makes a [`Node`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    settings: Settings,
    clock: Clock,
    zones: Vec<Zone>,
    metrics_slab: usize,
    workers: usize,
}

impl NodeBuilder {
    /// The shared data zones. Without any, Kong traps on every get and set, which is its default; Envoy needs none.
    #[must_use]
    pub fn zones(mut self, zones: impl IntoIterator<Item = Zone>) -> Self {
        self.zones = zones.into_iter().collect();
        self
    }

    /// The clock; the system's unless told otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The filter's name in metrics and logs: on Kong the stem of the file's name.
    #[must_use]
    pub fn filter_name(mut self, name: impl Into<String>) -> Self {
        self.settings.filter_name = name.into();
        self
    }

    /// The server's own name and port, which Kong returns for `:authority`.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.server_name = name.into();
        self
    }

    /// Envoy: the clusters there are. Calls to others are refused. Unless told, every name is a cluster.
    #[must_use]
    pub fn clusters<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.settings.clusters = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// A property all requests have, by its dotted path.
    #[must_use]
    pub fn property(mut self, path: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.settings.properties.insert(path.into(), value.into());
        self
    }

    /// How much fuel one callback may burn before it traps; what keeps an endless loop from hanging a test.
    #[must_use]
    pub fn fuel_per_call(mut self, fuel: u64) -> Self {
        self.settings.fuel_per_call = fuel;
        self
    }

    /// Bytes for metrics: Kong's slab, 5 MB by default.
    #[must_use]
    pub fn metrics_slab(mut self, bytes: usize) -> Self {
        self.metrics_slab = bytes;
        self
    }

    /// Workers that Kong's slab keeps a slot in each metric for, 1 by default. It does not start any.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The VM's configuration, which `on_vm_start` gets.
    #[must_use]
    pub fn vm_configuration(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_configuration = bytes.into();
        self
    }

    /// Kong's `client_body_buffer_size` in bytes, 8 KiB by default: a larger body goes to a file and no filter can read it. (nginx
    /// takes up to a quarter more where it can. Nobody should count on that.)
    #[must_use]
    pub fn client_body_buffer_size(mut self, bytes: usize) -> Self {
        self.settings.client_body_buffer_size = bytes;
        self
    }

    /// Makes the node.
    #[must_use]
    pub fn build(self) -> Node {
        let kept = Kept {
            clock: SharedClock::new(self.clock),
            metrics: MetricStore::new(
                self.settings.profile,
                &self.settings.filter_name,
                self.metrics_slab,
                self.workers,
            ),
            next_token: AtomicU32::new(0),
        };
        Node::with(self.settings, self.zones, Arc::new(kept))
    }
}

impl Node {
    /// Starts describing a node.
    #[must_use]
    pub fn builder(profile: Profile) -> NodeBuilder {
        NodeBuilder {
            settings: Settings {
                profile,
                filter_name: "filter".to_owned(),
                server_name: "kong:8000".to_owned(),
                hostname: "machine".to_owned(),
                clusters: None,
                properties: BTreeMap::new(),
                fuel_per_call: 20_000_000_000,
                vm_configuration: Vec::new(),
                client_body_buffer_size: 8 * 1024,
            },
            clock: Clock::System,
            zones: Vec::new(),
            metrics_slab: 5 * 1024 * 1024,
            workers: 1,
        }
    }

    fn with(settings: Settings, zones: Vec<Zone>, kept: Arc<Kept>) -> Self {
        let shared = SharedData::new(settings.profile, zones.clone());
        Self { inner: Arc::new(Inner { settings, shared, zones, kept }) }
    }

    /// The node as `kong reload` leaves it, for the new workers: every zone of shared data is empty, because the module makes them
    /// anew, and the metrics are as they were. Workers on the old node keep what they have until they are dropped, as nginx's do
    /// until their last request is done. [`Worker::reload`](crate::Worker::reload) is the other kind of reload, that of `POST /config`,
    /// which keeps workers and zones. Envoy has no such thing: there the node stays the same.
    #[must_use]
    pub fn after_kong_reload(&self) -> Self {
        if !self.profile().is_kong() {
            return self.clone();
        }
        let Inner { settings, zones, kept, .. } = &*self.inner;
        Self::with(settings.clone(), zones.clone(), Arc::clone(kept))
    }

    /// The host it imitates.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.inner.settings.profile
    }

    /// The metrics by their stored name: on Kong `pw:<filter>:<name>`.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        self.inner.kept.metrics.snapshot()
    }

    /// The metrics as the host's Prometheus endpoint shows them. The patterns are the `metrics.label_patterns` of the
    /// filter's metadata and matter on Kong only.
    #[must_use]
    pub fn metrics_text(&self, label_patterns: &[LabelPattern]) -> String {
        prometheus::text(self.profile(), &self.metrics(), label_patterns)
    }

    /// Bytes of all values in shared data.
    #[must_use]
    pub fn shared_data_bytes(&self) -> usize {
        self.inner.shared.lock().bytes()
    }

    /// Makes shared data misbehave.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(self.clone())
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.inner.kept.clock.now_ms()
    }

    /// Sets a manual clock; does nothing to the system's.
    pub fn set_clock(&self, ms: u64) {
        self.inner.kept.clock.set(ms);
    }

    /// Moves a manual clock; does nothing to the system's.
    pub fn advance(&self, ms: u64) {
        self.inner.kept.clock.advance(ms);
    }

    /// Nanoseconds, in the host's resolution.
    pub(crate) fn now_nanos(&self) -> u64 {
        match self.profile() {
            // nginx reads a cached time of milliseconds.
            Profile::Kong => self.inner.kept.clock.now_ms().saturating_mul(1_000_000),
            Profile::Envoy => self.inner.kept.clock.now_nanos(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn shared(&self) -> &SharedData {
        &self.inner.shared
    }

    pub(crate) fn metric_store(&self) -> &MetricStore {
        &self.inner.kept.metrics
    }

    pub(crate) fn next_token(&self) -> u32 {
        self.inner.kept.next_token.fetch_add(1, Ordering::Relaxed)
    }
}
