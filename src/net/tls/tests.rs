use std::{
    cell::Cell,
    net::{TcpListener, TcpStream},
    rc::Rc,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::net::{
    script::{Chance, Plan, Script, Stage, put_off},
    socket::{Socket, Tcp},
};

/// TLS with no secrets: `?` is a message that wants an answer, which is `!`, everything else is data. So the peer can
/// ask as fast as a socket goes.
struct Plain(Pipe);

impl Read for Plain {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.0.read(out)?;
            let data: Vec<u8> = out[..len].iter().copied().filter(|&b| b != b'?').collect();
            self.0.write_all(&vec![b'!'; len - data.len()])?;
            out[..data.len()].copy_from_slice(&data);
            if !data.is_empty() || len == 0 {
                return Ok(data.len());
            }
        }
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Engine for Plain {
    fn say_goodbye(&mut self) {}

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        None
    }
}

/// The opening handshake's end, where there is one.
fn done(pipe: &Pipe) -> Attempt {
    Attempt::Done(Box::new(Plain(pipe.clone())))
}

/// A handshake that skips whatever it is sent.
fn endless(pipe: Pipe) -> Attempt {
    Attempt::More(Box::new(move || {
        // Byte by byte, so that the socket is filled faster: it must never be found empty.
        while pipe.clone().read(&mut [0]).is_ok_and(|len| len > 0) {}
        endless(pipe)
    }))
}

fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    let socket = Socket::new(ours.into(), Tcp::default());
    (Stream::Plain(Arc::new(socket)), peer)
}

fn secure(socket: Stream) -> Stream {
    let pipe = Pipe::default();
    let session = TlsSession::shake_hands(done(&pipe), pipe, &socket, Wait::Forever).unwrap();
    Stream::Tls(Box::new(socket), session)
}

/// Asks without end, on a thread of its own.
fn flood(peer: &TcpStream) -> thread::JoinHandle<()> {
    let mut peer = peer.try_clone().unwrap();
    thread::spawn(move || while peer.write_all(&[b'?'; 4096]).is_ok() {})
}

/// Reads all answers, on a thread of its own.
fn listen(peer: &TcpStream) -> thread::JoinHandle<u64> {
    let mut peer = peer.try_clone().unwrap();
    thread::spawn(move || io::copy(&mut peer, &mut io::sink()).unwrap_or(0))
}

fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(Duration::from_secs(60)).unwrap()
}

const LIMIT: Duration = Duration::from_millis(200);

#[test]
fn a_peer_that_asks_without_end_does_not_prolong_the_wait_for_data() {
    for reads_the_answers in [true, false] {
        let (ours, peer) = pair();
        let stream = Arc::new(secure(ours));
        let flooding = flood(&peer);
        let listening = reads_the_answers.then(|| listen(&peer));
        let started = Instant::now();
        let received = in_time({
            let stream = stream.clone();
            move || {
                let mut buffer = Vec::with_capacity(4096);
                stream.receive_data(&mut buffer, Wait::for_duration(LIMIT))
            }
        });
        assert_eq!(received.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(started.elapsed() >= LIMIT);
        drop(stream); // unread input makes it a reset
        flooding.join().unwrap();
        listening.map(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_peer_that_never_comes_to_the_end_of_the_handshake_does_not_prolong_it() {
    let (ours, peer) = pair();
    let ours = Arc::new(ours);
    let flooding = flood(&peer);
    let shaken = in_time({
        let ours = ours.clone();
        move || {
            let pipe = Pipe::default();
            TlsSession::shake_hands(
                endless(pipe.clone()),
                pipe,
                &ours,
                Wait::for_duration(LIMIT),
            )
        }
    });
    let error = shaken.unwrap_err();
    assert!(matches!(error, Error::Timeout(Phase::Tls)), "{error:?}");
    drop(ours);
    flooding.join().unwrap();
}

#[test]
fn answers_that_the_peer_does_not_read_come_to_a_bound_and_then_to_an_error() {
    let (ours, peer) = pair();
    let stream = secure(ours);
    let flooding = flood(&peer);
    let mut buffer = Vec::with_capacity(4096);
    let error = loop {
        match stream.receive(&mut buffer, Wait::Forever) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other.unwrap_err(),
        }
        // As a connection's reader does.
        stream.flush(Wait::Never).unwrap();
        let Stream::Tls(_, session) = &stream else {
            unreachable!("made above");
        };
        let unsent = session.lock().unsent.len();
        assert!(unsent <= MAX_ANSWERS, "{unsent}");
    };
    assert!(error.to_string().contains("does not read"), "{error}");
    drop(stream);
    flooding.join().unwrap();
}

#[test]
fn questions_are_answered_without_end_as_long_as_the_peer_reads() {
    const QUESTIONS: usize = 16 * MAX_ANSWERS;
    let (ours, mut peer) = pair();
    let stream = secure(ours);
    let listening = listen(&peer);
    let asking = thread::spawn(move || {
        peer.write_all(&vec![b'?'; QUESTIONS]).unwrap();
        peer.write_all(b"data").unwrap();
    });
    let mut buffer = Vec::with_capacity(4096);
    while buffer.len() < 4 {
        let wait = Wait::for_duration(Duration::from_secs(60));
        assert!(stream.receive_data(&mut buffer, wait).unwrap() > 0);
    }
    assert_eq!(buffer, b"data");
    assert!(stream.flush(Wait::Forever).unwrap());
    asking.join().unwrap();
    stream.shutdown();
    assert_eq!(listening.join().unwrap(), QUESTIONS as u64);
}

/// As the flusher sends, which has nothing of its own to say.
#[test]
fn what_a_session_below_has_kept_is_written_by_whoever_sends_next() {
    let (ours, peer) = pair();
    let stream = secure(secure(ours));
    let mut taken = 0;
    while !stream.has_unsent() {
        taken += stream.send(&[b'.'; 4096], Wait::Never).unwrap();
    }
    let listening = listen(&peer);
    assert_eq!(stream.send(&[], Wait::Forever).unwrap(), 0);
    assert!(!stream.has_unsent());
    stream.shutdown();
    assert_eq!(listening.join().unwrap(), taken as u64);
}

/// As [`Plain`], but what goes out is in records that are numbered as they are made, which as in TLS must arrive so.
struct Numbered {
    pipe: Pipe,
    made: u32,
}

impl Numbered {
    fn record(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let mut record = vec![kind];
        record.extend(self.made.to_be_bytes());
        record.extend((bytes.len() as u32).to_be_bytes());
        record.extend(bytes);
        self.made += 1;
        self.pipe.write_all(&record)
    }
}

impl Read for Numbered {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.pipe.read(out)?;
            let data: Vec<u8> = out[..len].iter().copied().filter(|&b| b != b'?').collect();
            for _ in data.len()..len {
                self.record(b'!', &[])?;
            }
            out[..data.len()].copy_from_slice(&data);
            if !data.is_empty() || len == 0 {
                return Ok(data.len());
            }
        }
    }
}

impl Write for Numbered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.record(b'.', bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Engine for Numbered {
    fn say_goodbye(&mut self) {}

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        None
    }
}

/// A stream that one thread reads and others write, as a connection's are, over a script that says when.
struct Shared {
    stream: Stream,
    is_reading: Cell<bool>,
    is_writing: Cell<bool>,
    has_ended: Cell<bool>,
    heard: Cell<Vec<u8>>,
    said: Cell<Vec<u8>>,
}

impl Shared {
    fn read(&self, chance: &mut Chance) {
        if self.is_reading.replace(true) {
            return;
        }
        let mut buffer = Vec::with_capacity(1 + chance.below(3000));
        match self.stream.receive(&mut buffer, Wait::Never) {
            Ok(0) => self.has_ended.set(true),
            Ok(_) => {
                let mut heard = self.heard.take();
                heard.append(&mut buffer);
                self.heard.set(heard);
            }
            // What that wants for an answer is the writer's where somebody writes.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.flush(Wait::Never),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
        self.is_reading.set(false);
    }

    fn write(&self, chance: &mut Chance) {
        if self.is_writing.replace(true) {
            return;
        }
        let bytes: Vec<u8> = (0..chance.below(2000)).map(|n| n as u8).collect();
        let wait = [Wait::Never, Wait::Forever][chance.below(2)];
        let taken = self.stream.send(&bytes, wait).unwrap();
        let mut said = self.said.take();
        said.extend(&bytes[..taken]);
        self.said.set(said);
        self.is_writing.set(false);
    }

    fn flush(&self, wait: Wait) {
        if !self.is_writing.replace(true) {
            self.stream.flush(wait).unwrap();
            self.is_writing.set(false);
        }
    }
}

/// Plays the reader's and the writers' calls inside of each other, and judges what came of it.
fn interleave(seed: u64) {
    let _stage = Stage::enter();
    let mut chance = Chance(!seed);
    let rarely = 1 + chance.below(100);
    let inbound: Vec<u8> = (0..chance.below(40_000))
        .map(|n| match chance.one_in(rarely + 10) {
            true => b'?',
            false => b'a' + (n % 26) as u8,
        })
        .collect();
    let script = Arc::new(Script::new(Plan {
        seed,
        inbound: inbound.clone(),
        others_run_in_sends: true,
        ..Plan::default()
    }));
    let socket = Stream::Plain(Arc::new(Socket::scripted(script.clone())));
    let pipe = Pipe::default();
    let engine = Numbered {
        pipe: pipe.clone(),
        made: 0,
    };
    let done = Attempt::Done(Box::new(engine));
    let session = TlsSession::shake_hands(done, pipe, &socket, Wait::Forever).unwrap();
    let shared = Rc::new(Shared {
        stream: Stream::Tls(Box::new(socket), session),
        is_reading: Cell::default(),
        is_writing: Cell::default(),
        has_ended: Cell::default(),
        heard: Cell::default(),
        said: Cell::default(),
    });
    while !shared.has_ended.get() {
        for act in [Shared::read, Shared::write] {
            let (shared, mut chance) = (shared.clone(), chance.clone());
            drop(put_off(move || act(&shared, &mut chance)));
        }
        match chance.one_in(2) {
            true => shared.read(&mut chance),
            false => shared.write(&mut chance),
        }
    }
    shared.flush(Wait::Forever);

    let (mut said, mut answers) = (Vec::<u8>::new(), 0);
    let sent = script.sent();
    let mut rest = &sent[..];
    for number in 0u32.. {
        let Some((head, behind)) = rest.split_at_checked(9) else {
            break;
        };
        let four = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!(four(1), number, "out of order");
        let (payload, behind) = behind.split_at(four(5) as usize);
        said.extend(payload);
        answers += usize::from(head[0] == b'!');
        rest = behind;
    }
    assert!(rest.is_empty());
    assert!(said == shared.said.take());
    let (asked, told): (Vec<u8>, Vec<u8>) = inbound.iter().partition(|byte| **byte == b'?');
    assert_eq!(answers, asked.len());
    assert!(told == shared.heard.take());
}

#[test]
fn what_a_reader_and_writers_have_the_session_say_goes_out_once_and_in_the_order_in_which_it_was_said()
 {
    in_time(|| {
        for seed in 0..300 {
            println!("seed {seed}"); // the last is shown if it fails
            interleave(seed);
        }
    });
}
