//! What is said over the wire, in JSON texts, and what is let through.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a member says to the server.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Request {
    Join(Join),
    /// `id` grows from one message of a session to the next. The same one again is answered again and said once.
    Say {
        id: u64,
        text: String,
    },
    Ping {
        id: u64,
    },
}

#[derive(Deserialize)]
pub(crate) struct Join {
    pub(crate) room: String,
    pub(crate) name: String,
    /// The member's own secret: who comes back with it is the same member.
    pub(crate) session: String,
    /// The last message of this room that the member has; 0 for none.
    #[serde(default)]
    pub(crate) since: u64,
}

/// What the server says to a member.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Reply<'a> {
    Welcome {
        room: &'a str,
        name: &'a str,
        /// Which server this is.
        server: &'a str,
        /// Whether messages get through to the other servers.
        connected: bool,
        /// Whether there was more after `since` than the server has kept.
        missed: bool,
        /// The messages after `since`.
        history: &'a [Box<RawValue>],
    },
    Said {
        id: u64,
        seq: u64,
    },
    /// Not now: the member is asked to send the same again after a while.
    Later {
        id: Option<u64>,
        after_ms: u64,
        why: &'a str,
    },
    /// Never: the join or the message with this id will not be taken.
    Refused {
        id: Option<u64>,
        why: &'a str,
    },
    Here {
        count: usize,
        /// The first of them in the alphabet.
        names: &'a [String],
    },
    Status {
        connected: bool,
    },
    /// There was more in the room than was kept while Redis was away.
    Missed,
    Pong {
        id: u64,
    },
}

impl Reply<'_> {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it is nothing but text and numbers")
    }
}

/// A message of a room. Its JSON is what every member gets, to the byte.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) json: Box<RawValue>,
}

impl Entry {
    pub(crate) fn new(seq: u64, tail: &str) -> Self {
        Self::parse(format!(r#"{{"type":"message","seq":{seq},{tail}"#))
            .expect("the tail ends an object")
    }

    pub(crate) fn parse(json: String) -> Option<Self> {
        #[derive(Deserialize)]
        struct Numbered {
            seq: u64,
        }
        let Numbered { seq } = serde_json::from_str(&json).ok()?;
        let json = RawValue::from_string(json).ok()?;
        Some(Self { seq, json })
    }

    /// The JSON of a message behind its number, which whoever orders the messages puts in front.
    pub(crate) fn tail(at_ms: u64, name: &str, text: &str) -> String {
        #[derive(Serialize)]
        struct Said<'a> {
            at: u64,
            name: &'a str,
            text: &'a str,
        }
        let said = Said {
            at: at_ms,
            name,
            text,
        };
        let json = serde_json::to_string(&said).expect("it is nothing but text and numbers");
        json[1..].to_owned()
    }
}

impl Join {
    /// Says what is wrong with it, if something is; takes blanks off the name.
    pub(crate) fn check(&mut self) -> Result<(), &'static str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let room = self.room.bytes();
        if !(1..=32).contains(&room.len())
            || !room
                .clone()
                .all(|byte| is_plain(byte) && !byte.is_ascii_uppercase())
        {
            return Err("A room's name is 1 to 32 of a-z, 0-9, - and _.");
        }
        if !(16..=64).contains(&self.session.len()) || !self.session.bytes().all(is_plain) {
            return Err("A session is 16 to 64 letters and digits.");
        }
        self.name = self.name.trim().to_owned();
        if !(1..=24).contains(&self.name.chars().count())
            || self.name.chars().any(|c| c.is_control() || is_invisible(c))
        {
            return Err("A name is 1 to 24 characters.");
        }
        Ok(())
    }
}

/// Says what is wrong with the text of a message, if something is; without the blanks around it.
pub(crate) fn check_text(text: &str) -> Result<&str, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("There is nothing in the message.");
    }
    if text.chars().count() > 1000 {
        return Err("A message is 1,000 characters at the most.");
    }
    // They would steer a terminal.
    if text.chars().any(|c| c.is_control() && !"\n\t".contains(c)) {
        return Err("There are control characters in the message.");
    }
    Ok(text)
}

/// Characters without a shape, or that turn the direction, with which one name can look like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
