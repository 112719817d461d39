//! Counters of connections and servers.

use std::{ffi::c_int, time::Duration};

use wstrand::{ServerStats, Stats, Traffic};

use crate::{connection::wstrand_connection, guard, server::wstrand_server};

/// Messages sent, one in fragments when its last one is. They count as soon as a call has accepted them.
pub const WSTRAND_STAT_MESSAGES_SENT: c_int = 1;
/// Messages received, as they are handed out.
pub const WSTRAND_STAT_MESSAGES_RECEIVED: c_int = 2;
/// Bytes of messages sent, before compression.
pub const WSTRAND_STAT_PAYLOAD_BYTES_SENT: c_int = 3;
/// Bytes of messages received, after decompression.
pub const WSTRAND_STAT_PAYLOAD_BYTES_RECEIVED: c_int = 4;
/// Bytes of frames sent: compressed, with headers, control frames too. Neither the opening handshake nor what
/// TLS adds.
pub const WSTRAND_STAT_WIRE_BYTES_SENT: c_int = 5;
/// Bytes of frames received, likewise.
pub const WSTRAND_STAT_WIRE_BYTES_RECEIVED: c_int = 6;
/// Bytes that wait to be handed to the operating system.
pub const WSTRAND_STAT_BUFFERED_BYTES: c_int = 7;
/// The most bytes that have waited so on a connection.
pub const WSTRAND_STAT_MOST_BUFFERED_BYTES: c_int = 8;
/// How long a connection's peer took to answer the last of the library's own pings, in microseconds; 0 if none was
/// answered yet.
pub const WSTRAND_STAT_ROUND_TRIP_US: c_int = 9;
/// The same smoothed: an eighth of each round trip and seven of what was before (RFC 6298, section 2).
pub const WSTRAND_STAT_SMOOTHED_ROUND_TRIP_US: c_int = 10;
/// A server's connections in their opening handshake, or with plain HTTP.
pub const WSTRAND_STAT_OPENING: c_int = 11;
/// A server's connections that are open.
pub const WSTRAND_STAT_OPEN: c_int = 12;
/// A server's connections in their closing handshake, or that have failed.
pub const WSTRAND_STAT_CLOSING: c_int = 13;
/// Connections that a server ever opened.
pub const WSTRAND_STAT_ACCEPTED: c_int = 14;
/// Requests that `on_request` answered itself: pages, health checks, refusals of its own.
pub const WSTRAND_STAT_ANSWERED: c_int = 15;
/// Connections that found a server full, and got status 503.
pub const WSTRAND_STAT_REFUSED_FULL: c_int = 16;
/// Connections that were cut because they took more than a second over their request, and others wanted the place.
pub const WSTRAND_STAT_REFUSED_SLOW: c_int = 17;
/// Connections that took longer than the handshake timeout.
pub const WSTRAND_STAT_REFUSED_TIMEOUT: c_int = 18;
/// Connections whose request was malformed, too large, no opening handshake, or one of another version.
pub const WSTRAND_STAT_REFUSED_REQUEST: c_int = 19;
/// Connections from a page of an origin that is not allowed.
pub const WSTRAND_STAT_REFUSED_ORIGIN: c_int = 20;
/// Connections with which TLS could not be agreed on.
pub const WSTRAND_STAT_REFUSED_TLS: c_int = 21;
/// Connections that ended before the opening handshake was over: the peer left, the network failed, or the server
/// was stopped.
pub const WSTRAND_STAT_REFUSED_LOST: c_int = 22;
/// Connections for which no thread could be started; they got status 503.
pub const WSTRAND_STAT_REFUSED_THREAD: c_int = 23;
/// How often a server had to wait before it could accept, because the system was short of descriptors, memory or threads.
pub const WSTRAND_STAT_SHORTAGES: c_int = 24;

/// Tells a counter of the connection, as of now; after its end as of then. Payload over wire bytes tells how well
/// messages compress.
///
/// Threads: any.
///
/// @param stat WSTRAND_STAT_MESSAGES_SENT or another of those constants.
/// @return The number; 0 for one that only a server has or that this library does not know, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_stat(
    connection: *const wstrand_connection,
    stat: c_int,
) -> u64 {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { connection.as_ref() } {
        Some(connection) => of_connection(&connection.sender().stats(), stat),
        None => 0,
    })
}

/// Tells a counter of the server and all its connections, those that have ended included, as of now.
///
/// It looks at each connection, which takes microseconds for hundreds of them.
///
/// Threads: any.
///
/// @param stat WSTRAND_STAT_MESSAGES_SENT or another of those constants.
/// @return The number; 0 for one that only a connection has or that this library does not know, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_stat(server: *const wstrand_server, stat: c_int) -> u64 {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { server.as_ref() } {
        Some(server) => of_server(&server.stats(), stat),
        None => 0,
    })
}

fn of_connection(stats: &Stats, stat: c_int) -> u64 {
    let microseconds = |time: Option<Duration>| {
        let time = time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
        time.unwrap_or(0)
    };
    match stat {
        WSTRAND_STAT_BUFFERED_BYTES => stats.buffered_bytes as u64,
        WSTRAND_STAT_MOST_BUFFERED_BYTES => stats.most_buffered_bytes as u64,
        WSTRAND_STAT_ROUND_TRIP_US => microseconds(stats.round_trip),
        WSTRAND_STAT_SMOOTHED_ROUND_TRIP_US => microseconds(stats.smoothed_round_trip),
        _ => of_traffic(&stats.traffic, stat),
    }
}

fn of_server(stats: &ServerStats, stat: c_int) -> u64 {
    match stat {
        WSTRAND_STAT_BUFFERED_BYTES => stats.buffered_bytes as u64,
        WSTRAND_STAT_OPENING => stats.opening as u64,
        WSTRAND_STAT_OPEN => stats.open as u64,
        WSTRAND_STAT_CLOSING => stats.closing as u64,
        WSTRAND_STAT_ACCEPTED => stats.accepted,
        WSTRAND_STAT_ANSWERED => stats.answered,
        WSTRAND_STAT_REFUSED_FULL => stats.refused.full,
        WSTRAND_STAT_REFUSED_SLOW => stats.refused.slow,
        WSTRAND_STAT_REFUSED_TIMEOUT => stats.refused.timeout,
        WSTRAND_STAT_REFUSED_REQUEST => stats.refused.request,
        WSTRAND_STAT_REFUSED_ORIGIN => stats.refused.origin,
        WSTRAND_STAT_REFUSED_TLS => stats.refused.tls,
        WSTRAND_STAT_REFUSED_LOST => stats.refused.lost,
        WSTRAND_STAT_REFUSED_THREAD => stats.refused.thread,
        WSTRAND_STAT_SHORTAGES => stats.shortages,
        _ => of_traffic(&stats.traffic, stat),
    }
}

fn of_traffic(traffic: &Traffic, stat: c_int) -> u64 {
    match stat {
        WSTRAND_STAT_MESSAGES_SENT => traffic.messages_sent,
        WSTRAND_STAT_MESSAGES_RECEIVED => traffic.messages_received,
        WSTRAND_STAT_PAYLOAD_BYTES_SENT => traffic.payload_bytes_sent,
        WSTRAND_STAT_PAYLOAD_BYTES_RECEIVED => traffic.payload_bytes_received,
        WSTRAND_STAT_WIRE_BYTES_SENT => traffic.wire_bytes_sent,
        WSTRAND_STAT_WIRE_BYTES_RECEIVED => traffic.wire_bytes_received,
        _ => 0,
    }
}
