//! What TCP sockets are told: TCP_NODELAY and keepalive, at both ends and on every way to them.

mod common;
#[path = "common/raw.rs"]
mod raw;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use raw::{echo, in_time, serve};
use rustix::net::{getpeername, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use wstrand::{Client, Options};

#[test]
fn both_ends_send_at_once_and_ask_for_signs_of_life_unless_told_not_to() {
    in_time(|| {
        assert_eq!(ends(&Options::new()), [[true, true]; 2]);
        for (nodelay, keepalive) in [(true, false), (false, true), (false, false)] {
            let mut options = Options::new();
            options.tcp_nodelay(nodelay).tcp_keepalive(keepalive);
            assert_eq!(ends(&options), [[nodelay, keepalive]; 2]);
        }
    });
}

#[test]
fn a_socket_that_was_handed_in_is_told_the_same_whatever_it_was_told_before() {
    in_time(|| {
        let server = serve(|_| {}, echo);
        for on in [true, false] {
            let socket = TcpStream::connect(server.addr()).unwrap();
            socket.set_nodelay(!on).unwrap();
            let same = socket.try_clone().unwrap();
            let mut options = Options::new();
            options.tcp_nodelay(on).tcp_keepalive(on);
            let mut client = Client::new();
            let ws = client.options(&options).connect_over(socket, &server.url());
            assert_eq!(told(&same.into()), [on, on]);
            drop(ws.unwrap());
        }
    });
}

/// What the client's socket and the server's were told: TCP_NODELAY, SO_KEEPALIVE.
fn ends(options: &Options) -> [[bool; 2]; 2] {
    let server = serve(
        |server| {
            server.options(options);
        },
        echo,
    );
    let ws = Client::new()
        .options(options)
        .connect(&server.url())
        .unwrap();
    let (client, server) = (ws.local_addr().unwrap(), ws.peer_addr().unwrap());
    [server, client].map(|peer| told(&socket_with(peer)))
}

fn told(socket: &OwnedFd) -> [bool; 2] {
    [
        sockopt::tcp_nodelay(socket).unwrap(),
        sockopt::socket_keepalive(socket).unwrap(),
    ]
}

/// This process's socket that is connected to `peer`.
fn socket_with(peer: SocketAddr) -> OwnedFd {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let is_it = |socket: &OwnedFd| {
        let found = getpeername(socket).ok().flatten();
        found.and_then(|addr| SocketAddr::try_from(addr).ok()) == Some(peer)
    };
    let numbers = fs::read_dir("/proc/self/fd").unwrap();
    numbers
        .map(|entry| entry.unwrap().file_name())
        .map(|name| name.to_str().unwrap().parse().unwrap())
        .filter_map(|number| pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok())
        .find(is_it)
        .expect("the connection is open")
}
