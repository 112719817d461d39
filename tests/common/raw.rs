//! A peer that speaks WebSocket by hand, over a plain socket, so that it can misbehave to the byte; and what
//! the tests that use it share.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};
use wstrand::{Client, Options, Server, ServerHandle, WebSocket};

/// How long a test waits for what takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a whole test may take.
const LIMIT: Duration = Duration::from_secs(150);

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The first byte's bit that says that a message is compressed (RFC 7692, section 6).
pub(crate) const RSV1: u8 = 0x40;

/// The key of RFC 6455, section 1.3, and the answer to it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Runs a test on a thread of its own, and fails it if it has not ended in time.
pub(crate) fn in_time(test: impl FnOnce() + Send + 'static) {
    let (running, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _running = running;
        test();
    });
    match ended.recv_timeout(LIMIT) {
        Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
        _ => panic!("the test hangs"),
    }
}

/// Runs a test in a process of its own, where no other test's threads and descriptors are: this program
/// once more, with only the test `name`.
pub(crate) fn alone(name: &str, test: impl FnOnce() + Send + 'static) {
    alone_with(name, &[], test);
}

/// As [`alone`], with more in the environment.
pub(crate) fn alone_with(
    name: &str,
    environment: &[(&str, &str)],
    test: impl FnOnce() + Send + 'static,
) {
    const ALONE: &str = "WSTRAND_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return in_time(test);
    }
    let this = std::env::current_exe().expect("the running test has a path");
    let output = Command::new(this)
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .arg("--test-threads=1")
        .env(ALONE, "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the running test starts once more");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Waits until `condition` holds, for things that cannot be waited for.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        // A connection's state has no event; other threads must come to their turn.
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Which end of the connection the raw peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A frame as it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) is_final: bool,
    /// RSV1 is set: the message that begins here is compressed (RFC 7692, section 6).
    pub(crate) is_compressed: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.payload[..self.payload.len().min(40)];
        write!(
            f,
            "opcode {}{} with {} bytes: {}",
            self.opcode,
            if self.is_final { "" } else { " (more follow)" },
            self.payload.len(),
            shown.escape_ascii()
        )
    }
}

impl Frame {
    /// The code and the reason of a Close frame that has them.
    #[track_caller]
    pub(crate) fn close(&self) -> (u16, &str) {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        let (code, reason) = self.payload.split_at(2);
        let code = u16::from_be_bytes(code.try_into().expect("two bytes"));
        (
            code,
            std::str::from_utf8(reason).expect("a reason is UTF-8"),
        )
    }

    #[track_caller]
    pub(crate) fn is(&self, opcode: u8, payload: impl AsRef<[u8]>) {
        assert!(self.is_final, "{self:?}");
        assert_eq!(self.opcode, opcode, "{self:?}");
        assert!(self.payload == payload.as_ref(), "{self:?}");
    }
}

/// The bytes of a frame, well formed or not.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) first: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
    /// What the header says; `None` for the truth in its shortest form.
    pub(crate) length: Option<Vec<u8>>,
}

impl Build {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.first];
        let length = self.length.clone().unwrap_or_else(|| {
            let len = self.payload.len();
            match len {
                0..=125 => vec![len as u8],
                126..=0xffff => [&[126][..], &(len as u16).to_be_bytes()].concat(),
                _ => [&[127][..], &(len as u64).to_be_bytes()].concat(),
            }
        });
        bytes.extend_from_slice(&length);
        if let Some(key) = self.mask {
            bytes[1] |= 0x80;
            bytes.extend_from_slice(&key);
            bytes.extend(
                self.payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(a, b)| a ^ b),
            );
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// The raw peer, over a plain socket or whatever else carries bytes.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) side: Side,
    /// permessage-deflate was negotiated.
    pub(crate) deflates: bool,
    /// What was read and not taken yet begins at `at`.
    buffer: Vec<u8>,
    at: usize,
}

impl Raw {
    fn new(stream: TcpStream, side: Side) -> Self {
        stream.set_nodelay(true).expect("an open socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("an open socket");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("an open socket");
        Self::over(stream, side)
    }

    /// A client that has said nothing yet.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::new(
            TcpStream::connect(addr).expect("the server listens"),
            Side::Client,
        )
    }

    /// A client whose opening handshake is done.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::connect(addr).opened(addr)
    }

    /// A server that has a client, and has heard nothing yet.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("the socket listens");
        Self::new(stream, Side::Server)
    }

    /// A server whose opening handshake is done.
    pub(crate) fn accept_open(listener: &TcpListener) -> Self {
        Self::accept(listener).accepted().0
    }

    /// Waits until something has arrived, and leaves it in the socket.
    pub(crate) fn peek(&mut self) {
        let peeked = self.stream.peek(&mut [0]).expect("the peer writes");
        assert_eq!(peeked, 1, "the peer has ended");
    }

    pub(crate) fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection by a reset: that is what closing with unread input does.
    pub(crate) fn reset(mut self) {
        self.peek();
    }

    /// Answers Close as a peer should, and waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Frame {
        let close = self.frame();
        assert_eq!(close.opcode, CLOSE, "{close:?}");
        self.send(CLOSE, close.payload.clone());
        if self.side == Side::Server {
            self.half_close();
        }
        self.end();
        close
    }
}

impl<S: Read + Write> Raw<S> {
    /// A peer over a stream that is connected, and has its deadlines.
    pub(crate) fn over(stream: S, side: Side) -> Self {
        Self {
            stream,
            side,
            deflates: false,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// The client's opening handshake.
    #[track_caller]
    pub(crate) fn opened(mut self, host: impl fmt::Display) -> Self {
        self.write(&request(host, ""));
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains(ACCEPT), "{head}");
        self
    }

    /// The server's opening handshake; with the head of the request.
    #[track_caller]
    pub(crate) fn accepted(mut self) -> (Self, String) {
        let head = self.head();
        self.write(answer(&head, "").as_bytes());
        (self, head)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the peer reads");
    }

    /// A well-formed frame for this side to send.
    pub(crate) fn build(&self, first: u8, payload: impl Into<Vec<u8>>) -> Build {
        Build {
            first,
            mask: (self.side == Side::Client).then_some([0x37, 0xfa, 0x21, 0x3d]),
            payload: payload.into(),
            length: None,
        }
    }

    /// The bytes of a well-formed, final frame for this side to send.
    pub(crate) fn bytes(&self, opcode: u8, payload: impl Into<Vec<u8>>) -> Vec<u8> {
        self.build(0x80 | opcode, payload).bytes()
    }

    /// Sends a final frame.
    pub(crate) fn send(&mut self, opcode: u8, payload: impl Into<Vec<u8>>) {
        let bytes = self.bytes(opcode, payload);
        self.write(&bytes);
    }

    /// Sends a frame that more will follow.
    pub(crate) fn send_more(&mut self, opcode: u8, payload: impl Into<Vec<u8>>) {
        let bytes = self.build(opcode, payload).bytes();
        self.write(&bytes);
    }

    pub(crate) fn send_close(&mut self, code: u16, reason: &str) {
        self.send(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat());
    }

    /// Reads until a head is complete, and leaves in the buffer what follows it.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(rest[..end + 4].to_vec()).expect("ASCII");
                self.at += end + 4;
                return head;
            }
            assert!(
                self.fill().expect("the peer writes"),
                "the peer has ended inside a head: {}",
                self.buffer[self.at..].escape_ascii()
            );
        }
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        match self.next() {
            Ok(Some(frame)) => frame,
            other => panic!("instead of a frame: {other:?}"),
        }
    }

    /// The next frame, or `None` at the end of the stream between two frames.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take() {
                return Ok(Some(frame));
            }
            if !self.fill()? {
                return match self.buffer.len() - self.at {
                    0 => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Reads on until a frame satisfies `wanted`, and returns it and how many were before.
    #[track_caller]
    pub(crate) fn find(&mut self, wanted: impl Fn(&Frame) -> bool) -> (Frame, usize) {
        let mut before = 0;
        loop {
            let frame = self.frame();
            if wanted(&frame) {
                return (frame, before);
            }
            before += 1;
        }
    }

    /// Demands that the stream ends here, by FIN.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        match self.next() {
            Ok(None) => {}
            other => panic!("instead of the end: {other:?}"),
        }
    }

    /// Demands that the connection is gone here, by FIN or reset.
    #[track_caller]
    pub(crate) fn gone(&mut self) {
        match self.next() {
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("instead of the end: {other:?}"),
        }
    }

    /// Everything up to the end of the stream.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill().expect("the peer ends by FIN") {}
        self.buffer.split_off(self.at)
    }

    /// Reads up to `len` bytes and throws them away; returns how many.
    pub(crate) fn trickle(&mut self, len: usize) -> io::Result<usize> {
        self.stream.read(&mut vec![0; len])
    }

    fn take(&mut self) -> Option<Frame> {
        let rest = &self.buffer[self.at..];
        let (&first, &second) = (rest.first()?, rest.get(1)?);
        let is_masked = second & 0x80 != 0;
        let mut header = 2;
        let len = match second & 0x7f {
            126 => {
                header += 2;
                u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?).into()
            }
            127 => {
                header += 8;
                u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?)
            }
            short => short.into(),
        };
        let len = usize::try_from(len).expect("a length that fits");
        let mut key = [0; 4];
        if is_masked {
            key.copy_from_slice(rest.get(header..header + 4)?);
            header += 4;
        }
        let payload = rest.get(header..header + len)?;
        assert_eq!(
            is_masked,
            self.side == Side::Server,
            "clients mask, servers do not"
        );
        let extended = if self.deflates { RSV1 } else { 0 };
        assert_eq!(first & 0x70 & !extended, 0, "no extension says so");
        let mut payload = payload.to_vec();
        for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        self.at += header + len;
        Some(Frame {
            is_final: first & 0x80 != 0,
            is_compressed: first & RSV1 != 0,
            opcode: first & 0x0f,
            payload,
        })
    }

    /// Reads some; `false` at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at > self.buffer.len() / 2 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        let len = self.buffer.len();
        self.buffer.resize(len + 64 * 1024, 0);
        let result = self.stream.read(&mut self.buffer[len..]);
        self.buffer.truncate(len + *result.as_ref().unwrap_or(&0));
        Ok(result? > 0)
    }
}

/// An opening handshake with more header lines, each with its line break.
pub(crate) fn request(host: impl fmt::Display, more: &str) -> Vec<u8> {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
    .into_bytes()
}

/// The answer that accepts a client's opening handshake, with more header lines.
pub(crate) fn answer(head: &str, more: &str) -> String {
    let key = header(head, "sec-websocket-key").expect("a client sends a key");
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{more}\r\n",
        STANDARD.encode(hash.finalize())
    )
}

/// The value of a header field in a head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A listening socket, and the URL of it.
pub(crate) fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    (listener, url)
}

/// A server of the library's; stopped when dropped.
pub(crate) struct Running {
    pub(crate) handle: ServerHandle,
}

impl Running {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.handle.local_addr().expect("a TCP socket")
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that fails leaves its connections open; they must not hold it up.
        let drain = if thread::panicking() {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let busy = self.handle.stop(drain);
        assert!(thread::panicking() || busy == 0, "{busy} threads are busy");
    }
}

/// Starts a server on a free port.
pub(crate) fn serve(
    configure: impl FnOnce(&mut Server),
    serve: impl Fn(WebSocket) + Send + Sync + 'static,
) -> Running {
    let mut server = Server::bind("127.0.0.1:0").expect("a free port");
    configure(&mut server);
    let handle = server.spawn(serve).expect("the configuration is good");
    Running { handle }
}

/// Starts a server that sends back every message.
pub(crate) fn echo_server(configure: impl FnOnce(&mut Server)) -> Running {
    serve(configure, echo)
}

/// Sends back every message.
pub(crate) fn echo(ws: WebSocket) {
    ws.run(|sender: &wstrand::Sender, message: wstrand::Message<'_>| {
        // If it fails the connection is over, and the loop ends by itself.
        let _ = sender.send(message);
    });
}

/// Starts a server whose connections can be taken from a channel.
pub(crate) fn hand_out(
    configure: impl FnOnce(&mut Server),
) -> (Running, crossbeam_channel::Receiver<WebSocket>) {
    let (sender, connections) = crossbeam_channel::unbounded();
    let running = serve(configure, move |ws| {
        // A test that has failed takes no more.
        let _ = sender.send(ws);
    });
    (running, connections)
}

/// A connection of the library's with a raw peer.
pub(crate) struct Pair {
    pub(crate) ws: WebSocket,
    pub(crate) raw: Raw,
    /// The server, if the library's end is one. Declared last: it stops when its connection is gone.
    pub(crate) server: Option<Running>,
}

/// Connects a client of the library's to a raw server.
pub(crate) fn client(options: &Options) -> Pair {
    let (listener, url) = listen();
    let raw = thread::spawn(move || Raw::accept_open(&listener));
    let ws = Client::new()
        .options(options)
        .connect(&url)
        .expect("the raw server accepts");
    let raw = raw.join().expect("the raw server accepts");
    Pair {
        ws,
        raw,
        server: None,
    }
}

/// Connects a raw client to a server of the library's.
pub(crate) fn server(options: &Options) -> Pair {
    let (running, connections) = hand_out(|server| {
        server.options(options);
    });
    let raw = Raw::open(running.addr());
    let ws = connections
        .recv_timeout(PATIENCE)
        .expect("the server accepts");
    Pair {
        ws,
        raw,
        server: Some(running),
    }
}

/// Runs a test with the library's end as a client, then as a server.
pub(crate) fn both_roles(options: &Options, test: impl Fn(Pair)) {
    test(client(options));
    test(server(options));
}

/// Options under which no deadline passes while a test runs, and no pings are sent.
pub(crate) fn patient() -> Options {
    let mut options = Options::new();
    options
        .send_timeout(Duration::from_secs(600))
        .close_timeout(Duration::from_secs(600))
        .ping_interval(None);
    options
}

/// Bytes that tell where they belong.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8) ^ ((i >> 8) as u8) ^ seed)
        .collect()
}
