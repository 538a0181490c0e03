//! What a host tells of a request beside its headers.

/// What a host tells of a request beside its headers: where it goes, and where it comes from.
///
/// On Kong these facts are properties, and a property that is read after a dispatch corrupts the worker's Lua state. So only
/// the first event of a request, its arrival, has the host's own facts; later events have a [`Snapshot`] of them.
pub trait HostFacts {
    /// What identifies the route that the host has chosen: Kong's id, Envoy's name.
    fn route_id(&self) -> Option<&str>;

    /// The name of that route.
    fn route(&self) -> Option<&str>;

    /// The name of the service behind it: Kong's service, Envoy's cluster.
    fn service(&self) -> Option<&str>;

    /// The tags of the route, then those of the service.
    fn tags(&self) -> &[String];

    /// The address of the client: the far end of the connection, or the client that a trusted proxy names. A port may
    /// follow it.
    fn client(&self) -> Option<&str>;

    /// The host's own id of the request, where it has one that no client chooses: Kong's, which its answer has as
    /// `X-Kong-Request-Id`.
    fn request_id(&self) -> Option<&str>;
}

/// The facts of one request as they were when it arrived. Empty where the request never had to wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// [`HostFacts::route_id`].
    pub route_id: Option<String>,
    /// [`HostFacts::route`].
    pub route: Option<String>,
    /// [`HostFacts::service`].
    pub service: Option<String>,
    /// [`HostFacts::tags`].
    pub tags: Vec<String>,
    /// [`HostFacts::client`].
    pub client: Option<String>,
    /// [`HostFacts::request_id`].
    pub request_id: Option<String>,
}

impl Snapshot {
    /// Reads all facts.
    pub fn of(facts: &dyn HostFacts) -> Self {
        let owned = |fact: Option<&str>| fact.map(str::to_owned);
        Self {
            route_id: owned(facts.route_id()),
            route: owned(facts.route()),
            service: owned(facts.service()),
            tags: facts.tags().to_vec(),
            client: owned(facts.client()),
            request_id: owned(facts.request_id()),
        }
    }
}

impl HostFacts for Snapshot {
    fn route_id(&self) -> Option<&str> {
        self.route_id.as_deref()
    }

    fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }

    fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}
