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
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::time::Duration;
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

/// More lines than hyper's own bound: floods of headers are among what the upstream is to tell of.
const MAX_HEADERS: usize = 1000;

async fn serve(address: &str, router: axum::Router, mut stop: watch::Receiver<bool>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // Too many open files, or a client already gone: neither is a reason to stop.
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                },
                _ = stop.changed() => return,
            };
            let service = TowerToHyperService::new(router.clone());
            let mut builder = http1::Builder::new();
            builder.max_headers(MAX_HEADERS);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            // A connection ends with an error when its client goes away: no news.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    Ok(address)
}

#[cfg(test)]
mod tests;
