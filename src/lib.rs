//! Larder.
#![allow(missing_docs)]
pub mod base;
pub mod command;
pub mod config;
pub mod exec;
pub mod protocol;
pub mod store;
pub mod types;
