//! Rooms: who is in them on this process, what was said last, and telling everybody.
//!
//! A room has one order. Alone, a process numbers what is said under the room's lock and tells it there. With Redis
//! it only passes on what Redis has numbered (`redis_link`), in the order in which that comes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use redis::{RedisError, RedisResult};
use serde_json::value::RawValue;
use wstrand::{Group, Sender};

use crate::{
    protocol::{Entry, Join, Reply},
    redis_link::{Event, Joined, REFRESH_INTERVAL, RETRY, RedisLink},
};

/// All rooms that this process has members in, or had a while ago.
pub(crate) struct Rooms {
    server: String,
    redis: Option<RedisLink>,
    is_connected: AtomicBool,
    rooms: Mutex<HashMap<String, Arc<Mutex<Room>>>>,
}

struct Room {
    /// By their names.
    members: HashMap<String, Member>,
    /// Who is told: all of them.
    group: Group,
    recent: VecDeque<Entry>,
    /// The number of what was told last; 0 where that is not known yet.
    last: u64,
    /// What each session has said last: its id, its number, when. Where there is Redis, that knows.
    said: HashMap<String, (u64, u64, Instant)>,
    here_changed: bool,
    here_told: Instant,
    used: Instant,
}

struct Member {
    session: String,
    connection: String,
    sender: Sender,
}

/// A member's place in a room, to be given back by [`Rooms::leave`].
pub(crate) struct Place {
    room_name: String,
    room: Arc<Mutex<Room>>,
    name: String,
    session: String,
    connection: String,
}

/// Why something is not done.
pub(crate) enum Refusal {
    Never(&'static str),
    /// Redis does not answer.
    Later,
}

impl Rooms {
    /// Rooms of this process alone, or shared through Redis.
    pub(crate) fn start(server: String, redis: Option<RedisLink>) -> Arc<Self> {
        let rooms = Arc::new(Self {
            server,
            is_connected: AtomicBool::new(redis.is_none()),
            redis,
            rooms: Mutex::default(),
        });
        let ticking = rooms.clone();
        thread::spawn(move || ticking.tick());
        if rooms.redis.is_some() {
            let following = rooms.clone();
            thread::spawn(move || following.follow());
        }
        rooms
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Lets somebody in and sends the welcome, with what was said after `since`.
    pub(crate) fn join(
        &self,
        join: Join,
        connection: &str,
        sender: &Sender,
    ) -> Result<Place, Refusal> {
        // From here on the room notes what Redis publishes, so that nothing falls between that and the log.
        let room = self.room(&join.room)?;
        let mut log = None;
        if let Some(redis) = &self.redis {
            match redis.join(&join.room, &join.name, &join.session, connection)? {
                Joined::Log(entries) => log = Some(entries),
                Joined::Taken => return Err(Refusal::Never(TAKEN)),
            }
        }
        let mut state = lock(&room);
        let others = state.members.get(&join.name);
        if self.redis.is_none() && others.is_some_and(|other| other.session != join.session) {
            return Err(Refusal::Never(TAKEN));
        }
        let history = state.history(log, join.since);
        let missed = join.since != 0
            && history
                .first()
                .is_some_and(|first| first.seq > join.since + 1);
        let history: Vec<Box<RawValue>> = history.into_iter().map(|entry| entry.json).collect();
        let welcome = Reply::Welcome {
            room: &join.room,
            name: &join.name,
            server: &self.server,
            connected: self.is_connected(),
            missed,
            history: &history,
        };
        // Under the room's lock: what is told next follows the history without a gap.
        if sender.try_send(welcome.to_json().as_str()).is_err() {
            // As the group does with who does not keep up.
            let _ = sender.close(1013, "too slow");
        }
        state.group.join(sender);
        let member = Member {
            session: join.session.clone(),
            connection: connection.to_owned(),
            sender: sender.clone(),
        };
        if let Some(older) = state.members.insert(join.name.clone(), member) {
            state.group.leave(&older.sender);
            let _ = older.sender.close(ELSEWHERE, "joined elsewhere");
        }
        state.here_changed = true;
        drop(state);
        Ok(Place {
            room_name: join.room,
            room,
            name: join.name,
            session: join.session,
            connection: connection.to_owned(),
        })
    }

    /// Gives up a place, unless the same session has come back to it by another connection.
    pub(crate) fn leave(&self, place: Place) {
        let mut state = lock(&place.room);
        let member = state.members.get(&place.name);
        if member.is_some_and(|member| member.connection == place.connection) {
            if let Some(member) = state.members.remove(&place.name) {
                state.group.leave(&member.sender);
            }
            state.here_changed = true;
            state.used = Instant::now();
        }
        drop(state);
        if let Some(redis) = self.redis.as_ref().filter(|_| self.is_connected()) {
            let holder = format!("{} {}", place.session, place.connection);
            // Redis forgets by itself who does not say that they are still here.
            let _ = redis.leave(&place.room_name, &place.name, &holder);
        }
    }

    /// Says something, once for each id of a session, and returns its number.
    pub(crate) fn say(&self, place: &Place, id: u64, text: &str) -> Result<u64, Refusal> {
        let tail = Entry::tail(since_epoch().as_millis() as u64, &place.name, text);
        if let Some(redis) = &self.redis {
            if !self.is_connected() {
                return Err(Refusal::Later);
            }
            return Ok(redis.say(&place.room_name, &place.session, id, &tail, KEPT)?);
        }
        let mut state = lock(&place.room);
        if let Some(&(last_id, seq, _)) = state.said.get(&place.session) {
            if last_id >= id {
                return Ok(seq);
            }
        }
        if state.last == 0 {
            // Numbers go on growing when the server is started anew.
            state.last = since_epoch().as_micros() as u64;
        }
        let seq = state.last + 1;
        let noted = (id, seq, Instant::now());
        state.said.insert(place.session.clone(), noted);
        state.tell(Entry::new(seq, &tail));
        Ok(seq)
    }

    fn room(&self, name: &str) -> Result<Arc<Mutex<Room>>, Refusal> {
        let mut rooms = self.rooms();
        if let Some(room) = rooms.get(name) {
            return Ok(room.clone());
        }
        if rooms.len() >= MAX_ROOMS {
            let unused = rooms
                .iter()
                .filter(|(_, room)| Arc::strong_count(room) == 1)
                .min_by_key(|(_, room)| lock(room).used)
                .map(|(name, _)| name.clone());
            let unused = unused.ok_or(Refusal::Never("There are too many rooms."))?;
            rooms.remove(&unused);
        }
        let room = Arc::new(Mutex::new(Room::new()));
        rooms.insert(name.to_owned(), room.clone());
        Ok(room)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<Room>>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<(String, Arc<Mutex<Room>>)> {
        let rooms = self.rooms();
        rooms
            .iter()
            .map(|(name, room)| (name.clone(), room.clone()))
            .collect()
    }

    /// Tells who is here where that has changed, and forgets what nobody uses, for ever.
    fn tick(&self) {
        let mut refreshed = Instant::now();
        loop {
            thread::sleep(TICK);
            for (name, room) in self.all() {
                self.tell_here(&name, &room);
            }
            if refreshed.elapsed() >= REFRESH_INTERVAL {
                refreshed = Instant::now();
                // If it goes on failing, no beat comes, and `follow` tells everybody.
                let _ = self.refresh();
                // A place holds its room, so a count of one says that nobody has one.
                self.rooms().retain(|_, room| {
                    let mut state = lock(room);
                    state.said.retain(|_, (_, _, when)| when.elapsed() < MEMORY);
                    Arc::strong_count(room) > 1 || state.used.elapsed() < MEMORY
                });
            }
        }
    }

    fn tell_here(&self, name: &str, room: &Mutex<Room>) {
        let mut state = lock(room);
        // Each change goes to everybody: the more there are, the longer changes are gathered.
        let pause = TICK + Duration::from_millis(state.members.len() as u64);
        if !state.here_changed || state.here_told.elapsed() < pause {
            return;
        }
        state.here_changed = false;
        state.here_told = Instant::now();
        let (count, names) = match &self.redis {
            None => {
                let mut names: Vec<String> = state.members.keys().cloned().collect();
                names.sort();
                names.truncate(HERE_NAMES);
                (state.members.len(), names)
            }
            Some(redis) => {
                drop(state);
                let here = if self.is_connected() {
                    redis.here(name).ok()
                } else {
                    None
                };
                state = lock(room);
                match here {
                    Some(here) => here,
                    None => {
                        state.here_changed = true;
                        return;
                    }
                }
            }
        };
        let names = &names;
        state.send_to_all(&Reply::Here { count, names }.to_json());
    }

    /// Says to Redis that our members are still here.
    fn refresh(&self) -> RedisResult<()> {
        let Some(redis) = self.redis.as_ref().filter(|_| self.is_connected()) else {
            return Ok(());
        };
        for (name, room) in self.all() {
            let members: Vec<_> = lock(&room)
                .members
                .iter()
                .map(|(name, member)| (name.clone(), member.holder()))
                .collect();
            let lost = redis.refresh(&name, &members)?;
            for (name, holder) in members.iter().filter(|(name, _)| lost.contains(name)) {
                let state = lock(&room);
                // It may have come back to this very process meanwhile.
                let member = state.members.get(name);
                if let Some(member) = member.filter(|member| member.holder() == *holder) {
                    let _ = member.sender.close(ELSEWHERE, "joined elsewhere");
                }
            }
        }
        redis.beat()
    }

    /// Passes on what Redis publishes, for ever.
    fn follow(&self) {
        let Some(redis) = &self.redis else { return };
        let mut is_gone = false;
        loop {
            let began = Instant::now();
            let Err(error) = redis.follow(|event| {
                match event {
                    Event::Up => {
                        self.catch_up(redis)?;
                        is_gone = false;
                    }
                    Event::Said(name, entry) => {
                        if let Some(room) = self.known(&name) {
                            lock(&room).tell(entry);
                        }
                    }
                    Event::HereChanged(name) => {
                        if let Some(room) = self.known(&name) {
                            lock(&room).here_changed = true;
                        }
                    }
                }
                Ok(())
            });
            if self.is_connected.swap(false, Ordering::Relaxed) {
                self.send_to_all(&Reply::Status { connected: false });
            }
            if !is_gone {
                is_gone = true;
                eprintln!("chat_server: Redis is gone: {error}");
            }
            thread::sleep(RETRY.saturating_sub(began.elapsed()));
        }
    }

    /// Tells what was said while we did not hear it. Fails rather than leave some of it out: then all is tried again.
    fn catch_up(&self, redis: &RedisLink) -> RedisResult<()> {
        for (name, room) in self.all() {
            let log = redis.log(&name)?;
            let mut state = lock(&room);
            state.here_changed = true;
            let is_next = |first: &Entry| first.seq <= state.last + 1;
            if state.last != 0 && !log.first().is_none_or(is_next) {
                state.send_to_all(&Reply::Missed.to_json());
            }
            for entry in log {
                state.tell(entry);
            }
        }
        eprintln!("chat_server: Redis is there");
        self.is_connected.store(true, Ordering::Relaxed);
        self.refresh()?;
        self.send_to_all(&Reply::Status { connected: true });
        Ok(())
    }

    fn known(&self, name: &str) -> Option<Arc<Mutex<Room>>> {
        self.rooms().get(name).cloned()
    }

    fn send_to_all(&self, reply: &Reply<'_>) {
        let json = reply.to_json();
        for (_, room) in self.all() {
            lock(&room).send_to_all(&json);
        }
    }
}

impl Room {
    fn new() -> Self {
        Self {
            members: HashMap::new(),
            group: Group::new(),
            recent: VecDeque::new(),
            last: 0,
            said: HashMap::new(),
            here_changed: false,
            here_told: Instant::now(),
            used: Instant::now(),
        }
    }

    /// What was told after `since`. With the log that Redis gave a moment ago, which may be older than what came here
    /// meanwhile, or newer: what has not come yet will be told like everything else.
    fn history(&mut self, log: Option<Vec<Entry>>, since: u64) -> Vec<Entry> {
        let mut history = Vec::new();
        if let Some(log) = log {
            let newest = log.last().map_or(0, |entry| entry.seq);
            if self.last == 0 {
                self.last = newest;
            }
            history.extend(log.into_iter().filter(|entry| entry.seq <= self.last));
            let meanwhile = self.recent.iter().filter(|entry| entry.seq > newest);
            history.extend(meanwhile.cloned());
        } else {
            history.extend(self.recent.iter().cloned());
        }
        history.retain(|entry| entry.seq > since);
        history
    }

    /// Tells all members, unless it was told before.
    fn tell(&mut self, entry: Entry) {
        if entry.seq <= self.last {
            return;
        }
        self.last = entry.seq;
        self.used = Instant::now();
        self.send_to_all(entry.json.get());
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
    }

    /// Waits for nobody. Who does not keep up is sent away, comes back, and gets what is missing then.
    fn send_to_all(&self, json: &str) {
        self.group.send_text(json);
    }
}

impl Member {
    /// As Redis has it.
    fn holder(&self) -> String {
        format!("{} {}", self.session, self.connection)
    }
}

impl From<RedisError> for Refusal {
    fn from(_: RedisError) -> Self {
        Self::Later
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// How many names a member is told; beyond, how many there are.
pub(crate) const HERE_NAMES: usize = 50;

/// How many messages a room keeps for those who come later.
const KEPT: usize = 100;

/// How long a room keeps them when it is empty and no other process does.
const MEMORY: Duration = Duration::from_secs(600);

const MAX_ROOMS: usize = 1000;
const TICK: Duration = Duration::from_millis(100);
const TAKEN: &str = "Somebody in this room has that name.";

/// The close code for a connection whose member has come back by another. It is of the range for applications.
const ELSEWHERE: u16 = 4001;
