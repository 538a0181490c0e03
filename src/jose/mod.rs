//! JSON Web Keys and signatures.

/// A parsed key set.
pub struct KeySet;
