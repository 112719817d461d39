//! What is sent: the command line's messages and files, then standard input.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
};

use wstrand::{Error, Message, MessageKind, MessageWriter};

use crate::{
    arguments::{Arguments, Input, Item},
    output::Output,
    peers::Peers,
    progress::Progress,
    prompt::Prompt,
};

/// Why sending ended early.
pub(crate) enum Fault {
    /// Something of this machine.
    Local(String),
    /// The connection. How it ended is told by the one who receives.
    Connection,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Misuse(misuse) => Self::Local(misuse.to_string()),
            _ => Self::Connection,
        }
    }
}

/// Sends all there is.
pub(crate) fn run(
    arguments: &Arguments,
    peers: &Peers,
    output: &Output,
    prompt: Option<Prompt>,
) -> Result<(), Fault> {
    if let Some(prompt) = prompt {
        return prompt.run(arguments, peers, output);
    }
    peers.wait_for_one();
    for item in &arguments.items {
        match item {
            Item::Text(text) => peers.each(|sender| sender.send_text(text))?,
            Item::File(path) => send_file(arguments, peers, path)?,
        }
    }
    match arguments.input {
        Input::None | Input::Prompt => Ok(()),
        Input::Lines => send_lines(peers),
        Input::Whole => send_pieces(arguments, peers, io::stdin().lock(), None, "standard input"),
    }
}

fn send_lines(peers: &Peers) -> Result<(), Fault> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        if read.map_err(|error| Fault::Local(format!("standard input: {error}")))? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let text = std::str::from_utf8(&line).map_err(|_| {
            Fault::Local(format!(
                "line {number} of standard input is not UTF-8: --binary sends any bytes"
            ))
        })?;
        peers.each(|sender| sender.send(Message::Text(text)))?;
    }
    Ok(())
}

/// Sends a file as a binary message, or as several of `--split`.
pub(crate) fn send_file(arguments: &Arguments, peers: &Peers, path: &Path) -> Result<(), Fault> {
    let name = path.display().to_string();
    let open = || -> io::Result<_> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // A pipe has no length.
        Ok((file, Some(found.len()).filter(|_| found.is_file())))
    };
    let (file, total) = open().map_err(|error| Fault::Local(format!("{name}: {error}")))?;
    send_pieces(arguments, peers, file, total, &name)
}

/// Sends what `from` has as it is read, to all peers at once, so that none of it is held.
fn send_pieces(
    arguments: &Arguments,
    peers: &Peers,
    mut from: impl Read,
    total: Option<u64>,
    name: &str,
) -> Result<(), Fault> {
    let mut progress = Progress::new("sent", total, arguments.progress);
    let split = arguments.split.unwrap_or(u64::MAX);
    let mut writers = begin(peers)?;
    let mut room = split;
    let mut piece = vec![0; PIECE];
    loop {
        // A new message begins only where there is something to put into it.
        let is_full = room == 0;
        let left = if is_full { split } else { room };
        let len = piece.len().min(left.try_into().unwrap_or(usize::MAX));
        let read = match from.read(&mut piece[..len]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Fault::Local(format!("{name}: {error}"))),
        };
        if is_full {
            finish(peers, writers)?;
            writers = begin(peers)?;
            room = split;
        }
        let mut lost = Vec::new();
        for (at, writer) in writers.iter_mut().enumerate() {
            let pushed = writer.push(&piece[..read]);
            if pushed.is_err() {
                lost.push(at);
            }
            peers.judge(pushed)?;
        }
        for at in lost.into_iter().rev() {
            writers.remove(at);
        }
        room -= read as u64;
        progress.add(read as u64);
    }
    finish(peers, writers)?;
    progress.finish();
    Ok(())
}

fn begin(peers: &Peers) -> Result<Vec<MessageWriter>, Fault> {
    let mut writers = Vec::new();
    for sender in peers.all() {
        match sender.writer(MessageKind::Binary) {
            Ok(writer) => writers.push(writer),
            Err(error) => peers.judge(Err(error))?,
        }
    }
    Ok(writers)
}

fn finish(peers: &Peers, writers: Vec<MessageWriter>) -> Result<(), Fault> {
    for writer in writers {
        peers.judge(writer.finish())?;
    }
    Ok(())
}

/// How much is read at a time.
const PIECE: usize = 64 * 1024;
