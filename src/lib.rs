//! Larder.
#![allow(missing_docs)]
pub mod base;
pub mod config;
pub mod protocol;
pub mod types;
pub mod store;
pub mod exec;
pub mod command;
