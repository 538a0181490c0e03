//! Names of claims.

/// Names a claim: the exact key first, then, when it starts with `/`, a JSON Pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimName(pub String);
