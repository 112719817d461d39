//! Connections that are sent the same messages.
//!
//! A message is put into every member's outbox under the group's lock, so that all members get the messages in one
//! order, and written when the lock is free again: by the thread that sends, or for many members by a thread that lives
//! for as long as there is something to write. What is sent meanwhile goes out together.
//!
//! Locks are taken in one order: the group's, then a connection's. So what takes a connection out of its groups
//! runs when its own lock is free.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, PoisonError, Weak},
};

use crate::{
    Message, PreparedMessage, Sender,
    connection::{
        prepared::{Frames, Framing, Prepared},
        shared::Shared,
    },
    net::socket::Wait,
    protocol::{CloseFrame, close::code},
    sync::{Mutex, MutexGuard, spawn},
};

/// Connections that are sent the same messages: a room, a channel, the subscribers of a topic.
///
/// A connection joins with its [`Sender`], and is in any number of groups at once. It leaves by [`Self::leave`], or by
/// itself as soon as nothing can be sent on it any more: when either side has sent Close, or it has failed. From then on
/// neither holds anything of the other. The group keeps no connection open, and dropping it closes none.
///
/// Cloning gives another handle to the same group. All methods may be called from any number of threads at once, inside
/// callbacks too. None of them blocks on a member.
///
/// # Sending
///
/// A message is framed once, and compressed once for all members that compress alike, as a [`PreparedMessage`] is; one of
/// 32 KiB or more is not even copied, but shared by all that still have to write it. (A client's connection masks every
/// frame with a key of its own, so there it is framed anew.) Each member's socket is given what it takes at once, by the
/// calling thread, or for 32 members or more and short messages by a thread of the group's, which gathers what is sent
/// meanwhile. What a socket does not take waits, for up to `max_buffered_bytes` a member, and is sent in the background,
/// together with what is queued behind it, also where nobody receives on that connection; if the socket does not take 64 KiB
/// of it, or all, within `send_timeout`, the connection fails. Both are set by [`Options`](crate::Options) of the member's own.
///
/// All members get the messages of a group in the same order, however many threads send. Towards what is sent on a
/// connection by itself the order is that of the calls. A message that is sent while another is being streamed on a
/// connection ([`Sender::writer`]) goes out there behind it.
///
/// # A member that does not keep up
///
/// When the bound is reached, [`Self::overflow`] decides: such a member is closed, or misses messages. The others notice
/// nothing of it.
///
/// ```no_run
/// use wstrand::{Group, Message, Sender, Server, WebSocket};
///
/// let room = Group::new();
/// let server = Server::bind("127.0.0.1:9001")?;
/// server.run(move |ws: WebSocket| {
///     let room = room.clone();
///     room.join(&ws.sender());
///     ws.run(move |sender: &Sender, message: Message<'_>| {
///         room.send_except(sender, message);
///     });
/// })?;
/// # Ok::<(), wstrand::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Group {
    members: Arc<Members>,
}

/// What becomes of a member of a [`Group`] that has no room for a message, because its peer reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// It is closed with code 1013 and the reason "too slow", and leaves the group. The default: a member gets all
    /// messages, or learns that it does not; and what waits for it is freed, after `close_timeout` at the latest.
    #[default]
    Close,
    /// It misses this message, without being told, and stays: for messages that the next one supersedes.
    /// [`Group::dropped`] counts them.
    Drop,
}

/// What the handles of a group share.
#[derive(Default)]
pub(super) struct Members {
    list: Mutex<List>,
}

struct List {
    /// By the connection's address, which is its own for as long as it is in here.
    connections: HashMap<usize, Member>,
    overflow: Overflow,
    dropped: u64,
    /// A thread writes what is unwritten, and looks again before it ends.
    has_writer: bool,
    /// What was enqueued since somebody last began to write, for a member at the most.
    unwritten_bytes: usize,
    /// So much of it may be left to the writer.
    most_unwritten: usize,
}

struct Member {
    shared: Arc<Shared>,
    /// Kept here, where it is at hand when a message goes to thousands.
    framing: Framing,
    /// Something was put into its outbox that nobody but the group is sure to write.
    is_unwritten: bool,
}

impl Default for List {
    fn default() -> Self {
        Self {
            connections: HashMap::new(),
            overflow: Overflow::default(),
            dropped: 0,
            has_writer: false,
            unwritten_bytes: 0,
            most_unwritten: MOST_UNWRITTEN,
        }
    }
}

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what becomes of a member that does not keep up, from now on. [`Overflow::Close`] by default.
    pub fn overflow(&self, policy: Overflow) -> &Self {
        self.members.lock().overflow = policy;
        self
    }

    /// Adds a connection: it gets the messages that are sent from now on. Returns `false`, and does nothing, if it is in
    /// the group already, or no longer open.
    pub fn join(&self, sender: &Sender) -> bool {
        let shared = sender.shared();
        let mut list = self.members.lock();
        let mut state = shared.lock();
        if state.check_open().is_err() || list.connections.contains_key(&key(shared)) {
            return false;
        }
        state.groups.push(Arc::downgrade(&self.members));
        let member = Member {
            shared: shared.clone(),
            framing: Framing::of(shared),
            is_unwritten: false,
        };
        // A small part of the smallest bound, so that it still says who is slow.
        let most = shared.options.max_buffered_bytes / 4;
        list.most_unwritten = list.most_unwritten.min(most);
        list.connections.insert(key(shared), member);
        true
    }

    /// Removes a connection. What was sent to it before still goes out; what is sent from now on does not. Returns
    /// `false` if it was not in the group, as after it was closed.
    pub fn leave(&self, sender: &Sender) -> bool {
        let shared = sender.shared();
        let mut list = self.members.lock();
        let Some(member) = list.connections.remove(&key(shared)) else {
            return false;
        };
        self.members.be_left_by(shared);
        drop(list);
        if member.is_unwritten {
            // An error is kept by the connection.
            let _ = shared.flush(Wait::Never);
        }
        true
    }

    /// Whether the connection is in the group.
    pub fn contains(&self, sender: &Sender) -> bool {
        let list = self.members.lock();
        list.connections.contains_key(&key(sender.shared()))
    }

    /// How many connections are in the group.
    pub fn len(&self) -> usize {
        self.members.lock().connections.len()
    }

    /// Whether no connection is in the group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages members have missed, each counted for each of them, under [`Overflow::Drop`] or for want of
    /// memory.
    pub fn dropped(&self) -> u64 {
        self.members.lock().dropped
    }

    /// Sends a text message to all members. As [`Self::send`].
    pub fn send_text(&self, text: &str) -> usize {
        self.send(text)
    }

    /// Sends a binary message to all members. As [`Self::send`].
    pub fn send_binary(&self, bytes: &[u8]) -> usize {
        self.send(bytes)
    }

    /// Sends a message to all members: a [`Message`], `&str` (text), `&[u8]` (binary). Returns for how many it was
    /// written or queued.
    ///
    /// Never blocks on a member: see [`Group`]. Inside a callback, the connection whose callback it is gathers the
    /// message as [`Sender::send_text`] says. A member for which there is no memory is treated as one that does not keep
    /// up. What must not be compressed goes by [`Self::send_prepared`].
    pub fn send<'a>(&self, message: impl Into<Message<'a>>) -> usize {
        let frames = Frames::default();
        self.send_to_all_but(None, Prepared::new(message.into(), &frames))
    }

    /// Sends a message to all members but one, which need not be a member. As [`Self::send`].
    pub fn send_except<'a>(&self, except: &Sender, message: impl Into<Message<'a>>) -> usize {
        let frames = Frames::default();
        self.send_to_all_but(Some(except), Prepared::new(message.into(), &frames))
    }

    /// Sends a message that the program has prepared: for several groups, or
    /// [to go uncompressed](PreparedMessage::uncompressed). As [`Self::send`].
    pub fn send_prepared(&self, message: &PreparedMessage) -> usize {
        self.send_to_all_but(None, message.prepared())
    }

    /// Sends a prepared message to all members but one, which need not be a member. As [`Self::send`].
    pub fn send_prepared_except(&self, except: &Sender, message: &PreparedMessage) -> usize {
        self.send_to_all_but(Some(except), message.prepared())
    }

    fn send_to_all_but(&self, except: Option<&Sender>, message: Prepared<'_>) -> usize {
        let len = message.len();
        let except = except.map(|sender| key(sender.shared()));
        let mut list = self.members.lock();
        if list.unwritten_bytes.saturating_add(len) > list.most_unwritten {
            // Nobody is too slow before its socket has been asked.
            list = self.members.write(list);
        }
        let mut queued = 0;
        let mut unwritten = 0;
        let mut dropped = 0;
        let mut slow = Vec::new();
        let overflow = list.overflow;
        for (key, member) in &mut list.connections {
            if Some(*key) == except {
                continue;
            }
            let shared = &member.shared;
            match message.enqueue(shared, member.framing) {
                Ok(must_write) => {
                    queued += 1;
                    member.is_unwritten |= must_write;
                    unwritten += usize::from(member.is_unwritten);
                }
                Err(_) if shared.lock().check_open().is_err() => {} // it is about to leave
                Err(_) if overflow == Overflow::Drop => dropped += 1,
                Err(_) => slow.push(shared.clone()),
            }
        }
        list.dropped += dropped;
        list.unwritten_bytes = list.unwritten_bytes.saturating_add(len);
        let may_wait = list.unwritten_bytes <= list.most_unwritten;
        if unwritten >= CROWD && may_wait {
            self.members.leave_to_writer(list);
        } else if unwritten > 0 {
            drop(self.members.write(list));
        } else {
            drop(list);
        }
        for shared in slow {
            shared.start_close(CloseFrame::new(code::TRY_AGAIN_LATER, "too slow"));
        }
        queued
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is unwritten, as far as the sockets take it at once; without the lock, which is returned anew.
    fn write<'a>(&'a self, mut list: MutexGuard<'a, List>) -> MutexGuard<'a, List> {
        let due = list.take_unwritten();
        drop(list);
        for shared in due {
            // An error is kept by the connection.
            let _ = shared.flush(Wait::Never);
        }
        self.lock()
    }

    /// Has a thread write what is unwritten.
    fn leave_to_writer(self: &Arc<Self>, mut list: MutexGuard<'_, List>) {
        if mem::replace(&mut list.has_writer, true) {
            return;
        }
        drop(list);
        let members = self.clone();
        let spawned = spawn("wstrand-group", Some(WRITER_STACK), move || {
            members.run_writer();
        });
        if spawned.is_err() {
            self.run_writer(); // there are no more threads
        }
    }

    fn run_writer(&self) {
        let mut list = self.lock();
        while list.connections.values().any(|member| member.is_unwritten) {
            list = self.write(list);
        }
        list.has_writer = false;
    }

    /// Has the connection forget the group.
    fn be_left_by(&self, shared: &Shared) {
        let mut state = shared.lock();
        state
            .groups
            .retain(|group| !std::ptr::eq(group.as_ptr(), self));
    }
}

impl List {
    fn take_unwritten(&mut self) -> Vec<Arc<Shared>> {
        self.unwritten_bytes = 0;
        let members = self.connections.values_mut();
        let unwritten = members.filter_map(|member| {
            mem::take(&mut member.is_unwritten).then(|| member.shared.clone())
        });
        unwritten.collect()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let connections = mem::take(&mut self.lock().connections);
        for member in connections.into_values() {
            self.be_left_by(&member.shared);
        }
    }
}

impl Shared {
    /// Takes the connection, which is not open any more, out of its groups. Its lock must be free.
    pub(super) fn leave_groups(&self) {
        let groups = mem::take(&mut self.lock().groups);
        for members in groups.iter().filter_map(Weak::upgrade) {
            let removed = members.lock().connections.remove(&key(self));
            drop(removed); // without the group's lock
        }
    }
}

fn key(shared: &Shared) -> usize {
    std::ptr::from_ref(shared).addr()
}

/// From so many members on that are to be written to, a thread does it: so many system calls take longer than starting
/// one. What is sent while they last goes out in the next turn, one system call a member for all of it.
#[cfg(not(all(test, shuttle)))]
const CROWD: usize = 32;
#[cfg(all(test, shuttle))]
const CROWD: usize = 2;

/// More than this for a member is not left to that thread, but written by who sends: who sends more than can be written
/// must be held up by it.
const MOST_UNWRITTEN: usize = 16 * 1024;

/// It only writes.
const WRITER_STACK: usize = 128 * 1024;
