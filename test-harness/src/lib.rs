//! What stands in for the real hosts in tests and on a laptop.

pub mod lab;
