//! What a worker can fail with, as opposed to what a filter can do to a request (that is a [`Step`](crate::Step)).

use super::ExchangeId;

/// A call into a [`Worker`](crate::Worker) that could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The worker process is dead; real clients would see reset connections. Start another.
    #[error("the worker died: {reason}")]
    WorkerDied {
        /// What killed it.
        reason: String,
    },
    /// No exchange of that id is open.
    #[error("no open exchange {0:?}")]
    UnknownExchange(ExchangeId),
    /// No configuration is attached to that route.
    #[error("no configuration on route {0:?}")]
    UnknownRoute(String),
    /// The exchange is not at the stage the call belongs to.
    #[error("exchange {exchange:?} cannot {operation} at this stage")]
    WrongStage {
        /// The exchange.
        exchange: ExchangeId,
        /// What was asked of it.
        operation: &'static str,
    },
}

/// Why a [`Worker`](crate::Worker) could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The module imports something the host lacks, or with another signature.
    #[error("the host cannot link the module: {0}")]
    Link(String),
    /// The module exports no `malloc` or `proxy_on_memory_allocate`, no ABI version, or no life-cycle callbacks.
    #[error("the module lacks the export {0}")]
    MissingExport(&'static str),
    /// The module trapped while it was being initialised.
    #[error("the module trapped at start: {0}")]
    Trapped(String),
}
