//! A connected socket: reads and writes with flags, deadlines and no signals.
//!
//! The socket stays in blocking mode, because both directions share that flag; what must not block asks
//! for it call by call. Every write says MSG_NOSIGNAL: a C program has not ignored SIGPIPE.

#[cfg(all(test, not(shuttle)))]
use std::sync::Arc;
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, getpeername, getsockname, recv, send,
        sendmsg, shutdown, sockopt,
    },
};

#[cfg(all(test, not(shuttle)))]
use crate::net::script::Script;

/// A connected socket. All methods may be called from any thread, at the same time.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    /// What stands in for the system.
    #[cfg(all(test, not(shuttle)))]
    script: Option<Arc<Script>>,
}

/// What TCP sockets are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tcp {
    pub(crate) nodelay: bool,
    pub(crate) keepalive: bool,
}

impl Default for Tcp {
    fn default() -> Self {
        // Small messages must not wait for each other's acknowledgement, and a connection on which nothing
        // is sent must not outlive its peer for ever.
        Self {
            nodelay: true,
            keepalive: true,
        }
    }
}

/// How long a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    Never,
    /// Until then.
    Until(Instant),
    /// For ever.
    Forever,
}

impl Wait {
    /// Waits for `timeout` from now; one that no clock can hold is for ever.
    pub(crate) fn for_duration(timeout: Duration) -> Self {
        if timeout.is_zero() {
            return Self::Never;
        }
        match Instant::now().checked_add(timeout) {
            Some(until) => Self::Until(until),
            None => Self::Forever,
        }
    }

    /// The sooner of the two.
    pub(crate) fn at_most(self, until: Instant) -> Self {
        self.sooner(Self::Until(until))
    }

    /// The sooner of the two.
    pub(crate) fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::Forever, wait) | (wait, Self::Forever) => wait,
            (Self::Until(one), Self::Until(other)) => Self::Until(one.min(other)),
        }
    }

    /// Whether there is nothing left to wait for.
    pub(crate) fn has_passed(self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// What is left: `None` is for ever. Zero if the time has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        match self {
            Self::Never => Some(Duration::ZERO),
            Self::Until(until) => Some(until.saturating_duration_since(Instant::now())),
            Self::Forever => None,
        }
    }
}

impl Socket {
    /// A connected stream socket of any family, in blocking mode.
    pub(crate) fn new(fd: OwnedFd, tcp: Tcp) -> Self {
        // Said in either case: an accepted socket has what its listener has, and one that was handed in may
        // have anything. Sockets that are not TCP have no such options.
        let _ = sockopt::set_tcp_nodelay(&fd, tcp.nodelay);
        let _ = sockopt::set_socket_keepalive(&fd, tcp.keepalive);
        Self {
            fd,
            #[cfg(all(test, not(shuttle)))]
            script: None,
        }
    }

    /// A socket for which a script stands in.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn scripted(script: Arc<Script>) -> Self {
        let nothing = std::fs::File::open("/dev/null").expect("it is always there");
        Self {
            fd: nothing.into(),
            script: Some(script),
        }
    }

    /// The peer's address, if it is one of the Internet's.
    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        getpeername(&self.fd).ok()??.try_into().ok()
    }

    /// Our own address, if it is one of the Internet's.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        getsockname(&self.fd).ok()?.try_into().ok()
    }

    /// Appends what has arrived to `buffer`, as much as fits without growing, which must be something.
    /// Returns how much that was: 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing came within `wait`.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
        debug_assert!(buffer.capacity() > buffer.len());
        // A blocking read costs one system call a wake-up. One that may time out asks first and waits in
        // `poll`: a read timeout of the socket's would have to be set anew each time to keep a deadline.
        let flags = match wait {
            Wait::Forever => RecvFlags::empty(),
            _ => RecvFlags::DONTWAIT,
        };
        loop {
            match self.call_recv(buffer, flags) {
                Ok(len) => return Ok(len),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if wait != Wait::Never => {
                    self.wait_for(PollFlags::IN, wait)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes the start of `bytes`, all of it if it can. Returns how much that was; less than all only if
    /// no more could be written within `wait`.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn send(&self, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        self.send_vectored([bytes, &[]], wait)
    }

    /// Writes two pieces as [`Self::send`] writes one, with as few system calls.
    pub(crate) fn send_vectored(&self, pieces: [&[u8]; 2], wait: Wait) -> io::Result<usize> {
        let [mut first, mut second] = pieces;
        let mut wait = wait;
        let all = first.len() + second.len();
        while first.len() + second.len() > 0 {
            match self.call_send([first, second]) {
                Ok(sent) => {
                    let of_first = sent.min(first.len());
                    first = &first[of_first..];
                    second = &second[sent - of_first..];
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    if wait == Wait::Never {
                        break;
                    }
                    match self.wait_for(PollFlags::OUT, wait) {
                        Ok(()) => {}
                        // `poll` waits until a good part of the buffer is free. There may be some room before.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            wait = Wait::Never;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(all - first.len() - second.len())
    }

    /// Waits until the socket is ready, or broken, which the next call will tell.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the time has passed.
    fn wait_for(&self, events: PollFlags, wait: Wait) -> io::Result<()> {
        loop {
            let remaining = wait.remaining();
            if remaining == Some(Duration::ZERO) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // A time that the system's clock type cannot hold is for ever.
            let timeout = remaining.and_then(|remaining| Timespec::try_from(remaining).ok());
            match self.call_poll(events, timeout.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends one direction or both. Wakes whoever is blocked in [`Self::receive`] or [`Self::send`].
    pub(crate) fn shutdown(&self, how: Shutdown) {
        #[cfg(all(test, not(shuttle)))]
        if let Some(script) = &self.script {
            return script.shutdown(how);
        }
        // A socket that is not connected any more is as good as shut down.
        let _ = shutdown(&self.fd, how);
    }

    // The system calls themselves.

    fn call_recv(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> rustix::io::Result<usize> {
        #[cfg(all(test, not(shuttle)))]
        if let Some(script) = &self.script {
            return script.recv(buffer, flags);
        }
        recv(&self.fd, spare_capacity(buffer), flags).map(|(len, _)| len)
    }

    fn call_send(&self, pieces: [&[u8]; 2]) -> rustix::io::Result<usize> {
        const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
        #[cfg(all(test, not(shuttle)))]
        if let Some(script) = &self.script {
            return script.send(pieces);
        }
        match pieces {
            [one, []] | [[], one] => send(&self.fd, one, FLAGS),
            pieces => {
                let pieces = pieces.map(IoSlice::new);
                let mut nothing = SendAncillaryBuffer::default();
                sendmsg(&self.fd, &pieces, &mut nothing, FLAGS)
            }
        }
    }

    fn call_poll(
        &self,
        events: PollFlags,
        timeout: Option<&Timespec>,
    ) -> rustix::io::Result<usize> {
        #[cfg(all(test, not(shuttle)))]
        if let Some(script) = &self.script {
            return script.poll(events, timeout);
        }
        poll(&mut [PollFd::new(&self.fd, events)], timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        sync::mpsc,
        thread,
    };

    use super::*;

    fn pair() -> (Socket, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        let tcp = Tcp::default();
        (Socket::new(one.into(), tcp), Socket::new(other.into(), tcp))
    }

    #[test]
    fn nothing_to_read_is_would_block_at_once_or_at_the_deadline() {
        let (one, _other) = pair();
        let mut buffer = Vec::with_capacity(10);
        for wait in [Wait::Never, Wait::for_duration(Duration::from_millis(20))] {
            let error = one.receive(&mut buffer, wait).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_full_socket_takes_what_it_can_and_the_rest_after_the_peer_has_read() {
        let (one, other) = pair();
        let data: Vec<u8> = (0..32u32 << 20).map(|i| i as u8).collect();
        let (head, tail) = data.split_at(5);
        let sent = one.send_vectored([head, tail], Wait::Never).unwrap();
        assert!(sent > 0 && sent < data.len(), "{sent}");
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            let mut buffer = Vec::with_capacity(1 << 16);
            while other.receive(&mut buffer, Wait::Forever).unwrap() > 0 {
                received.append(&mut buffer);
            }
            received
        });
        let deadline = Wait::for_duration(Duration::from_secs(60));
        assert_eq!(
            one.send(&data[sent..], deadline).unwrap(),
            data.len() - sent
        );
        one.shutdown(Shutdown::Write);
        assert!(reader.join().unwrap() == data);
    }

    #[test]
    #[cfg(not(shuttle))]
    fn a_full_socket_is_asked_once_more_at_the_deadline() {
        use crate::net::script::{Call, Plan};
        use rustix::io::Errno;

        let mut late = 0;
        for seed in 0..100 {
            let script = Arc::new(Script::new(Plan {
                seed,
                ..Plan::default()
            }));
            let soon = Wait::for_duration(Duration::from_nanos(1));
            let sent = Socket::scripted(script.clone()).send(&[0; 1000], soon);
            if sent.unwrap() < 1000 {
                let calls = script.calls();
                let is_full = |call: &&Call| matches!(call, Call::Send(_, Err(Errno::AGAIN)));
                assert_eq!(calls.iter().filter(is_full).count(), 2, "{calls:?}");
                late += 1;
            }
        }
        assert!(late > 10, "{late}");
    }

    #[test]
    fn shutdown_wakes_a_blocked_read_and_a_blocked_write() {
        let (one, _other) = pair();
        let (done, finished) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = one.receive(&mut Vec::with_capacity(1), Wait::Forever);
                done.send("read").unwrap();
            });
            scope.spawn(|| {
                let _ = one.send(&vec![0; 64 << 20], Wait::Forever);
                done.send("write").unwrap();
            });
            one.shutdown(Shutdown::Both);
            for _ in 0..2 {
                finished.recv_timeout(Duration::from_secs(60)).unwrap();
            }
        });
    }

    #[test]
    fn durations_that_no_clock_can_hold_are_for_ever() {
        assert_eq!(Wait::for_duration(Duration::MAX), Wait::Forever);
        assert_eq!(Wait::for_duration(Duration::ZERO), Wait::Never);
    }
}
