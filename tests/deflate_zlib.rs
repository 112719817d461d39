//! Ten thousand messages, in both directions at once, against Python's zlib.

mod common;
#[path = "common/deflated.rs"]
mod deflated;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::process::Command;
use std::sync::Arc;
use std::thread;

use common::{Server, announce, program, root};
use deflated::{Noise, options};
use raw::in_time;
use scratch::Scratch;
use wstrand::{Client, Deflate, Message, MessageKind, OwnedMessage, Sender};

const COUNT: usize = 10_000;
const LONGEST: usize = 20 << 10;

/// Text and noise, short and long.
fn messages() -> Vec<OwnedMessage> {
    let mut noise = Noise::new(2026);
    (0..COUNT)
        .map(|_| {
            let longest = [8, 100, 2000, LONGEST][noise.below(4)];
            let len = noise.below(longest + 1);
            match noise.below(3) {
                0 => OwnedMessage::Binary(noise.bytes(len)),
                1 => OwnedMessage::Binary(noise.text(len).into_bytes()),
                _ => OwnedMessage::Text(noise.text(len)),
            }
        })
        .collect()
}

fn send(sender: &Sender, noise: &mut Noise, message: &OwnedMessage) -> wstrand::Result<()> {
    match noise.below(10) {
        0..7 => sender.send(message),
        7 => sender.send_uncompressed(message),
        _ => {
            let mut writer = sender.writer(message.as_message().kind())?;
            let mut rest = message.as_bytes();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(1 + noise.below(rest.len()));
                writer.push(piece)?;
                if noise.below(2) == 0 {
                    writer.flush()?;
                }
                rest = behind;
            }
            writer.finish()
        }
    }
}

#[test]
fn ten_thousand_mixed_messages_are_to_the_byte_what_zlib_makes_of_them_in_both_directions() {
    in_time(|| {
        let messages = Arc::new(messages());
        let mut file = Vec::new();
        for message in messages.iter() {
            let bytes = message.as_bytes();
            let opcode = match message.as_message().kind() {
                MessageKind::Text => 1,
                MessageKind::Binary => 2,
            };
            file.extend((bytes.len() as u32).to_be_bytes());
            file.push(opcode);
            file.extend(bytes);
        }
        let scratch = Scratch::new();
        let path = scratch.write("messages", &file);
        let peer = Server::start(
            Command::new(program("python3"))
                .arg(root().join("tests/peers/zlib_peer.py"))
                .arg(path),
        );
        let ws = Client::new()
            .options(&options(Deflate::new()))
            .connect(&peer.url)
            .unwrap();
        assert_eq!(ws.extensions(), "permessage-deflate");
        let (sender, mut receiver) = ws.split();
        let sending = {
            let messages = messages.clone();
            thread::spawn(move || {
                let mut noise = Noise::new(7);
                for message in messages.iter() {
                    send(&sender, &mut noise, message).unwrap();
                }
                sender
            })
        };
        for (n, wanted) in messages.iter().enumerate() {
            let received = receiver.receive().unwrap().unwrap();
            let is_same = match (received, wanted) {
                (Message::Text(a), OwnedMessage::Text(b)) => a == b,
                (Message::Binary(a), OwnedMessage::Binary(b)) => a == b,
                _ => false,
            };
            assert!(is_same, "message {n} differs");
        }
        sending.join().unwrap().close(1000, "").unwrap();
        assert!(receiver.wait_closed().was_clean);
        let said = peer.finished().stdout.pop().unwrap();
        let numbers: Vec<usize> = said
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let [count, compressed, fragments, bytes] = numbers[..] else {
            panic!("{said}");
        };
        announce(&format!("zlib: {said}, of {}", file.len() - 5 * COUNT));
        assert_eq!(count, COUNT);
        assert!(compressed > COUNT / 2 && compressed < COUNT, "{said}");
        assert!(fragments > COUNT + 1000, "{said}");
        assert!(bytes < file.len() * 3 / 4, "{said}");
    });
}
