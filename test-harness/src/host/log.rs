//! Log lines, as far as the host lets them through.

/// nginx formats a line into 2,048 bytes, of which its own prefix takes some.
pub(crate) const NGINX_LOG_LINE: usize = 2000;

/// Severity of a [`LogLine`], in the order of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Finest.
    Trace,
    /// For developers.
    Debug,
    /// Nothing is wrong.
    Info,
    /// Something may be.
    Warn,
    /// Something is.
    Error,
    /// The host or the filter cannot work.
    Critical,
}

impl LogLevel {
    pub(crate) fn from_abi(level: u32) -> Option<Self> {
        Some(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }
}

/// One line of the host's log: the filter's own, or the host's about the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Severity.
    pub level: LogLevel,
    /// The text, cut where the host would cut it.
    pub text: String,
}
