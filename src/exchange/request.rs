//! What is read of a request, once.

use super::RequestContext;
use crate::catalog::Index;
use crate::host::{RequestHeaders, UnixMillis};
use crate::ownership::Callee;
use crate::tags::ClientLines;
use std::borrow::Cow;
use std::rc::Rc;

/// Longest request id that is taken over.
const MAX_ID: usize = 128;

/// The facts of a request.
pub(super) struct Request {
    /// The method, as sent.
    pub method: String,
    /// The request target, as sent: path, query and all.
    pub target: Vec<u8>,
    /// The entity that it is about, once that is known.
    pub callee: Option<Rc<Callee>>,
    /// The catalog that the caller's groups are looked up in, where the route has one that may serve.
    pub catalog: Option<Rc<Index>>,
    /// The protected header lines that the client sent.
    pub lines: ClientLines,
    /// When it came.
    pub came: UnixMillis,
}

impl Request {
    /// A request with what an answer to it needs.
    pub(super) fn bare(cx: &RequestContext<'_>) -> Self {
        let method = cx.headers.get(":method").map(|method| String::from_utf8_lossy(&method).into_owned());
        Self {
            method: method.unwrap_or_default(),
            target: cx.headers.get(":path").map(Cow::into_owned).unwrap_or_default(),
            callee: None,
            catalog: None,
            lines: ClientLines::default(),
            came: cx.now,
        }
    }

    /// A CORS preflight: what a browser sends, without a token, before the request proper (Fetch standard §3.2.2).
    pub(super) fn is_preflight(&self, headers: &dyn RequestHeaders) -> bool {
        self.method == "OPTIONS"
            && headers.get("origin").is_some()
            && headers.get("access-control-request-method").is_some()
    }

    /// The path without its query, for the audit trail.
    pub(super) fn path(&self) -> String {
        let path = self.target.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        String::from_utf8_lossy(path).into_owned()
    }
}

/// The ids of a request in other systems. They are only read for an audit line, which most requests do not get.
pub(super) struct RequestIds {
    /// The host's own id of the request, or else `x-request-id`.
    pub id: Option<String>,
    /// `x-request-id` beside the host's own id, where it is printable.
    pub sent_id: Option<String>,
    /// W3C `traceparent`, as sent.
    pub trace: Option<String>,
}

impl RequestIds {
    pub(super) fn read(cx: &RequestContext<'_>) -> Self {
        let headers = cx.headers;
        let printable = |name: &str| {
            let text = String::from_utf8(headers.get(name)?.into_owned()).ok()?;
            (!text.is_empty() && text.len() <= MAX_ID && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
        };
        let (sent, trace) = (printable("x-request-id"), printable("traceparent"));
        match cx.facts.request_id() {
            Some(own) => Self { id: Some(own.to_owned()), sent_id: sent, trace },
            None => Self { id: sent, sent_id: None, trace },
        }
    }

    /// The trace id of `traceparent` (W3C Trace Context §3.2.2.3).
    pub(super) fn trace_id(&self) -> Option<&str> {
        let id = self.trace.as_deref()?.split('-').nth(1)?;
        (id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then_some(id)
    }
}
