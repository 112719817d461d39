//! The C ABI of `wstrand`. What C programmers read is include/wstrand.h, made from the comments here:
//! their order is that of the modules below.
//!
//! Every export follows one pattern. Its body runs in [`guard`], which keeps panics from C and turns
//! failures into codes; `arguments` turns C's pointers into references, and is where they are checked;
//! what remains is a call of the Rust API. `gate` decides when callbacks may run.
#![allow(
    non_camel_case_types,
    reason = "types have the names that C programmers see"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the doc comments are for C; the preface of the header states the contract of every function"
)]

// What is public is in the header, in this order. (Blank lines keep rustfmt from sorting it.)
pub mod version;

pub mod status;

pub mod error;

pub mod options;

pub mod options_deflate;

pub mod options_dial;

pub mod options_tls;

pub mod options_reconnect;

pub mod cancel;

pub mod handler;

pub mod connect;

pub mod send;

pub mod receive;

pub mod dispatch;

pub mod closing;

pub mod connection;

pub mod writer;

pub mod prepared;

pub mod group;

pub mod reconnect;

pub mod attempt;

pub mod down;

pub mod server;

pub mod stats;

pub mod request;

pub mod response;

pub mod logging;

pub mod userdata;

mod arguments;
mod events;
mod fork;
mod gate;
mod guard;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod sync;
mod text;
#[path = "../../src/threads.rs"]
mod threads;

#[cfg(test)]
mod tests;
