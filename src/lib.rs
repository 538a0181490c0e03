//! Backstage's catalog in Kong's request path.
#![deny(unsafe_code)]

pub mod entity;
