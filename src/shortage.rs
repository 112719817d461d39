//! Where the system has no more threads: an error, or it goes without.

use std::{
    io::{self, Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Attempt, Client, Error, Group, Handler, Message, Options, Phase, Receiver, Reconnect, Sender,
    Server, WebSocket,
    connection::shared::{Opened, Shared},
    net::{
        Stream,
        socket::{Socket, Tcp},
    },
    protocol::Role,
    threads::refusal::Refusal,
    watchdog::Timed,
};

/// A server's connection, and the other end of its socket.
struct Pair {
    shared: Arc<Shared>,
    receiver: Receiver,
    peer: UnixStream,
}

impl Pair {
    fn new() -> Self {
        Self::with(Options::new())
    }

    fn with(mut options: Options) -> Self {
        let (near, peer) = UnixStream::pair().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = Arc::new(Socket::new(near.into(), Tcp::default()));
        let socket = Arc::new(Stream::Plain(socket));
        options.close_timeout(PATIENCE).ping_interval(None);
        let opened = Opened::default();
        let shared = Shared::new(Role::Server, options, opened, socket.clone()).unwrap();
        Self {
            receiver: Receiver::new(shared.clone(), socket, Vec::new(), None),
            shared,
            peer,
        }
    }

    /// Sends more than the socket takes. Returns how long the frame is.
    fn fill(&self) -> usize {
        let sender = self.receiver.sender();
        sender.try_send(&vec![7; 1 << 20][..]).unwrap();
        assert!(sender.buffered_amount() > 0);
        10 + (1 << 20)
    }

    fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.peer.read_exact(&mut bytes).unwrap();
        bytes
    }
}

#[track_caller]
fn assert_no_thread<T>(result: crate::Result<T>) {
    let no_thread = matches!(
        &result,
        Err(Error::Io { phase: Phase::Spawn, source }) if source.kind() == io::ErrorKind::WouldBlock
    );
    assert!(no_thread, "{:?}", result.err());
}

#[test]
fn what_is_owed_after_the_peer_s_close_goes_out() {
    let mut pair = Pair::new();
    let _refusal = Refusal::begin();
    let len = pair.fill();
    pair.peer.write_all(&MASKED_CLOSE).unwrap();
    let mut peer = pair.peer;
    let peer = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    let received = pair.receiver.receive();
    assert!(matches!(received, Ok(None)), "{received:?}");
    let all = peer.join().unwrap().unwrap();
    assert_eq!(all.len(), len + CLOSE.len());
    assert!(all.ends_with(&CLOSE));
}

#[test]
fn what_is_left_is_written_as_the_peer_reads_though_nobody_calls() {
    let mut pair = Pair::new();
    let _refusal = Refusal::begin();
    let len = pair.fill();
    pair.receiver.sender().close(1000, "").unwrap();
    let mut left = len + CLOSE.len();
    while left > 0 {
        left -= pair.read(left.min(10_000)).len();
        pair.shared.look(Instant::now());
    }
}

#[test]
fn a_peer_that_does_not_read_fails_the_connection_after_send_timeout() {
    let mut options = Options::new();
    options.send_timeout(Duration::from_nanos(1));
    let pair = Pair::with(options);
    let _refusal = Refusal::begin();
    pair.fill();
    pair.shared.look(Instant::now());
    let failed = loop {
        let result = pair.receiver.sender().try_send("more");
        // The watchdog's own thread, to which none is refused, may have come first and started a flusher.
        match result {
            Ok(()) | Err(Error::Full) => thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, Error::Timeout(Phase::Send)), "{failed:?}");
}

#[test]
fn a_group_s_message_is_written_by_who_sends_it() {
    let group = Group::new();
    let mut pairs: Vec<_> = (0..40).map(|_| Pair::new()).collect();
    for pair in &pairs {
        group.join(&pair.receiver.sender());
    }
    let _refusal = Refusal::begin();
    assert_eq!(group.send("all"), pairs.len());
    for pair in &mut pairs {
        assert_eq!(pair.read(5), b"\x81\x03all");
    }
}

#[test]
fn a_connection_that_gets_no_thread_is_closed() {
    let closes: [fn(Receiver); 3] = [
        |receiver| assert_no_thread(receiver.spawn(|_: &Sender, _: Message<'_>| {})),
        |receiver| assert_no_thread(receiver.events(1)),
        drop,
    ];
    for close in closes {
        let pair = Pair::new();
        let _refusal = Refusal::begin();
        let (sender, mut peer) = (pair.receiver.sender(), pair.peer);
        close(pair.receiver);
        assert!(sender.close_info().is_some());
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, CLOSE);
    }
}

#[test]
fn a_name_that_nobody_looks_up_is_an_error_and_the_next_is_looked_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://localhost:{}/", listener.local_addr().unwrap().port());
    drop(listener);
    let mut client = Client::new();
    client.connect_timeout(PATIENCE);
    let refusal = Refusal::begin();
    assert_no_thread(client.connect(&url));
    drop(refusal);
    let error = client.connect(&url).unwrap_err();
    let is_later = matches!(
        error,
        Error::Io {
            phase: Phase::Resolve | Phase::Connect,
            ..
        }
    );
    assert!(is_later, "{error:?}");
}

#[test]
fn a_server_that_gets_no_thread_leaves_its_address() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    let refusal = Refusal::begin();
    assert_no_thread(server.spawn(|_| {}));
    drop(refusal);
    assert!(std::net::TcpStream::connect(addr).is_err());
}

/// Has no threads while its first connection lasts, which begins when something is queued.
struct Short {
    is_queued: mpsc::Receiver<()>,
    refusal: Option<Refusal>,
}

impl Handler for Short {
    fn on_attempt(&mut self, attempt: &mut Attempt) {
        self.refusal = None;
        if attempt.number() == 1 {
            let _ = self.is_queued.recv_timeout(PATIENCE);
        }
    }

    fn on_open(&mut self, sender: &Sender) {
        if sender.session() == 1 {
            self.refusal = Some(Refusal::begin());
        }
    }

    fn on_message(&mut self, _: &Sender, _: Message<'_>) {}
}

#[test]
fn queued_messages_for_which_there_is_no_thread_go_by_the_next_connection() {
    let (heard, messages) = mpsc::channel();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    let server = server.spawn(move |mut ws: WebSocket| {
        while let Ok(Some(message)) = ws.receive() {
            let _ = heard.send(message.as_bytes().to_vec());
        }
    });
    let server = server.unwrap();
    let mut reconnect = Reconnect::new();
    reconnect
        .first_delay(Duration::from_millis(1))
        .max_queued_bytes(1000);
    let (queued, is_queued) = mpsc::channel();
    let refusal = None;
    let handler = Short { is_queued, refusal };
    let client = reconnect.spawn(&url, handler).unwrap();
    client.send("kept").unwrap();
    queued.send(()).unwrap();
    assert_eq!(messages.recv_timeout(PATIENCE).unwrap(), b"kept");
    assert_eq!(client.session(), 2);
    client.close(1000, "").unwrap();
    client.wait_closed();
    server.stop(PATIENCE);
}

#[test]
fn a_client_that_gets_no_thread_to_connect_again_is_told() {
    let _refusal = Refusal::begin();
    let spawned = Reconnect::new().spawn("ws://127.0.0.1:1/", |_: &Sender, _: Message<'_>| {});
    assert_no_thread(spawned.map(drop));
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Close with code 1000, as a server sends it, and as a client does.
const CLOSE: [u8; 4] = [0x88, 2, 3, 0xe8];
const MASKED_CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 3, 0xe8];
