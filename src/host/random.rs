//! The host's randomness: WASI's `random_get`, as both hosts have it.

/// Bytes that nobody can guess; `None` where the host fails.
///
/// A function and not a trait: nothing decides by what it draws, so no test has to stand in for it.
pub fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}
