//! The loop of one worker thread: commands in, filter callbacks, calls and log lines out.

use super::LogSink;
use super::caller;
use super::pool::{Command, Verdict};
use crate::host::{
    Dispatch, ExchangeId, FilterModule, HostError, LogLevel, LogLine, Node, Reload, ResponseHead, ResponseStep, Step,
    Worker,
};
use crate::lab::http::Client;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long the loop sleeps at most.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    worker: Worker,
    node: Node,
    filter: Arc<FilterModule>,
    configs: Vec<(String, Vec<u8>)>,
    client: Client,
    commands: Sender<Command>,
    runtime: Handle,
    log: LogSink,
    exchanges: HashMap<u64, ExchangeId>,
    /// Requests that the filter has not decided on yet.
    undecided: HashMap<ExchangeId, oneshot::Sender<Verdict>>,
    /// Responses that will never come, as on the real host; kept so that the client waits.
    hung: HashMap<u64, oneshot::Sender<ResponseHead>>,
    /// Which exchange made a call.
    calls: HashMap<u32, ExchangeId>,
}

impl Driver {
    pub(super) fn start(
        node: Node,
        filter: Arc<FilterModule>,
        configs: Vec<(String, Vec<u8>)>,
        client: Client,
        commands: Sender<Command>,
        runtime: Handle,
        log: LogSink,
    ) -> anyhow::Result<Self> {
        let worker = Worker::start(&node, &filter, &configs)?;
        Ok(Self {
            worker,
            node,
            filter,
            configs,
            client,
            commands,
            runtime,
            log,
            exchanges: HashMap::new(),
            undecided: HashMap::new(),
            hung: HashMap::new(),
            calls: HashMap::new(),
        })
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self, inbox: &Receiver<Command>) {
        self.after();
        loop {
            let wait = self
                .worker
                .next_tick_due()
                .map_or(IDLE, |due| Duration::from_millis(due.saturating_sub(self.node.now_ms())).min(IDLE));
            let outcome = match inbox.recv_timeout(wait) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => Ok(()),
            };
            let outcome = outcome.and_then(|()| self.tick());
            self.after();
            match outcome {
                Err(HostError::WorkerDied { reason }) => {
                    if !self.revive(&reason) {
                        return;
                    }
                }
                Err(error) => self.say(LogLevel::Error, error.to_string()),
                Ok(()) => {}
            }
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), HostError> {
        match command {
            Command::Begin { request, route, head, answer } => {
                let (id, step) = self.worker.begin(&route, *head)?;
                self.exchanges.insert(request, id);
                self.undecided.insert(id, answer);
                self.step(id, step);
            }
            Command::Reply { token, result } => {
                let exchange = self.calls.remove(&token);
                let step = self.worker.dispatch_reply(token, result)?;
                if let Some(id) = exchange {
                    self.step(id, step);
                }
            }
            Command::Response { request, status, headers, answer } => {
                let Some(id) = self.exchanges.get(&request).copied() else { return Ok(()) };
                match self.worker.response(id, status, headers)? {
                    ResponseStep::Respond(head) => self.answer(answer, head),
                    ResponseStep::Hung => drop(self.hung.insert(request, answer)),
                }
            }
            Command::GatewayError { request, status, answer } => {
                let Some(id) = self.exchanges.remove(&request) else { return Ok(()) };
                let (head, _) = self.worker.gateway_error(id, status)?;
                self.answer(answer, head);
            }
            Command::Finish { request, status } => {
                let Some(id) = self.exchanges.remove(&request) else { return Ok(()) };
                self.worker.finish(id, status)?;
            }
            Command::Abort { request } => {
                self.hung.remove(&request);
                let Some(id) = self.exchanges.remove(&request) else { return Ok(()) };
                self.undecided.remove(&id);
                self.worker.abort(id)?;
            }
            Command::Reload { configs, answer } => {
                let outcome = self.worker.reload(&configs);
                drop(answer.send(match &outcome {
                    Ok(Reload::Applied) => Ok(None),
                    Ok(Reload::KeptOld { reason }) => Ok(Some(reason.clone())),
                    Err(error) => Err(error.to_string()),
                }));
                if matches!(outcome?, Reload::Applied) {
                    self.configs = configs;
                }
            }
            Command::Stop => {}
        }
        Ok(())
    }

    fn step(&mut self, id: ExchangeId, step: Step) {
        let verdict = match step {
            Step::Forward(upstream) => Verdict::Forward(upstream),
            Step::LocalResponse(head) => Verdict::Respond(head),
            Step::Dispatch(calls) => return calls.into_iter().for_each(|call| self.call(call)),
            // The client waits until it gives up.
            Step::Hung | Step::Background => return,
        };
        if let Some(answer) = self.undecided.remove(&id) {
            self.answer(answer, verdict);
        }
    }

    /// Answers what waits for a callback, once what that said is in the log, as in nginx.
    fn answer<T>(&mut self, to: oneshot::Sender<T>, with: T) {
        self.hand_on_logs();
        // A client that has gone is told of by `Abort`.
        drop(to.send(with));
    }

    fn tick(&mut self) -> Result<(), HostError> {
        let now = self.node.now_ms();
        if self.worker.next_tick_due().is_some_and(|due| due <= now) {
            let calls = self.worker.run_due_ticks(now)?;
            calls.into_iter().for_each(|call| self.call(call));
        }
        Ok(())
    }

    /// What any callback may have left behind.
    fn after(&mut self) {
        for call in self.worker.take_dispatches() {
            self.call(call);
        }
        for (id, step) in self.worker.take_ready() {
            self.step(id, step);
        }
        self.hand_on_logs();
    }

    fn hand_on_logs(&mut self) {
        for line in self.worker.take_logs() {
            (self.log)(&line);
        }
    }

    fn call(&mut self, call: Dispatch) {
        if let Some(exchange) = call.exchange {
            self.calls.insert(call.token, exchange);
        }
        let (client, commands) = (self.client.clone(), self.commands.clone());
        self.runtime.spawn(async move {
            let token = call.token;
            let result = caller::call(&client, call).await;
            // Without the worker nobody waits for the answer.
            let _ = commands.send(Command::Reply { token, result });
        });
    }

    /// Starts the worker again, as nginx's master process does. Its clients see their connections closed.
    fn revive(&mut self, reason: &str) -> bool {
        self.say(LogLevel::Critical, format!("worker died, starting another: {reason}"));
        self.exchanges.clear();
        self.undecided.clear();
        self.hung.clear();
        self.calls.clear();
        match Worker::start(&self.node, &self.filter, &self.configs) {
            Ok(worker) => {
                self.worker = worker;
                self.after();
                true
            }
            Err(error) => {
                self.say(LogLevel::Critical, error.to_string());
                false
            }
        }
    }

    fn say(&self, level: LogLevel, text: String) {
        (self.log)(&LogLine { level, text });
    }
}
