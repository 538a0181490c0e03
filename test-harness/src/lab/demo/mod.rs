//! A demonstration: what the filter does, as a story of requests and answers.

mod print;
mod story;

use super::cli::{FilterArgs, audit_line, to_peers};
use super::http::{Base, Client, Incoming, header_map};
use super::peers::{DEFAULT_ISSUER, Peers};
use super::resolve::Resolve;
use super::serve::Gateway;
use anyhow::Context;
use http::Method;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use story::{Act, CHAPTERS, Token};

const PATIENCE: Duration = Duration::from_secs(15);

/// Starts a gateway with peers on free ports and walks the story.
///
/// # Errors
/// When the gateway cannot start, or an answer has not the status that the story tells.
pub(super) async fn run(args: &FilterArgs) -> anyhow::Result<()> {
    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await?;
    let audit: Audit = Arc::default();
    let lines = Arc::clone(&audit);
    let settings = args.settings("127.0.0.1:0", "127.0.0.1:0", to_peers(Vec::new(), &peers)?)?;
    let gateway = Gateway::start(
        settings,
        Arc::new(move |line| {
            if let Some(json) = audit_line(&line.text) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(json.to_owned());
            }
        }),
    )
    .await?;
    let stage = Stage {
        gateway: gateway.listen.into(),
        idp: peers.idp.into(),
        client: Client::new(Resolve::default(), PATIENCE),
        audit,
    };
    print::opening(&stage.gateway, &stage.idp);
    let mut surprises = 0;
    let mut retry_after = None;
    for chapter in CHAPTERS {
        print::chapter(chapter);
        for act in chapter.acts {
            surprises += usize::from(!stage.play(act, &mut retry_after).await?);
        }
    }
    print::metrics(&gateway.metrics());
    gateway.stop().await;
    anyhow::ensure!(surprises == 0, "{surprises} answers were not what the story says");
    Ok(())
}

type Audit = Arc<Mutex<Vec<String>>>;

struct Stage {
    gateway: Base,
    idp: Base,
    client: Client,
    audit: Audit,
}

impl Stage {
    /// Plays an act. False when an answer was not as told.
    async fn play(&self, act: &Act, retry_after: &mut Option<u64>) -> anyhow::Result<bool> {
        match act {
            Act::WaitAsTold => {
                let seconds = retry_after.unwrap_or(0).min(PATIENCE.as_secs());
                print::wait(seconds);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(true)
            }
            Act::Send { method, path, token, expect } => {
                let answer = self.send(method, path, token).await?;
                print::request(&self.gateway, method, path, token);
                *retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
                print::answer(&answer, &self.audit().await);
                let as_told = answer.status == *expect;
                if !as_told {
                    print::surprise(*expect, answer.status);
                }
                Ok(as_told)
            }
        }
    }

    async fn send(&self, method: &str, path: &str, token: &Token) -> anyhow::Result<Incoming> {
        let mut request = self.gateway.request(Method::from_bytes(method.as_bytes())?, path);
        let authorization = match token {
            Token::None => None,
            Token::Of(user) => Some(self.token(&format!("/token/{user}")).await?),
            Token::Forged(user) => Some(self.token(&format!("/token/{user}?forge=stranger_key")).await?),
        };
        if let Some(token) = authorization {
            let value = format!("Bearer {token}");
            request.headers = header_map([("authorization", value.as_bytes())])?;
        }
        Ok(self.client.send(request, PATIENCE).await?)
    }

    async fn token(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.client.get(&self.idp, path, PATIENCE).await.context("identity provider")?;
        Ok(String::from_utf8_lossy(&answer.body).trim().to_owned())
    }

    /// The audit lines since the last time. They may come a little after the answer.
    async fn audit(&self) -> Vec<Value> {
        for _ in 0..20 {
            let lines = std::mem::take(&mut *self.audit.lock().unwrap_or_else(PoisonError::into_inner));
            if !lines.is_empty() {
                return lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Vec::new()
    }
}
