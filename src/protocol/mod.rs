//! The WebSocket protocol without input or output (RFC 6455, sections 5 to 8).
mod error;
pub use error::ProtocolError;
