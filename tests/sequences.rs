//! Sequences of calls nobody thought of: several threads send, stream, ping and close as they like, while another
//! receives as it likes, over loopback.

use std::{collections::HashMap, sync::OnceLock, thread, time::Duration};

use proptest::{collection::vec, prelude::*};
use wstrand::{Client, Deflate, Error, MessageKind, Options, Phase, Sender, Server, WebSocket};

/// What a sending thread does.
#[derive(Debug, Clone)]
enum Call {
    Text(usize),
    Binary(usize),
    Try(usize),
    Stream(Vec<usize>),
    /// Streams, and does not finish: the connection is closed with code 1011.
    Abandon(usize),
    Ping(usize),
    Flush,
    Close(u16),
    Look,
}

/// How a thread receives, in turn.
#[derive(Debug, Clone)]
enum Take {
    Wait,
    Try,
    Within(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let len = || prop_oneof![4 => 0usize..200, 1 => 0usize..100_000];
    prop_oneof![
        6 => len().prop_map(Call::Text),
        6 => len().prop_map(Call::Binary),
        4 => len().prop_map(Call::Try),
        4 => vec(len(), 0..4).prop_map(Call::Stream),
        1 => len().prop_map(Call::Abandon),
        2 => (0usize..130).prop_map(Call::Ping),
        2 => Just(Call::Flush),
        1 => prop_oneof![Just(1000u16), 3000u16..5000, 990u16..1020, any::<u16>()].prop_map(Call::Close),
        2 => Just(Call::Look),
    ]
}

fn take() -> impl Strategy<Value = Take> {
    prop_oneof![
        Just(Take::Wait),
        Just(Take::Try),
        (0u64..5).prop_map(Take::Within),
    ]
}

fn connect(deflate: bool, max_buffered_bytes: usize) -> WebSocket {
    static PORT: OnceLock<u16> = OnceLock::new();
    let port = PORT.get_or_init(|| {
        let mut server = Server::bind("127.0.0.1:0").unwrap();
        server.options(Options::new().deflate(Some(Deflate::new())));
        let port = server.local_addr().unwrap().port();
        let echo = |mut ws: WebSocket| {
            while let Ok(Some(message)) = ws.receive() {
                let reply = message.into_owned();
                if ws.send(&reply).is_err() {
                    break;
                }
            }
        };
        // It serves until the process ends.
        server.spawn(echo).unwrap();
        port
    });
    let mut options = Options::new();
    options
        .max_buffered_bytes(max_buffered_bytes)
        .deflate(deflate.then(Deflate::new));
    let mut client = Client::new();
    client.options(&options);
    client.connect(&format!("ws://127.0.0.1:{port}/")).unwrap()
}

/// A payload that says who sent it and when, `len` bytes longer than that.
fn payload(thread: usize, number: usize, len: usize) -> String {
    format!("{thread} {number} {}", "x".repeat(len))
}

/// Makes the calls, and returns the numbers of the messages that were accepted.
fn perform(sender: &Sender, thread: usize, calls: &[Call]) -> Vec<usize> {
    let mut accepted = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let result = match call {
            Call::Text(len) => sender.send_text(&payload(thread, number, *len)),
            Call::Binary(len) => sender.send_binary(payload(thread, number, *len).as_bytes()),
            Call::Try(len) => match sender.try_send(payload(thread, number, *len).as_str()) {
                Err(Error::Full) => continue,
                result => result,
            },
            Call::Stream(lens) => stream(sender, payload(thread, number, 0).as_bytes(), lens),
            Call::Abandon(len) => {
                if let Ok(mut writer) = sender.writer(MessageKind::Binary) {
                    let _ = writer.push(&vec![0; *len]);
                }
                continue;
            }
            Call::Ping(len) => {
                let result = sender.ping(&vec![b'p'; *len]);
                assert!(
                    *len <= 125 || matches!(result, Err(Error::Misuse(_))),
                    "{result:?}"
                );
                continue;
            }
            Call::Flush => {
                let _ = sender.flush();
                continue;
            }
            Call::Close(code) => {
                let result = sender.close(*code, "enough");
                let may_be = matches!(code, 1000 | 1001 | 1003 | 1007..=1014 | 3000..=4999);
                assert_eq!(result.is_ok(), may_be, "{code}: {result:?}");
                continue;
            }
            Call::Look => {
                let _ = (sender.ready_state(), sender.buffered_amount());
                let _ = (sender.close_info(), sender.round_trip_time());
                continue;
            }
        };
        match result {
            Ok(()) => accepted.push(number),
            // Somebody has closed.
            Err(Error::Closed(_)) => {}
            Err(other) => panic!("{call:?}: {other}"),
        }
    }
    accepted
}

fn stream(sender: &Sender, start: &[u8], lens: &[usize]) -> wstrand::Result<()> {
    let mut writer = sender.writer(MessageKind::Binary)?;
    writer.push(start)?;
    for len in lens {
        writer.push(&vec![b'x'; *len])?;
        writer.flush()?;
    }
    writer.finish()
}

/// The numbers of the messages that came back, by the thread that sent them.
fn receive_all(mut ws: wstrand::Receiver, takes: &[Take]) -> HashMap<usize, Vec<usize>> {
    let mut received: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut takes = takes.iter().cycle();
    loop {
        let message = match takes.next() {
            Some(Take::Try) => ws.try_receive(),
            Some(Take::Within(ms)) => ws.receive_timeout(Duration::from_millis(*ms)),
            _ => ws.receive(),
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return received,
            Err(Error::Timeout(Phase::Receive)) => continue,
            Err(other) => panic!("{other}"),
        };
        let text = std::str::from_utf8(message.as_bytes()).unwrap();
        let mut parts = text.split(' ');
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (thread, number): (usize, usize) = (number(), number());
        received.entry(thread).or_default().push(number);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_called_what_was_accepted_comes_back_once_and_in_order(
        threads in vec(vec(call(), 0..10), 1..4),
        takes in vec(take(), 0..6),
        deflate in any::<bool>(),
        max_buffered_bytes in prop_oneof![Just(1usize << 20), 0usize..5000],
    ) {
        let (sender, receiver) = connect(deflate, max_buffered_bytes).split();
        let (accepted, received) = thread::scope(|scope| {
            let receiving = scope.spawn(|| receive_all(receiver, &takes));
            let sending: Vec<_> = threads
                .iter()
                .enumerate()
                .map(|(thread, calls)| {
                    let sender = sender.clone();
                    scope.spawn(move || perform(&sender, thread, calls))
                })
                .collect();
            let accepted: Vec<_> = sending
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            sender.close(1000, "").unwrap();
            (accepted, receiving.join().unwrap())
        });
        for (thread, accepted) in accepted.into_iter().enumerate() {
            let received = received.get(&thread).cloned().unwrap_or_default();
            prop_assert_eq!(received, accepted, "from thread {}", thread);
        }
        let info = sender.close_info().unwrap();
        prop_assert!(info.was_clean, "{:?}", info);
    }
}
