//! Rooms that several processes share, through Redis.
//!
//! Redis orders the messages of a room, keeps the last of them, knows who is here, and carries all of it from process to
//! process. Each step is a script, which Redis runs as a whole: so the numbers, the log and what is published have one
//! order. A room's keys begin with `chat:{ROOM}:`, the braces keep them on one node of a cluster.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{Client, Connection, ErrorKind, RedisResult, Script, pipe};

use crate::{protocol::Entry, rooms::HERE_NAMES};

/// The commands to Redis. Any thread may call them; each takes a round trip, or fails after a second or two.
pub(crate) struct RedisLink {
    client: Client,
    commands: Mutex<Commands>,
    join: Script,
    leave: Script,
    refresh: Script,
    say: Script,
}

/// One connection for all commands, made anew where it has failed.
#[derive(Default)]
struct Commands {
    connection: Option<Connection>,
    failed_at: Option<Instant>,
}

/// What the other processes are up to, or we ourselves: it comes the same way.
pub(crate) enum Event {
    /// Redis is there, and everything from now on will be told.
    Up,
    Said(String, Entry),
    /// Somebody came or went.
    HereChanged(String),
}

/// A room as it was when somebody joined.
pub(crate) enum Joined {
    Log(Vec<Entry>),
    /// Another session has this name.
    Taken,
}

impl RedisLink {
    /// Does not connect yet.
    pub(crate) fn new(url: &str) -> RedisResult<Self> {
        Ok(Self {
            client: Client::open(url)?,
            commands: Mutex::default(),
            join: Script::new(&[SWEEP, JOIN].concat()),
            leave: Script::new(LEAVE),
            refresh: Script::new(&[SWEEP, REFRESH].concat()),
            say: Script::new(SAY),
        })
    }

    /// Takes a name in a room, and tells what was said there last.
    pub(crate) fn join(
        &self,
        room: &str,
        name: &str,
        session: &str,
        connection: &str,
    ) -> RedisResult<Joined> {
        let log: Option<Vec<String>> = self.command(|redis| {
            self.join
                .key(key(room, "here"))
                .key(key(room, "holders"))
                .key(key(room, "log"))
                .arg(PRESENCE.as_millis() as u64)
                .arg(channel(room))
                .arg(name)
                .arg(session)
                .arg(connection)
                .invoke(redis)
        })?;
        Ok(log.map_or(Joined::Taken, |log| Joined::Log(entries(log))))
    }

    /// Gives a name back, if this connection still has it.
    pub(crate) fn leave(&self, room: &str, name: &str, holder: &str) -> RedisResult<()> {
        self.command(|redis| {
            self.leave
                .key(key(room, "here"))
                .key(key(room, "holders"))
                .arg(channel(room))
                .arg(name)
                .arg(holder)
                .invoke(redis)
        })
    }

    /// Says that these members, each a name and its holder, are still here. Returns the names that others have by now.
    pub(crate) fn refresh(
        &self,
        room: &str,
        members: &[(String, String)],
    ) -> RedisResult<Vec<String>> {
        let mut lost = Vec::new();
        // Redis does nothing else while a script runs.
        for members in members.chunks(500) {
            lost.extend(self.command(|redis| {
                let mut call = self.refresh.prepare_invoke();
                call.key(key(room, "here"))
                    .key(key(room, "holders"))
                    .arg(PRESENCE.as_millis() as u64)
                    .arg(channel(room));
                for (name, holder) in members {
                    call.arg(name).arg(holder);
                }
                call.invoke::<Vec<String>>(redis)
            })?);
        }
        Ok(lost)
    }

    /// How many are in the room, on all processes, and the first names in the alphabet.
    pub(crate) fn here(&self, room: &str) -> RedisResult<(usize, Vec<String>)> {
        self.command(|redis| {
            pipe()
                .zcard(key(room, "here"))
                .cmd("SORT")
                .arg(key(room, "here"))
                .arg("ALPHA")
                .arg("LIMIT")
                .arg(0)
                .arg(HERE_NAMES)
                .query(redis)
        })
    }

    /// Says something in a room, once for each id, and returns its number. It comes back as an event.
    pub(crate) fn say(
        &self,
        room: &str,
        session: &str,
        id: u64,
        tail: &str,
        kept: usize,
    ) -> RedisResult<u64> {
        self.command(|redis| {
            self.say
                .key(key(room, "seq"))
                .key(key(room, "log"))
                .key(key(room, &format!("said:{session}")))
                .arg(id)
                .arg(tail)
                .arg(kept)
                .arg(channel(room))
                .invoke(redis)
        })
    }

    /// What was said last in a room.
    pub(crate) fn log(&self, room: &str) -> RedisResult<Vec<Entry>> {
        let log = self.command(|redis| {
            redis::cmd("LRANGE")
                .arg(key(room, "log"))
                .arg(0)
                .arg(-1)
                .query(redis)
        })?;
        Ok(entries(log))
    }

    /// Publishes nothing, so that [`Self::follow`] sees that Redis is alive.
    pub(crate) fn beat(&self) -> RedisResult<()> {
        self.command(|redis| redis::cmd("PUBLISH").arg(channel("")).arg("").query(redis))
    }

    /// Tells of everything that happens in all rooms, on this thread, until Redis is gone or `tell` fails.
    pub(crate) fn follow(
        &self,
        mut tell: impl FnMut(Event) -> RedisResult<()>,
    ) -> RedisResult<Infallible> {
        let mut connection = self.client.get_connection_with_timeout(CONNECT)?;
        connection.set_read_timeout(Some(SILENCE))?;
        let mut subscribed = connection.as_pubsub();
        subscribed.psubscribe(channel("*"))?;
        tell(Event::Up)?;
        loop {
            let message = subscribed.get_message()?;
            let room = message.get_channel_name()[CHANNEL.len()..].to_owned();
            let payload: String = message.get_payload()?;
            if room.is_empty() {
                continue;
            }
            if payload.is_empty() {
                tell(Event::HereChanged(room))?;
            } else if let Some(entry) = Entry::parse(payload) {
                tell(Event::Said(room, entry))?;
            }
        }
    }

    fn command<T>(&self, ask: impl FnOnce(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has waited for the lock while Redis did not answer is not to wait as long once more.
        if commands.failed_at.is_some_and(|at| at.elapsed() < RETRY) {
            return Err((ErrorKind::Client, "Redis has failed a moment ago").into());
        }
        // After any failure, an answer might still be on its way that the next caller would take for its own.
        let result = match commands.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connect(),
        }
        .and_then(|mut connection| Ok((ask(&mut connection)?, connection)));
        match result {
            Ok((answer, connection)) => {
                commands.connection = Some(connection);
                Ok(answer)
            }
            Err(error) => {
                commands.failed_at = Some(Instant::now());
                eprintln!("chat_server: Redis: {error}");
                Err(error)
            }
        }
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(CONNECT)?;
        connection.set_read_timeout(Some(ANSWER))?;
        connection.set_write_timeout(Some(ANSWER))?;
        Ok(connection)
    }
}

fn entries(log: Vec<String>) -> Vec<Entry> {
    log.into_iter().filter_map(Entry::parse).collect()
}

fn key(room: &str, what: &str) -> String {
    format!("chat:{{{room}}}:{what}")
}

fn channel(room: &str) -> String {
    format!("{CHANNEL}{room}")
}

const CHANNEL: &str = "chat:";

/// How long a name is kept for a process that says nothing any more.
const PRESENCE: Duration = Duration::from_secs(6);

/// A third of [`PRESENCE`], so that one lost beat takes nobody's name.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(1);

/// How long Redis is left alone after a failure.
pub(crate) const RETRY: Duration = Duration::from_millis(250);

/// Longer than two beats.
const SILENCE: Duration = Duration::from_secs(5);

/// Takes the names of those who are gone without a word. KEYS: here, holders. ARGV: how long a name is kept, the channel.
const SWEEP: &str = "
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local changed = false
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
        redis.call('ZREM', KEYS[1], gone)
        redis.call('HDEL', KEYS[2], gone)
        changed = true
    end
    local function keep(name, holder)
        changed = redis.call('HSET', KEYS[2], name, holder) == 1 or changed
        redis.call('ZADD', KEYS[1], now + ARGV[1], name)
    end
";

const JOIN: &str = "
    local holder = redis.call('HGET', KEYS[2], ARGV[3])
    local taken = holder and holder:match('^%S+') ~= ARGV[4]
    if not taken then keep(ARGV[3], ARGV[4] .. ' ' .. ARGV[5]) end
    if changed then redis.call('PUBLISH', ARGV[2], '') end
    if taken then return false end
    return redis.call('LRANGE', KEYS[3], 0, -1)
";

const REFRESH: &str = "
    local lost = {}
    for i = 3, #ARGV, 2 do
        local holder = redis.call('HGET', KEYS[2], ARGV[i])
        if not holder or holder == ARGV[i + 1] then keep(ARGV[i], ARGV[i + 1]) else lost[#lost + 1] = ARGV[i] end
    end
    if changed then redis.call('PUBLISH', ARGV[2], '') end
    return lost
";

const LEAVE: &str = "
    if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then
        redis.call('HDEL', KEYS[2], ARGV[2])
        redis.call('ZREM', KEYS[1], ARGV[2])
        redis.call('PUBLISH', ARGV[1], '')
    end
";

/// The first number of a room is the time in microseconds, so that the numbers go on growing where Redis has lost what it
/// knew. They stay text here: a number in Lua would lose digits when printed.
const SAY: &str = "
    local said = redis.call('GET', KEYS[3])
    if said then
        local id, seq = said:match('^(%d+) (%d+)$')
        if tonumber(id) >= tonumber(ARGV[1]) then return seq end
    end
    if redis.call('EXISTS', KEYS[1]) == 0 then
        local time = redis.call('TIME')
        redis.call('SET', KEYS[1], time[1] .. string.format('%06d', time[2]))
    end
    redis.call('INCR', KEYS[1])
    local seq = redis.call('GET', KEYS[1])
    local entry = '{\"type\":\"message\",\"seq\":' .. seq .. ',' .. ARGV[2]
    redis.call('RPUSH', KEYS[2], entry)
    redis.call('LTRIM', KEYS[2], -ARGV[3], -1)
    redis.call('EXPIRE', KEYS[1], 86400)
    redis.call('EXPIRE', KEYS[2], 86400)
    redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. seq, 'EX', 600)
    redis.call('PUBLISH', ARGV[4], entry)
    return seq
";
