//! The exports, called as C calls them.
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "here they are C programs, written in Rust"
)]

mod lending;
mod misuse;
pub(crate) mod shortage;

// miri has no sockets.
#[cfg(not(miri))]
mod events;
#[cfg(not(miri))]
mod lifetimes;
#[cfg(not(miri))]
mod peers;
#[cfg(not(miri))]
mod reconnecting;
