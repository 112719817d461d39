//! Reaching a host: name resolution, then a race of its addresses (RFC 8305), under one deadline.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
    },
};

use crate::{
    Error, Phase, Result,
    net::{
        Cancel,
        resolver::Pending,
        socket::{Socket, Tcp},
    },
};

/// How to reach a host.
pub(crate) struct Dial<'a> {
    pub(crate) until: Instant,
    pub(crate) cancel: Option<&'a Cancel>,
    /// The address to connect from, if the caller chose one.
    pub(crate) local_addr: Option<IpAddr>,
    pub(crate) tcp: Tcp,
}

impl Dial<'_> {
    /// Connects to the first of the host's addresses that answers. `host` is a name or an IP address without
    /// brackets.
    ///
    /// # Errors
    ///
    /// The last address's error, a timeout, or that it was cancelled.
    pub(crate) fn connect(&self, host: &str, port: u16) -> Result<Socket> {
        let mut addrs = self.resolve(host, port)?;
        if let Some(local) = self.local_addr {
            addrs.retain(|addr| addr.is_ipv4() == local.is_ipv4());
        }
        let addrs = alternate(addrs);
        if addrs.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "the host has no usable address");
            return Err(Error::io(Phase::Resolve, error));
        }
        self.race(&addrs)
    }

    /// Connects to a Unix domain socket.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub(crate) fn connect_unix(&self, path: &Path) -> Result<Socket> {
        let failed = |error: Errno| Error::io(Phase::Connect, error.into());
        let addr = SocketAddrUnix::new(path).map_err(failed)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let socket = socket.map_err(failed)?;
        loop {
            match connect(&socket, &addr) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                // The listener's queue is full, and nothing tells when it is not any more.
                Err(Errno::AGAIN) => {
                    let turn = Instant::now() + QUEUE_FULL;
                    self.wait(&[], Some(turn), Phase::Connect)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        ioctl_fionbio(&socket, false).map_err(failed)?;
        Ok(Socket::new(socket, self.tcp))
    }

    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let pending = Pending::new(host, port)?;
        loop {
            if let Some(found) = pending.take() {
                return found.map_err(|error| Error::io(Phase::Resolve, error));
            }
            self.wait(&[(pending.as_fd(), PollFlags::IN)], None, Phase::Resolve)?;
        }
    }

    /// Tries the addresses one after another, each a quarter of a second after the one before or as soon as
    /// that has failed, until one is connected (RFC 8305, section 5).
    fn race(&self, addrs: &[SocketAddr]) -> Result<Socket> {
        let mut waiting = addrs.iter();
        let mut running: Vec<OwnedFd> = Vec::new();
        let mut last_error = None;
        let mut next_start = Some(Instant::now());
        loop {
            if next_start.is_some_and(|at| at <= Instant::now()) {
                next_start = None;
                if let Some(addr) = waiting.next() {
                    match self.start(addr) {
                        Ok(socket) => {
                            running.push(socket);
                            next_start = Some(Instant::now() + STAGGER);
                        }
                        Err(error) => {
                            last_error = Some(error);
                            next_start = Some(Instant::now());
                        }
                    }
                    continue;
                }
            }
            if running.is_empty() && next_start.is_none() {
                let error = last_error.unwrap_or_else(|| io::ErrorKind::NotFound.into());
                return Err(Error::io(Phase::Connect, error));
            }
            let fds: Vec<_> = running
                .iter()
                .map(|fd| (fd.as_fd(), PollFlags::OUT))
                .collect();
            let ready = self.wait(&fds, next_start, Phase::Connect)?;
            drop(fds);
            // From the back, so that the places before stay what they are.
            for place in ready.into_iter().rev() {
                let socket = running.swap_remove(place);
                match sockopt::socket_error(&socket).map_err(io::Error::from) {
                    Ok(Ok(())) => {
                        // Blocking from now on.
                        ioctl_fionbio(&socket, false)
                            .map_err(|error| Error::io(Phase::Connect, error.into()))?;
                        return Ok(Socket::new(socket, self.tcp));
                    }
                    Ok(Err(error)) => last_error = Some(error.into()),
                    Err(error) => last_error = Some(error),
                }
                next_start = Some(Instant::now()); // no need to wait for the next one's turn
            }
        }
    }

    fn start(&self, addr: &SocketAddr) -> io::Result<OwnedFd> {
        let family = match addr {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(local) = self.local_addr {
            bind(&socket, &SocketAddr::new(local, 0))?;
        }
        match connect(&socket, addr) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until one of these is ready, or `turn` has come: which ones.
    fn wait(
        &self,
        fds: &[(BorrowedFd<'_>, PollFlags)],
        turn: Option<Instant>,
        phase: Phase,
    ) -> Result<Vec<usize>> {
        loop {
            if self.cancel.is_some_and(Cancel::is_cancelled) {
                return Err(Error::Cancelled);
            }
            let now = Instant::now();
            let remaining = self.until.saturating_duration_since(now);
            if remaining.is_zero() {
                return Err(Error::Timeout(phase));
            }
            let until_turn = turn.map(|turn| turn.saturating_duration_since(now));
            if until_turn.is_some_and(|turn| turn.is_zero()) {
                return Ok(Vec::new());
            }
            let timeout = until_turn.map_or(remaining, |turn| turn.min(remaining));
            let mut polled: Vec<_> = fds
                .iter()
                .map(|(fd, events)| PollFd::from_borrowed_fd(*fd, *events))
                .collect();
            if let Some(cancel) = self.cancel {
                polled.push(PollFd::from_borrowed_fd(cancel.as_fd(), PollFlags::IN));
            }
            match poll(&mut polled, Timespec::try_from(timeout).ok().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::io(phase, error.into())),
            }
            let ready: Vec<_> = (0..fds.len())
                .filter(|place| !polled[*place].revents().is_empty())
                .collect();
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
    }
}

/// The addresses with the families by turns, in the resolver's order otherwise (RFC 8305, section 4).
fn alternate(addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addrs.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addrs
        .into_iter()
        .partition(|addr| addr.is_ipv4() == first_is_v4);
    let mut second = second.into_iter();
    let mut both = Vec::new();
    for addr in first {
        both.push(addr);
        both.extend(second.next());
    }
    both.extend(second);
    both
}

/// How long one address has before the next is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// How long until a Unix domain socket whose queue is full is tried again: not felt, and no load.
const QUEUE_FULL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_own_order() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c) = (addr("[::1]:1"), addr("[::2]:1"), addr("[::3]:1"));
        let (x, y) = (addr("1.1.1.1:1"), addr("2.2.2.2:1"));
        assert_eq!(alternate(vec![a, b, c, x, y]), [a, x, b, y, c]);
        assert_eq!(alternate(vec![x, y, a]), [x, a, y]);
        assert_eq!(alternate(vec![]), []);
    }
}
