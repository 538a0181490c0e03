//! A token's claims.

/// All claims of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims;
