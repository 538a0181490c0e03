//! A proxy-wasm host on wasmtime that behaves like Kong's or Envoy's.

pub mod envoy;
