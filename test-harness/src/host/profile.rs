//! Which host is imitated.

/// The host whose behaviour a [`Node`](crate::Node) imitates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Kong 3.9.3 with ngx_wasm_module.
    Kong,
    /// Envoy with proxy-wasm-cpp-host and the default, closed, failure policy.
    Envoy,
}

impl Profile {
    /// Whether this is [`Profile::Kong`].
    #[must_use]
    pub fn is_kong(self) -> bool {
        self == Self::Kong
    }
}
