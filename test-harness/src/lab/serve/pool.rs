//! Worker threads, and one request's conversation with its worker.

use super::LogSink;
use super::driver::Driver;
use super::plan::Plan;
use crate::host::{FilterModule, HeaderPairs, Node, RequestHead, ResponseHead, UpstreamRequest};
use crate::lab::http::Client;
use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// What a worker is asked to do.
pub(super) enum Command {
    Begin { request: u64, route: String, head: Box<RequestHead>, answer: oneshot::Sender<Verdict> },
    Reply { token: u32, result: Result<crate::host::Reply, crate::host::DispatchFailure> },
    Response { request: u64, status: u16, headers: HeaderPairs, answer: oneshot::Sender<ResponseHead> },
    GatewayError { request: u64, status: u16, answer: oneshot::Sender<ResponseHead> },
    Finish { request: u64, status: u16 },
    Abort { request: u64 },
    Reload { configs: Vec<(String, Vec<u8>)>, answer: oneshot::Sender<Result<Option<String>, String>> },
    Stop,
}

/// What the filter has made of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    Forward(UpstreamRequest),
    Respond(ResponseHead),
}

/// The worker died, or nothing will ever come: the client sees its connection closed.
#[derive(Debug, thiserror::Error)]
#[error("the worker is gone")]
pub(super) struct WorkerGone;

/// The workers of the gateway.
pub(super) struct Pool {
    workers: Vec<mpsc::Sender<Command>>,
    next_worker: AtomicUsize,
    next_request: AtomicU64,
}

impl Pool {
    /// Starts the workers, each on a thread of its own.
    pub(super) async fn start(
        node: &Node,
        filter: &Arc<FilterModule>,
        plan: &Plan,
        client: &Client,
        count: usize,
        log: LogSink,
    ) -> anyhow::Result<Self> {
        // Dropped on an error, which ends those that have started.
        let mut pool = Self { workers: Vec::new(), next_worker: AtomicUsize::new(0), next_request: AtomicU64::new(0) };
        for index in 0..count.max(1) {
            let (commands, inbox) = mpsc::channel();
            let (node, filter, configs) = (node.clone(), Arc::clone(filter), plan.filter_configs());
            let (client, log, own) = (client.clone(), Arc::clone(&log), commands.clone());
            let runtime = tokio::runtime::Handle::current();
            let (started, start) = oneshot::channel();
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                match Driver::start(node, filter, configs, client, own, runtime, log) {
                    Ok(driver) => {
                        // Nobody waits any more when the gateway has been given up already.
                        let _ = started.send(Ok(()));
                        driver.run(&inbox);
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })?;
            start.await.context("a worker ended while starting")??;
            pool.workers.push(commands);
        }
        Ok(pool)
    }

    /// Takes a request to the next worker in turn.
    pub(super) async fn begin(&self, route: &str, head: RequestHead) -> Result<(Conversation, Verdict), WorkerGone> {
        let index = self.next_worker.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let worker = self.workers.get(index).ok_or(WorkerGone)?.clone();
        let request = self.next_request.fetch_add(1, Ordering::Relaxed);
        let conversation = Conversation { worker, request, over: false };
        let (answer, verdict) = oneshot::channel();
        conversation.say(Command::Begin { request, route: route.to_owned(), head: Box::new(head), answer })?;
        let verdict = verdict.await.map_err(|_| WorkerGone)?;
        Ok((conversation, verdict))
    }

    /// Gives all workers new configurations. Returns why the old ones stay, where the host keeps them.
    pub(super) async fn reload(&self, plan: &Plan) -> anyhow::Result<Option<String>> {
        let mut kept = None;
        for worker in &self.workers {
            let (answer, outcome) = oneshot::channel();
            worker
                .send(Command::Reload { configs: plan.filter_configs(), answer })
                .map_err(|_| anyhow::anyhow!("a worker is gone"))?;
            let outcome = outcome.await.context("a worker is gone")?;
            kept = outcome.map_err(anyhow::Error::msg)?.or(kept);
        }
        Ok(kept)
    }

    /// How many workers there are.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Tells the workers to end.
    pub(super) fn stop(&self) {
        for worker in &self.workers {
            // One that is gone has stopped.
            let _ = worker.send(Command::Stop);
        }
    }
}

impl Drop for Pool {
    /// Nobody has a request in it any more.
    fn drop(&mut self) {
        self.stop();
    }
}

/// One request's conversation with its worker. Dropped before its end, it tells the worker that the client has gone.
#[derive(Debug)]
pub(super) struct Conversation {
    worker: mpsc::Sender<Command>,
    request: u64,
    over: bool,
}

impl Conversation {
    fn say(&self, command: Command) -> Result<(), WorkerGone> {
        self.worker.send(command).map_err(|_| WorkerGone)
    }

    /// Brings the upstream's response.
    pub(super) async fn response(&self, status: u16, headers: HeaderPairs) -> Result<ResponseHead, WorkerGone> {
        let (answer, head) = oneshot::channel();
        self.say(Command::Response { request: self.request, status, headers, answer })?;
        head.await.map_err(|_| WorkerGone)
    }

    /// Tells that there is no upstream to be had. Ends the conversation.
    pub(super) async fn gateway_error(mut self, status: u16) -> Result<ResponseHead, WorkerGone> {
        let (answer, head) = oneshot::channel();
        self.say(Command::GatewayError { request: self.request, status, answer })?;
        let head = head.await.map_err(|_| WorkerGone)?;
        self.over = true;
        Ok(head)
    }

    /// Tells which status the client got. Ends the conversation.
    pub(super) fn finish(mut self, status: u16) {
        self.over = true;
        // A worker that is gone has nothing to log any more.
        let _ = self.say(Command::Finish { request: self.request, status });
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.say(Command::Abort { request: self.request });
        }
    }
}
