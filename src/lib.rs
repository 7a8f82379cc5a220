//! Larder.
#![allow(missing_docs)]
pub mod base;
pub mod command;
pub mod config;
pub mod exec;
pub mod net;
pub mod observe;
pub mod protocol;
pub mod server;
pub mod store;
pub mod types;
