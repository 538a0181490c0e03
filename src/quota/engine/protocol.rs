//! The script, and how Webdis carries it: arguments between slashes, each percent-encoded.

use super::bill::BillLine;
use crate::config::{Engine, Window};
use crate::host::UnixMillis;
use crate::http::{Call, Endpoint, Reply};
use crate::quota::window::Counts;
use crate::quota::{Charge, limiter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fmt::Write;

const SCRIPT: &str = include_str!("script.lua");
/// Its SHA-1, by which Redis knows it.
pub(super) const SCRIPT_SHA1: &str = "f67ef0eeb55d69462611bee36131843a2f1467c8";
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// What is encoded in a path segment. A dot is, for Webdis takes what follows the last one for a format, as in `.json`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~').remove(b':');

/// Why an engine's answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum EngineError {
    /// It did not answer, or with a status that says it cannot.
    #[error("no answer, or one of the 5xx")]
    Failed,
    /// It refuses the gateway: name, password or list of commands.
    #[error("it refuses the gateway (user, password, or its list of commands)")]
    Refused,
    /// It ran the script only after nobody waited any more, and so did nothing.
    #[error("it was too late twice")]
    Late,
    /// Its answer is not the script's.
    #[error("its answer is not the script's")]
    Unusable,
    /// It was not asked, for it failed a moment ago.
    #[error("it failed a moment ago and was not asked")]
    Open,
}

impl EngineError {
    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::Unusable => "unusable",
            Self::Open => "open",
        }
    }
}

/// Whether units are charged where there is no room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Only where all have room.
    Try,
    /// In any case: they were admitted already.
    Add,
}

/// A question to the engine.
pub(super) struct Asking {
    step: Step,
    /// Whether it was told already that it came too late.
    was_late: bool,
    /// The path up to the deadline, and what follows it.
    path: [String; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Runs the script; a script that is not there may be loaded first.
    Run,
    /// Loads it.
    Load,
    /// Runs it after it was loaded.
    RunLoaded,
}

/// What an answer leads to.
pub(super) enum Answered {
    /// Another question.
    Ask(Asking),
    /// Another question, for this one came too late by the engine's clock, which shows this time.
    Late(Asking, UnixMillis),
    /// The counts.
    Done(Result<Tally, EngineError>),
}

/// The script's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// The engine's time.
    pub now: UnixMillis,
    is_charged: bool,
    counts: Vec<Counts>,
}

impl Asking {
    pub(super) fn new(mode: Mode, lines: &[BillLine]) -> Self {
        let (mut head, mut tail) = (format!("/EVALSHA/{SCRIPT_SHA1}/{}", lines.len()), String::new());
        for line in lines {
            // Writing to a String does not fail.
            let _ = write!(head, "/{}", utf8_percent_encode(&line.shared, SEGMENT));
            let _ = write!(tail, "/{}/{}", line.units, line.windows.len());
            for window in &line.windows {
                let _ = write!(tail, "/{}/{}", window.length.as_secs(), window.limit);
            }
        }
        head.push_str(if mode == Mode::Try { "/try" } else { "/add" });
        Self { step: Step::Run, was_late: false, path: [head, tail] }
    }

    /// The call, which changes nothing once the engine's clock is past the deadline. None is known before its first answer.
    pub(super) fn call(&self, engine: &Engine, deadline: Option<UnixMillis>) -> Call {
        let path = match self.step {
            Step::Run | Step::RunLoaded => {
                let [head, tail] = &self.path;
                format!("{head}/{}{tail}", deadline.unwrap_or_default().0)
            }
            Step::Load => format!("/SCRIPT/LOAD/{}", utf8_percent_encode(SCRIPT, SEGMENT)),
        };
        let to = Endpoint { path, ..engine.endpoint.clone() };
        Call { to, authorization: engine.authorization.clone(), timeout: engine.timeout, limit: MAX_ANSWER_BYTES }
    }

    /// Takes the answer, `None` where none came.
    pub(super) fn answered(self, reply: Option<&Reply>) -> Answered {
        let body = match reply.map(|reply| reply.status) {
            Some(200) => reply.map(|reply| reply.body.as_slice()).unwrap_or_default(),
            Some(401 | 403) => return Answered::Done(Err(EngineError::Refused)),
            Some(500..) | None => return Answered::Done(Err(EngineError::Failed)),
            Some(_) => return Answered::Done(Err(EngineError::Unusable)),
        };
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.step == Step::Load {
            let is_loaded = answer.get("SCRIPT").is_some_and(|sha1| sha1 == SCRIPT_SHA1);
            return if is_loaded {
                Answered::Ask(Self { step: Step::RunLoaded, ..self })
            } else {
                Answered::Done(Err(EngineError::Unusable))
            };
        }
        let items = answer.get("EVALSHA").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match items {
            [Value::Bool(false), Value::String(why)] if why.starts_with("NOSCRIPT") && self.step == Step::Run => {
                Answered::Ask(Self { step: Step::Load, ..self })
            }
            // By what it says of its time; a clock may have been moved.
            [Value::Number(two), now] if two.as_u64() == Some(2) => match now.as_u64() {
                Some(_) if self.was_late => Answered::Done(Err(EngineError::Late)),
                Some(now) => Answered::Late(Self { was_late: true, ..self }, UnixMillis(now)),
                None => Answered::Done(Err(EngineError::Unusable)),
            },
            items => Answered::Done(Tally::read(items).ok_or(EngineError::Unusable)),
        }
    }
}

impl Tally {
    fn read(items: &[Value]) -> Option<Self> {
        let numbers: Vec<u64> = items.iter().map(Value::as_u64).collect::<Option<_>>()?;
        let (charged, now, rest) = match numbers.as_slice() {
            [charged @ (0 | 1), now, rest @ ..] => (*charged, *now, rest),
            _ => return None,
        };
        let window = |numbers: &[u64]| match numbers {
            [span, previous, current] => Some(Counts {
                span: *span,
                previous: u32::try_from(*previous).ok()?,
                current: u32::try_from(*current).ok()?,
            }),
            _ => None,
        };
        let counts = rest.chunks(3).map(window).collect::<Option<_>>()?;
        Some(Self { now: UnixMillis(now), is_charged: charged == 1, counts })
    }

    /// The counts of each line; `None` where there are not as many as were asked for.
    pub(super) fn counts(&self, lines: &[BillLine]) -> Option<Vec<Vec<(Window, Counts)>>> {
        let mut counts = self.counts.iter().copied();
        let mut of = |line: &BillLine| line.windows.iter().map(|window| Some((*window, counts.next()?))).collect();
        let all = lines.iter().map(&mut of).collect::<Option<_>>()?;
        counts.next().is_none().then_some(all)
    }

    /// What the engine made of the bill.
    pub(super) fn charge(&self, lines: &[BillLine], counts: &[Vec<(Window, Counts)>]) -> Charge {
        let states = lines.iter().zip(counts).flat_map(|(line, counts)| counts.iter().map(move |it| (line, *it)));
        let states = states
            .map(|(line, (window, counts))| {
                limiter::state(&line.policy, window, counts, line.units, self.now, self.is_charged)
            })
            .collect();
        if self.is_charged { Charge::Charged(states) } else { Charge::Exhausted(states) }
    }
}
