//! The HTTP exchange that opens a connection, over a socket: heads in, heads and short bodies out.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    Error, HandshakeError, Phase, Refusal, Result,
    handshake::{body, client::is_interim, head::HeadBuffer},
    net::{Stream, socket::Wait},
};

/// Reads until the head of a final answer is complete. Interim ones before it are skipped (RFC 9110, section 15.2).
///
/// # Errors
///
/// As [`read_head`]; or more interim answers than make sense.
pub(crate) fn read_answer(
    socket: &Stream,
    max_head_bytes: usize,
    wait: Wait,
    phase: Phase,
) -> Result<HeadBuffer> {
    let mut received = Vec::new();
    for _ in 0..=MAX_INTERIM {
        let head = read_head_behind(received, socket, max_head_bytes, wait, phase)?;
        if !is_interim(head.head()) {
            return Ok(head);
        }
        received = head.into_rest();
    }
    Err(HandshakeError::Http("interim answers without end").into())
}

/// Reads until a head is complete.
///
/// # Errors
///
/// [`HandshakeError::Ended`] if the stream ends first; what makes it no head; a timeout.
pub(crate) fn read_head(
    socket: &Stream,
    max_head_bytes: usize,
    wait: Wait,
    phase: Phase,
) -> Result<HeadBuffer> {
    read_head_behind(Vec::new(), socket, max_head_bytes, wait, phase)
}

/// Reads a head that begins with `received`.
fn read_head_behind(
    received: Vec<u8>,
    socket: &Stream,
    max_head_bytes: usize,
    wait: Wait,
    phase: Phase,
) -> Result<HeadBuffer> {
    let mut head = HeadBuffer::new(max_head_bytes);
    if head.push(&received)? {
        return Ok(head);
    }
    let mut buffer = received;
    loop {
        buffer.clear();
        reserve(&mut buffer).map_err(|error| Error::io(phase, error))?;
        match socket.receive_data(&mut buffer, wait) {
            Ok(0) => return Err(HandshakeError::Ended.into()),
            Ok(_) => {
                if head.push(&buffer)? {
                    return Ok(head);
                }
            }
            Err(error) => return Err(timeout_or_io(error, phase)),
        }
    }
}

/// Writes all of `bytes`.
pub(crate) fn write(socket: &Stream, bytes: &[u8], wait: Wait, phase: Phase) -> Result<()> {
    match socket.send(bytes, wait) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(Error::Timeout(phase)),
        Err(error) => Err(timeout_or_io(error, phase)),
    }
}

/// Reads until `received` holds so many bytes, or more.
pub(crate) fn read_bytes(
    socket: &Stream,
    received: &mut Vec<u8>,
    len: usize,
    wait: Wait,
    phase: Phase,
) -> Result<()> {
    while received.len() < len {
        reserve(received).map_err(|error| Error::io(phase, error))?;
        match socket.receive_data(received, wait) {
            Ok(1..) => {}
            Ok(0) => {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Err(Error::io(phase, error));
            }
            Err(error) => return Err(timeout_or_io(error, phase)),
        }
    }
    Ok(())
}

/// Reads what there is of a body, for an error report: up to 4 KiB, and no longer than a second.
pub(crate) fn read_body(
    socket: &Stream,
    refusal: &Refusal,
    mut received: Vec<u8>,
    wait: Wait,
) -> Vec<u8> {
    let is_chunked = body::is_chunked(&refusal.headers);
    let expected = body::body_length(refusal.status, &refusal.headers)
        .and_then(|len| usize::try_from(len).ok())
        .map_or(MAX_BODY, |len| len.min(MAX_BODY));
    let wait = wait.at_most(Instant::now() + PATIENCE_FOR_BODY);
    while received.len() < expected && (!is_chunked || body::dechunk(&received).1) {
        let read = reserve(&mut received).and_then(|()| socket.receive_data(&mut received, wait));
        if !matches!(read, Ok(1..)) {
            break;
        }
    }
    if is_chunked {
        received = body::dechunk(&received).0;
    }
    received.truncate(expected);
    received
}

/// Ends an exchange that does not become a connection: what was written must arrive, so our direction is
/// ended first and the peer's read for a moment.
pub(crate) fn hang_up(socket: &Stream) {
    socket.finish();
    let wait = Wait::for_duration(PATIENCE_FOR_END);
    let mut scrap = Vec::new();
    let mut read = 0;
    while let Ok(len @ 1..) =
        reserve(&mut scrap).and_then(|()| socket.receive_data(&mut scrap, wait))
    {
        read += len;
        if read > MAX_DRAINED {
            break;
        }
        scrap.clear();
    }
    socket.shutdown();
}

/// Makes room for one read.
fn reserve(buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer
        .try_reserve(READ)
        .map_err(|_| io::ErrorKind::OutOfMemory.into())
}

/// What it means that a stream could not be read or written within the time.
pub(super) fn timeout_or_io(error: io::Error, phase: Phase) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(phase),
        _ => Error::io(phase, error),
    }
}

/// Most heads come in one piece.
const READ: usize = 4 * 1024;

/// So many interim answers are skipped: one or two are usual.
const MAX_INTERIM: usize = 8;

/// As much of a refusal's body as is kept.
const MAX_BODY: usize = 4 * 1024;

const PATIENCE_FOR_BODY: Duration = Duration::from_secs(1);

const PATIENCE_FOR_END: Duration = Duration::from_secs(1);

const MAX_DRAINED: usize = 256 * 1024;
