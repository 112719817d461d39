//! x
#![forbid(unsafe_code)]
mod error;
mod protocol;
pub use error::*;
pub use protocol::ProtocolError;
