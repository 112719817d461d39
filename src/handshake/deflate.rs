//! The negotiation of permessage-deflate (RFC 7692, sections 5 and 7.1), both roles.

use core::fmt;

use super::extensions::Extension;
use crate::error::{HandshakeError, HeaderProblem, Misuse};

/// How messages are compressed, if the peer agrees (permessage-deflate, RFC 7692).
///
/// Set by [`Options::deflate`](crate::Options::deflate). The parameters are named as in section 7.1 of the RFC,
/// and mean the same in both roles: a client asks for what a server grants.
///
/// Compressing takes 370 KiB of memory for a connection that has sent a message, decompressing 47 KiB
/// once it has received one. Both are given back after each message where no context is taken over, at the
/// price of a worse ratio for short messages: right for servers with many connections that are mostly idle.
///
/// Where a message mixes a secret with what an attacker chooses, its length after compression tells about
/// the secret (CRIME, BREACH): send such messages by
/// [`Sender::send_uncompressed`](crate::Sender::send_uncompressed), or
/// [prepared to go uncompressed](crate::PreparedMessage::uncompressed).
///
/// ```
/// let mut deflate = wstrand::Deflate::new();
/// deflate.server_no_context_takeover(true);
/// let mut options = wstrand::Options::new();
/// options.deflate(Some(deflate));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    pub(crate) level: u32,
    pub(crate) threshold_bytes: usize,
    server: Direction,
    client: Direction,
}

/// How one end compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) no_context_takeover: bool,
    /// 8 to 15.
    pub(crate) max_window_bits: u8,
}

/// What both ends have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) server: Direction,
    pub(crate) client: Direction,
    /// Whether the server's answer states the windows.
    states_server_window: bool,
    states_client_window: bool,
}

impl Deflate {
    /// The defaults: level 1, messages of 64 bytes or more, full windows, context taken over.
    pub fn new() -> Self {
        let full = Direction {
            no_context_takeover: false,
            max_window_bits: 15,
        };
        Self {
            level: 1,
            threshold_bytes: 64,
            server: full,
            client: full,
        }
    }

    /// Sets how hard to compress, from 0, which only stores, to 9. 1 by default: it is several times as fast
    /// as the levels above, and with the context taken over compresses nearly as well.
    pub fn level(&mut self, level: u32) -> &mut Self {
        self.level = level;
        self
    }

    /// Sets the length from which on messages are compressed; shorter ones go as they are. 64 bytes by default.
    /// A message that is sent in fragments is always compressed.
    pub fn threshold_bytes(&mut self, bytes: usize) -> &mut Self {
        self.threshold_bytes = bytes;
        self
    }

    /// Has the server compress each message on its own. A server does so, a client asks for it, and goes
    /// without compression if the server will not. Off by default; a server does it for any client that asks.
    pub fn server_no_context_takeover(&mut self, on: bool) -> &mut Self {
        self.server.no_context_takeover = on;
        self
    }

    /// Has the client compress each message on its own. A client does so, a server demands it. Off by
    /// default; a client does it for any server that demands it.
    pub fn client_no_context_takeover(&mut self, on: bool) -> &mut Self {
        self.client.no_context_takeover = on;
        self
    }

    /// Limits the window that the server compresses with, to 2 to the power of 8–15 bytes. A client asks for
    /// it, and goes without compression if the server will not. 15 by default.
    pub fn server_max_window_bits(&mut self, bits: u8) -> &mut Self {
        self.server.max_window_bits = bits;
        self
    }

    /// Limits the window that the client compresses with, to 2 to the power of 8–15 bytes. A server demands
    /// it of those clients that say they can. 15 by default.
    pub fn client_max_window_bits(&mut self, bits: u8) -> &mut Self {
        self.client.max_window_bits = bits;
        self
    }

    /// Says which value is out of range, if one is.
    pub(crate) fn check(&self) -> Result<(), Misuse> {
        if self.level > 9 {
            return Err(Misuse::Option("the level of compression is 0 to 9"));
        }
        let is_window = |side: &Direction| WINDOW_BITS.contains(&side.max_window_bits);
        if !is_window(&self.server) || !is_window(&self.client) {
            return Err(Misuse::Option("max_window_bits is 8 to 15"));
        }
        Ok(())
    }

    /// A client's offer: the value of Sec-WebSocket-Extensions.
    pub(crate) fn offer(&self) -> String {
        let mut offer = NAME.to_owned();
        self.server
            .write(&mut offer, SERVER, self.server.max_window_bits < FULL);
        if self.client.no_context_takeover {
            offer.push_str("; ");
            offer.push_str(CLIENT.no_context_takeover);
        }
        // Without a value it says that the server may limit our window.
        offer.push_str("; ");
        offer.push_str(CLIENT.max_window_bits);
        if self.client.max_window_bits < FULL {
            offer.push_str(&format!("={}", self.client.max_window_bits));
        }
        offer
    }

    /// A server's choice: the first offer that it can accept. An offer that it does not understand, or cannot
    /// accept, it declines (RFC 7692, section 7.1), which fails nothing.
    pub(crate) fn choose(&self, offers: &[Extension]) -> Option<Agreed> {
        offers
            .iter()
            .filter(|offer| is_ours(offer))
            .find_map(|offer| {
                let offered = Parameters::read(offer)?;
                let agreed = |own: Direction, no_takeover: bool, bits: Option<u8>| Direction {
                    no_context_takeover: own.no_context_takeover || no_takeover,
                    max_window_bits: own.max_window_bits.min(bits.unwrap_or(FULL)),
                };
                let server = agreed(
                    self.server,
                    offered.server_no_context_takeover,
                    offered.server_max_window_bits.flatten(),
                );
                // The window of a client that did not say so cannot be limited (section 7.1.2.2). Nothing
                // depends on it: we decompress with a full one.
                let client = Direction {
                    max_window_bits: match offered.client_max_window_bits {
                        None => FULL,
                        Some(bits) => self.client.max_window_bits.min(bits.unwrap_or(FULL)),
                    },
                    ..agreed(self.client, offered.client_no_context_takeover, None)
                };
                Some(Agreed {
                    server,
                    client,
                    // A client that asks for a window has to be told of it, a full one too (section 7.1.2.1).
                    states_server_window: offered.server_max_window_bits.is_some()
                        || server.max_window_bits < FULL,
                    states_client_window: client.max_window_bits < FULL,
                })
                // A parameter of the server's needs its value in an offer (section 7.1.2.1).
                .filter(|_| offered.server_max_window_bits != Some(None))
            })
    }

    /// A client's judgement of what the server chose, `None` if it chose nothing.
    ///
    /// # Errors
    ///
    /// The choice is not one of what was offered, which fails the connection (RFC 7692, section 7.1).
    pub(crate) fn judge(&self, chosen: &[Extension]) -> Result<Option<Agreed>, HandshakeError> {
        let wrong = || HandshakeError::Header {
            name: "sec-websocket-extensions",
            problem: HeaderProblem::Wrong,
        };
        let [chosen] = chosen else {
            return match chosen.iter().find(|chosen| !is_ours(chosen)) {
                Some(other) => Err(HandshakeError::Extension(other.name.clone())),
                None if chosen.is_empty() => Ok(None),
                None => Err(wrong()),
            };
        };
        if !is_ours(chosen) {
            return Err(HandshakeError::Extension(chosen.name.clone()));
        }
        let granted = Parameters::read(chosen).ok_or_else(wrong)?;
        // In an answer both windows need their value.
        let (Some(server_bits), Some(client_bits)) = (
            granted
                .server_max_window_bits
                .map_or(Some(FULL), |bits| bits),
            granted
                .client_max_window_bits
                .map_or(Some(FULL), |bits| bits),
        ) else {
            return Err(wrong());
        };
        let is_less = self.server.no_context_takeover && !granted.server_no_context_takeover
            || server_bits > self.server.max_window_bits
            || granted.client_max_window_bits.is_some()
                && client_bits > self.client.max_window_bits;
        if is_less {
            return Err(wrong());
        }
        Ok(Some(Agreed {
            server: Direction {
                no_context_takeover: granted.server_no_context_takeover,
                max_window_bits: server_bits,
            },
            client: Direction {
                no_context_takeover: self.client.no_context_takeover
                    || granted.client_no_context_takeover,
                max_window_bits: client_bits.min(self.client.max_window_bits),
            },
            states_server_window: granted.server_max_window_bits.is_some(),
            states_client_window: granted.client_max_window_bits.is_some(),
        }))
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

/// As in a server's answer.
impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut answer = NAME.to_owned();
        self.server
            .write(&mut answer, SERVER, self.states_server_window);
        self.client
            .write(&mut answer, CLIENT, self.states_client_window);
        f.write_str(&answer)
    }
}

impl Direction {
    /// Appends the parameters, the window only where it is to be stated.
    fn write(&self, out: &mut String, names: Names, states_window: bool) {
        if self.no_context_takeover {
            out.push_str("; ");
            out.push_str(names.no_context_takeover);
        }
        if states_window {
            out.push_str(&format!(
                "; {}={}",
                names.max_window_bits, self.max_window_bits
            ));
        }
    }
}

/// The parameters of an offer or an answer. A window is absent, without a value, or with one.
#[derive(Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<Option<u8>>,
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` if a parameter is unknown, is there twice, or has a value that it may not have.
    fn read(extension: &Extension) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            match name.as_str() {
                "server_no_context_takeover" => flag(&mut read.server_no_context_takeover, value)?,
                "client_no_context_takeover" => flag(&mut read.client_no_context_takeover, value)?,
                "server_max_window_bits" => window(&mut read.server_max_window_bits, value)?,
                "client_max_window_bits" => window(&mut read.client_max_window_bits, value)?,
                _ => return None,
            }
        }
        Some(read)
    }
}

fn flag(flag: &mut bool, value: Option<&str>) -> Option<()> {
    let was_set = std::mem::replace(flag, true);
    (!was_set && value.is_none()).then_some(())
}

/// "A decimal integer value without leading zeroes between 8 to 15 inclusive" (RFC 7692, section 7.1.2.1).
fn window(window: &mut Option<Option<u8>>, value: Option<&str>) -> Option<()> {
    let bits = match value {
        None => None,
        Some(digits) => Some(
            WINDOW_BITS
                .into_iter()
                .find(|bits| bits.to_string() == digits)?,
        ),
    };
    window.replace(bits).is_none().then_some(())
}

fn is_ours(extension: &Extension) -> bool {
    extension.name == NAME
}

#[derive(Clone, Copy)]
struct Names {
    no_context_takeover: &'static str,
    max_window_bits: &'static str,
}

const SERVER: Names = Names {
    no_context_takeover: "server_no_context_takeover",
    max_window_bits: "server_max_window_bits",
};

const CLIENT: Names = Names {
    no_context_takeover: "client_no_context_takeover",
    max_window_bits: "client_max_window_bits",
};

const NAME: &str = "permessage-deflate";

/// Base-2 logarithms of the windows that there are.
const WINDOW_BITS: [u8; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

/// The largest window, which is the default.
const FULL: u8 = 15;

#[cfg(test)]
mod tests;
