//! Calls to other servers.

use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};

/// What calls with a time limit, over TLS with the authorities that the system trusts: an in-house Backstage often has the
/// company's own. Answers are taken as they come, whatever their status, and where they lead is not followed.
pub fn agent(timeout: Duration) -> ureq::Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let settings = ureq::Agent::config_builder().timeout_global(Some(timeout)).tls_config(tls);
    let settings = settings.http_status_as_error(false).max_redirects(0);
    settings.user_agent(concat!("backstage-kong/", env!("CARGO_PKG_VERSION"))).build().new_agent()
}
