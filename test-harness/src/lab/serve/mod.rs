//! A gateway for a laptop: reads Kong's `kong.yml`, runs the compiled filter, proxies to the upstream.
//!
//! ```text
//! client ── proxy ── pool (one thread a worker, each with its VM) ── Node (shared data, metrics)
//!             │        └── caller: the filter's own HTTP calls
//!             └── upstream
//! ```
//!
//! What it does not do: TLS, HTTP/2, load balancing, Kong's Lua plugins, streaming. Bodies are held in memory, requests up
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
    node: Node,
    plan: RwLock<Arc<Plan>>,
    pool: Pool,
    client: Client,
    metadata: Metadata,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("listen", &self.listen).field("admin", &self.admin).finish_non_exhaustive()
    }
}

impl Shared {
    fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn metrics_text(&self) -> String {
        self.node.metrics_text(&self.metadata.labels)
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
        let pool = Pool::start(&node, &filter, &plan, &client, settings.workers, log).await?;
        let proxy =
            TcpListener::bind(&settings.listen).await.with_context(|| format!("listen on {}", settings.listen))?;
        let admin =
            TcpListener::bind(&settings.admin).await.with_context(|| format!("listen on {}", settings.admin))?;
        let (stop, stopped) = watch::channel(false);
        let (listen, admin_address) = (proxy.local_addr()?, admin.local_addr()?);
        let shared = Arc::new(Shared { settings, node, plan: RwLock::new(plan), pool, client, metadata });
        let ended = vec![
            tokio::spawn(proxy::listen(proxy, Arc::clone(&shared), stopped.clone())),
            tokio::spawn(admin::listen(admin, Arc::clone(&shared), stopped)),
        ];
        Ok(Self { listen, admin: admin_address, shared, stop, ended })
    }

    /// Reads the declarative configuration again. On a fault the old one stays, as with Kong's `POST /config`.
    ///
    /// # Errors
    /// When the file is faulty, or a worker died of the new configuration.
    pub async fn reload(&self) -> anyhow::Result<String> {
        let Settings { kong_yml, filter, .. } = &self.shared.settings;
        let plan = Arc::new(Plan::load(kong_yml, filter.name(), self.shared.metadata.schema.as_ref())?);
        let outcome = self.shared.pool.reload(&plan).await?;
        let routes = plan.config.routes.len();
        *self.shared.plan.write().unwrap_or_else(PoisonError::into_inner) = plan;
        Ok(match outcome {
            None => format!("{routes} routes"),
            Some(reason) => format!("{routes} routes, filter configurations as before: {reason}"),
        })
    }

    /// What there is to know about the configuration: routes, and plugins that do not run here.
    pub fn summary(&self) -> Vec<String> {
        let plan = self.shared.plan();
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
        self.shared.pool.stop();
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
