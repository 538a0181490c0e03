//! A gateway for a laptop: reads Kong's `kong.yml`, runs the compiled filter, proxies to the upstream.
//!
//! ```text
//! client ── proxy ── pool (one thread a worker, each with its VM) ── Node (shared data, metrics)
//!             │        └── caller: the filter's own HTTP calls
//!             └── upstream
//! ```
//!
//! Two reloads are imitated. [`Gateway::reload`] is Kong's `kong reload`, which SIGHUP to nginx is: new workers on empty zones, while the
//! old ones finish what they have begun. [`Gateway::post_config`] is `POST /config` of Kong's Admin API: the workers stay, and the zones.
//! Envoy has only the second kind.
//!
//! What it does not do: TLS, HTTP/2, load balancing, streaming, Kong's Lua plugins but for the headers that a `request-transformer`
//! removes. nginx's `proxy_set_header` is imitated as if the filter had removed none of the headers that Kong sets itself. Bodies are held in memory, requests up
//! to [`MAX_REQUEST_BODY`], responses up to [`MAX_RESPONSE_BODY`](crate::lab::http::MAX_RESPONSE_BODY).

mod admin;
mod caller;
mod driver;
mod headers;
mod metadata;
mod plan;
mod pool;
mod proxy;

pub use proxy::MAX_REQUEST_BODY;

use crate::host::{FilterModule, LogLine, Node, Profile, Zone};
use crate::lab::http::Client;
use crate::lab::resolve::Resolve;
use anyhow::Context;
use metadata::Metadata;
use plan::Plan;
use pool::Pool;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Takes the filter's log lines, and the host's about it.
pub type LogSink = Arc<dyn Fn(&LogLine) + Send + Sync>;

/// How to run the gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The declarative configuration.
    pub kong_yml: PathBuf,
    /// The compiled filter, under the name that the configuration calls it by.
    pub filter: Arc<FilterModule>,
    /// Where `<filter>.meta.json` is: its schema tells which configurations are taken, its label patterns shape `/metrics`.
    pub filters: PathBuf,
    /// Which host to behave like.
    pub profile: Profile,
    /// How many VMs.
    pub workers: usize,
    /// Where clients come in.
    pub listen: String,
    /// Where `/metrics` and `/status` are.
    pub admin: String,
    /// Other addresses for the host names of the configuration.
    pub resolve: Resolve,
}

/// A gateway that is listening.
pub struct Gateway {
    /// Where clients come in.
    pub listen: SocketAddr,
    /// Where `/metrics` and `/status` are.
    pub admin: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    ended: Vec<tokio::task::JoinHandle<()>>,
}

/// What the parts of the gateway share.
struct Shared {
    settings: Settings,
    running: RwLock<Running>,
    client: Client,
    metadata: Metadata,
    log: LogSink,
}

/// What a reload replaces. A request keeps the one it began with: workers end when nobody has them any more.
#[derive(Clone)]
struct Running {
    node: Node,
    plan: Arc<Plan>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("listen", &self.listen).field("admin", &self.admin).finish_non_exhaustive()
    }
}

impl Shared {
    fn running(&self) -> Running {
        self.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, running: Running) {
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = running;
    }

    fn load(&self) -> anyhow::Result<Arc<Plan>> {
        Ok(Arc::new(Plan::load(&self.settings.kong_yml, self.settings.filter.name(), self.metadata.schema.as_ref())?))
    }

    async fn reload(&self) -> anyhow::Result<String> {
        let node = self.running().node;
        if !node.profile().is_kong() {
            return Ok(format!("{}; workers and shared data as before", self.load_in_place().await?));
        }
        let (plan, node) = (self.load()?, node.after_kong_reload());
        let Settings { filter, workers, .. } = &self.settings;
        let pool = Pool::start(&node, filter, &plan, &self.client, *workers, Arc::clone(&self.log)).await?;
        let routes = plan.config.routes.len();
        self.replace(Running { node, plan, pool: Arc::new(pool) });
        Ok(format!("{routes} routes; new workers, empty zones, as after `kong reload`"))
    }

    async fn load_in_place(&self) -> anyhow::Result<String> {
        let plan = self.load()?;
        let running = self.running();
        let outcome = running.pool.reload(&plan).await?;
        let routes = plan.config.routes.len();
        self.replace(Running { plan, ..running });
        Ok(match outcome {
            None => format!("{routes} routes"),
            Some(reason) => format!("{routes} routes, filter configurations as before: {reason}"),
        })
    }

    async fn post_config(&self) -> anyhow::Result<String> {
        Ok(format!("{}; workers and zones as before, as after `POST /config`", self.load_in_place().await?))
    }

    fn metrics_text(&self) -> String {
        self.running().node.metrics_text(&self.metadata.labels)
    }
}

impl Gateway {
    /// Loads everything and starts listening.
    ///
    /// # Errors
    /// When a file cannot be read or is faulty, the host cannot run the filter, or an address cannot be listened on.
    pub async fn start(settings: Settings, log: LogSink) -> anyhow::Result<Self> {
        let filter = Arc::clone(&settings.filter);
        let metadata = Metadata::load(&settings.filters, filter.name(), settings.profile)?;
        let plan = Arc::new(Plan::load(&settings.kong_yml, filter.name(), metadata.schema.as_ref())?);
        let node = node(settings.profile, filter.name());
        let client = Client::new(settings.resolve.clone(), Duration::from_secs(60));
        let pool = Pool::start(&node, &filter, &plan, &client, settings.workers, Arc::clone(&log)).await?;
        let proxy =
            TcpListener::bind(&settings.listen).await.with_context(|| format!("listen on {}", settings.listen))?;
        let admin =
            TcpListener::bind(&settings.admin).await.with_context(|| format!("listen on {}", settings.admin))?;
        let (stop, stopped) = watch::channel(false);
        let (listen, admin_address) = (proxy.local_addr()?, admin.local_addr()?);
        let running = RwLock::new(Running { node, plan, pool: Arc::new(pool) });
        let shared = Arc::new(Shared { settings, running, client, metadata, log });
        let ended = vec![
            tokio::spawn(proxy::listen(proxy, Arc::clone(&shared), stopped.clone())),
            tokio::spawn(admin::listen(admin, Arc::clone(&shared), stopped)),
        ];
        Ok(Self { listen, admin: admin_address, shared, stop, ended })
    }

    /// Reads the declarative configuration again as `kong reload` does: with new workers, on empty zones of shared data; metrics stay.
    /// (A filter's configuration that is refused then switches all filters off, as at the start.) On Envoy, which has no such thing,
    /// workers and shared data stay. On a fault everything stays as it was. Returns what was done.
    ///
    /// # Errors
    /// When the file is faulty, or the new workers do not start.
    pub async fn reload(&self) -> anyhow::Result<String> {
        self.shared.reload().await
    }

    /// Reads the declarative configuration again as Kong does for `POST /config` of its Admin API: in the workers there are, with the
    /// zones as they are. On a fault the old one stays. Returns what was done.
    ///
    /// # Errors
    /// When the file is faulty, or a worker died of the new configuration.
    pub async fn post_config(&self) -> anyhow::Result<String> {
        self.shared.post_config().await
    }

    /// What there is to know about the configuration: routes, and plugins that do not run here.
    pub fn summary(&self) -> Vec<String> {
        let plan = self.shared.running().plan;
        let mut lines = Vec::new();
        for route in &plan.config.routes {
            let filters = if route.filters.is_empty() { "  (no filter)" } else { "" };
            lines.push(format!("{:<24}{}{filters}", route.name, route.paths.join(" ")));
        }
        lines.extend(
            plan.other_plugins.iter().map(|name| format!("plugin {name:?} is Kong's own and does not run here")),
        );
        lines
    }

    /// The metrics, as `/metrics` shows them.
    pub fn metrics(&self) -> String {
        self.shared.metrics_text()
    }

    /// Stops listening, lets requests in flight finish for at most five seconds, stops the workers.
    pub async fn stop(self) {
        // Without a receiver the listeners have ended already.
        let _ = self.stop.send(true);
        for task in self.ended {
            // A listener that panicked has ended, too.
            let _ = task.await;
        }
        self.shared.running().pool.stop();
    }
}

/// The zones of `kong/kong.env`.
fn node(profile: Profile, filter: &str) -> Node {
    const MIB: usize = 1024 * 1024;
    Node::builder(profile)
        .filter_name(filter)
        .zones([
            Zone::default_zone(MIB),
            Zone::named("backstage_kong_keys", 4 * MIB),
            Zone::named("backstage_kong_quota", 32 * MIB),
            Zone::named("backstage_kong_catalog", 32 * MIB),
        ])
        .build()
}
