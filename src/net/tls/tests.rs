use std::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::net::socket::{Socket, Tcp};

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
