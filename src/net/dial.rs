//! Reaching a peer: name resolution and TCP, under one deadline.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Phase, Result, net::socket::Socket};

/// Connects to the first of the host's addresses that answers. `host` is a name or an IP address without
/// brackets.
///
/// # Errors
///
/// The last address's error, or a timeout, with the phase.
pub(crate) fn dial(host: &str, port: u16, until: Instant) -> Result<Socket> {
    let addrs = resolve(host, port, until)?;
    let mut last = Error::Timeout(Phase::Connect);
    for (tried, addr) in addrs.iter().enumerate() {
        // Addresses that do not answer must leave time for the others.
        let share = (addrs.len() - tried) as u32;
        let timeout = remaining(until, Phase::Connect)? / share;
        match TcpStream::connect_timeout(addr, timeout).and_then(Socket::from_tcp) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => last = Error::io(Phase::Connect, error),
        }
    }
    Err(last)
}

fn resolve(host: &str, port: u16, until: Instant) -> Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // The system's resolver cannot be interrupted: a thread waits for it, and is left behind with nothing
    // but its own memory if it takes too long.
    let (sender, resolved) = mpsc::sync_channel(1);
    let name = host.to_owned();
    thread::Builder::new()
        .name("wstrand-resolve".into())
        .spawn(move || {
            let addrs = (name.as_str(), port).to_socket_addrs();
            let _ = sender.send(addrs.map(Iterator::collect::<Vec<_>>));
        })
        .map_err(|error| Error::io(Phase::Spawn, error))?;
    let addrs = resolved
        .recv_timeout(remaining(until, Phase::Resolve)?)
        .map_err(|_| Error::Timeout(Phase::Resolve))?
        .map_err(|error| Error::io(Phase::Resolve, error))?;
    if addrs.is_empty() {
        let error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        return Err(Error::io(Phase::Resolve, error));
    }
    Ok(addrs)
}

fn remaining(until: Instant, phase: Phase) -> Result<Duration> {
    let remaining = until.saturating_duration_since(Instant::now());
    if remaining.is_zero() {
        return Err(Error::Timeout(phase));
    }
    Ok(remaining)
}
