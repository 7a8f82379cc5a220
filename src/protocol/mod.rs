//! The wire: what a client's bytes mean, and how replies are written.
//!
//! **Invariant:** knows neither keys nor commands. `reply` is the only place
//! that tells RESP2 from RESP3, `error` holds every error that a client sees.

pub mod error;
pub mod feed;
pub mod output;
pub mod parse;
pub mod reply;
pub mod request;
