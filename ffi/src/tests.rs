//! The exports, called as C calls them.
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "here they are C programs, written in Rust"
)]

mod events;
mod lifetimes;
mod misuse;
mod peers;
