//! Development peers: an identity provider and a sample upstream. Any gateway can be put in front of them.

mod control;
mod idp;
mod keys;
mod personas;
mod token;
mod upstream;

pub use control::{Control, KeySetBehaviour};
pub use idp::Idp;
pub use keys::{KeyError, KeyKind, SigningKeys};
pub use personas::{PERSONAS, Persona};
pub use token::{Forgery, Mint, TokenSpec};

use anyhow::Context;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The `iss` of the provider's tokens unless told otherwise. It is a name, not an address: `kong.yml` carries it too.
pub const DEFAULT_ISSUER: &str = "http://peers:9081";

/// Peers that are listening.
#[derive(Debug)]
pub struct Peers {
    /// Where the identity provider listens.
    pub idp: SocketAddr,
    /// Where the sample upstream listens.
    pub upstream: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Peers {
    /// Starts both on the addresses given; port 0 takes a free one. They stop when the value is dropped.
    ///
    /// # Errors
    /// When an address cannot be listened on, or keys cannot be made.
    pub async fn start(idp: &str, upstream: &str, issuer: &str) -> anyhow::Result<Self> {
        let issuer = issuer.to_owned();
        let provider = tokio::task::spawn_blocking(move || Idp::new(&issuer)).await??;
        let (stop, stopped) = watch::channel(false);
        let idp = serve(idp, provider.router(), stopped.clone()).await?;
        let upstream = serve(upstream, upstream::router(), stopped).await?;
        Ok(Self { idp, upstream, stop })
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Without a receiver the servers have ended already.
        let _ = self.stop.send(true);
    }
}

async fn serve(address: &str, router: axum::Router, mut stop: watch::Receiver<bool>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, router).into_future() => ended,
            _ = stop.changed() => Ok(()),
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests;
