//! Connections over a system that is not kind (`net::script`), thousands of them, each repeatable by its seed: what is
//! received and sent is what the other side sent and received, or there is an error.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use rustix::{event::PollFlags, io::Errno};

use crate::{
    CloseInfo, Deflate, Error, Handler, Message, MessageKind, Options, Phase, Receiver, Sender,
    connection::shared::{Opened, Shared},
    handshake::{deflate::Agreed, extensions},
    net::{
        Stream,
        script::{Call, Chance, Plan, Script, Stage, put_off},
        socket::Socket,
    },
    protocol::{
        CloseFrame, Decoder, Encoder, Opcode, Role, Step, decoder::Payload, deflate,
        frame::FrameHeader,
    },
    threads,
};

/// What an end is told, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

impl From<Message<'_>> for Event {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

/// How the peer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Close,
    /// A frame that is none.
    Fault,
    /// The end of the stream alone.
    Silence,
}

/// A connection's conditions, all chosen by its seed.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    role: Role,
    deflate: bool,
    ending: Ending,
    is_bytewise: bool,
    /// Receives by calls that may time out, not by callbacks.
    pulls: bool,
    /// No send waits for more than a nanosecond.
    is_impatient: bool,
    /// The application closes, sooner or later.
    closes: bool,
    /// In which direction the connection is reset, after how many bytes.
    reset: Option<(Direction, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Received,
    Sent,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(!seed);
        let role = [Role::Client, Role::Server][chance.below(2)];
        Self {
            seed,
            role,
            deflate: chance.one_in(3),
            ending: [Ending::Close, Ending::Close, Ending::Fault, Ending::Silence][chance.below(4)],
            is_bytewise: false,
            pulls: chance.one_in(3),
            is_impatient: false,
            closes: chance.one_in(3),
            reset: None,
        }
    }

    fn options(&self) -> Options {
        let mut options = Options::new();
        options
            .max_buffered_bytes(2000)
            .ping_interval(None)
            // No clock has a say here but where a case wants it to.
            .close_timeout(Duration::from_secs(1_000_000))
            .send_timeout(match self.is_impatient {
                true => Duration::from_nanos(1),
                false => Duration::from_secs(1_000_000),
            });
        if self.deflate {
            options.deflate(Some(Deflate::new()));
        }
        options
    }

    fn opened(&self) -> Opened {
        Opened {
            deflate: self.deflate.then(agreed),
            ..Opened::default()
        }
    }

    fn peer(&self) -> Role {
        match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }
}

/// Something to send, mostly short; what differs differs from its first byte on.
fn payload(chance: &mut Chance) -> Vec<u8> {
    let limit = [1, 20, 126, 130, 500, 3000, 3000, 40_000][chance.below(8)];
    let len = chance.below(limit);
    let block: Vec<u8> = (0..97).map(|_| chance.below(128) as u8).collect();
    let mut bytes = block.repeat(len / block.len() + 1);
    bytes.truncate(len);
    bytes
}

/// What the peer sends in a case, and what it means.
fn story(case: &Case) -> (Vec<u8>, Vec<Event>) {
    let mut chance = Chance(case.seed ^ 0x5707_2700);
    let compression = case.opened().compression(case.peer(), &case.options());
    let mut encoder = Encoder::new(case.peer(), compression);
    let (mut out, mut events) = (Vec::new(), Vec::new());
    let control = |encoder: &mut Encoder, out: &mut Vec<u8>, chance: &mut Chance| {
        let text = chance.below(1_000_000_000).to_string().into_bytes();
        let (opcode, event): (_, fn(Vec<u8>) -> Event) = match chance.one_in(3) {
            true => (Opcode::Pong, Event::Pong),
            false => (Opcode::Ping, Event::Ping),
        };
        encoder.frame(opcode, true, &text, out).unwrap();
        event(text)
    };
    for _ in 0..chance.below(20) {
        if chance.one_in(3) {
            events.push(control(&mut encoder, &mut out, &mut chance));
            continue;
        }
        let bytes = payload(&mut chance);
        let (first, event) = match chance.one_in(2) {
            true => (Opcode::Binary, Event::Binary(bytes.clone())),
            false => {
                let text = String::from_utf8(bytes.clone()).expect("it is ASCII");
                (Opcode::Text, Event::Text(text.replace('?', "ä")))
            }
        };
        let bytes = match &event {
            Event::Text(text) => text.as_bytes(),
            _ => &bytes,
        };
        let mut opcode = first;
        let mut rest = bytes;
        while chance.one_in(2) {
            let (piece, behind) = rest.split_at(chance.below(rest.len() + 1));
            encoder
                .data_frame(opcode, false, piece, true, &mut out)
                .unwrap();
            (rest, opcode) = (behind, Opcode::Continuation);
            if chance.one_in(3) {
                events.push(control(&mut encoder, &mut out, &mut chance));
            }
        }
        encoder
            .data_frame(opcode, true, rest, true, &mut out)
            .unwrap();
        events.push(event);
    }
    match case.ending {
        Ending::Close => {
            let close = CloseFrame::new(4321, "enough").payload();
            encoder
                .frame(Opcode::Close, true, close.as_ref(), &mut out)
                .unwrap();
        }
        Ending::Fault => out.push(0x83), // an opcode that means nothing
        Ending::Silence => {}
    }
    if case.ending != Ending::Silence {
        out.extend_from_slice(&vec![0x5a; chance.below(300)]);
    }
    (out, events)
}

/// What an application did and saw.
#[derive(Default)]
struct Log {
    events: Vec<Event>,
    /// Messages and pings that were accepted.
    said: Vec<Event>,
    has_closed: bool,
    error: Option<Error>,
}

/// An application that does what chance has it do.
struct App {
    chance: Chance,
    closes: bool,
    log: Arc<Mutex<Log>>,
}

impl App {
    /// Reacts to something: at once, or while the receiver waits.
    fn act(&mut self, sender: &Sender) {
        for _ in 0..self.chance.below(3) {
            let (sender, log) = (sender.clone(), self.log.clone());
            let chance = Chance(self.chance.below(usize::MAX) as u64);
            let (closes, flushing) = (self.closes, sender.clone());
            let act = move || do_something(&sender, chance, closes, &log);
            if !self.chance.one_in(3) {
                act();
                continue;
            }
            let other_thread = move || {
                act();
                // The receiver, which looks for what was queued before it reads, has looked.
                let _ = flushing.try_flush();
            };
            drop(put_off(other_thread));
        }
    }
}

fn do_something(sender: &Sender, mut chance: Chance, closes: bool, log: &Mutex<Log>) {
    let bytes = payload(&mut chance);
    let message = Event::Binary(bytes.clone());
    let (result, said) = match chance.below(9) {
        0 => (sender.try_send(&bytes[..]), message),
        1 => (sender.queue(&bytes[..]), message),
        2 => {
            let text = "ä".repeat(bytes.len() / 2);
            (sender.send_text(&text), Event::Text(text))
        }
        3 => {
            let streamed = sender.writer(MessageKind::Binary).and_then(|mut writer| {
                for piece in bytes.chunks(1 + chance.below(bytes.len() + 1)) {
                    writer.push(piece)?;
                    if chance.one_in(3) {
                        writer.flush()?;
                    }
                }
                writer.finish()
            });
            (streamed, message)
        }
        4 => {
            let ping = chance.below(1000).to_string().into_bytes();
            (sender.ping(&ping), Event::Ping(ping))
        }
        5 if closes => {
            sender.close(1000, "bye").unwrap();
            log.lock().unwrap().has_closed = true;
            return;
        }
        6 => (sender.send_uncompressed(&bytes[..]), message),
        _ => (sender.send_binary(&bytes), message),
    };
    match result {
        Ok(()) => log.lock().unwrap().said.push(said),
        Err(Error::Full | Error::Closed(_) | Error::Io { .. } | Error::Protocol(_)) => {}
        Err(Error::Timeout(Phase::Queue | Phase::Send)) => {}
        Err(other) => panic!("{other:?}"),
    }
}

impl Handler for App {
    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        self.log.lock().unwrap().events.push(message.into());
        self.act(sender);
    }

    fn on_ping(&mut self, sender: &Sender, payload: &[u8]) {
        let event = Event::Ping(payload.into());
        self.log.lock().unwrap().events.push(event);
        self.act(sender);
    }

    fn on_pong(&mut self, sender: &Sender, payload: &[u8]) {
        let event = Event::Pong(payload.into());
        self.log.lock().unwrap().events.push(event);
        self.act(sender);
    }

    fn on_error(&mut self, _: &Sender, error: &Error) {
        self.log.lock().unwrap().error = Some(error.clone());
    }
}

/// How a case came out.
struct Outcome {
    log: Log,
    close: CloseInfo,
    wire: Wire,
    calls: Vec<Call>,
    was_reset: bool,
}

/// What the peer saw.
#[derive(Debug)]
struct Wire {
    /// Messages and pings.
    heard: Vec<Event>,
    pongs: Vec<Vec<u8>>,
    close: Option<u16>,
    /// It ends with a frame's end, and no message is unfinished.
    is_whole: bool,
}

impl Wire {
    fn read(case: &Case, bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let mut is_in_message = false;
        let mut close = None;
        while let Some((header, used)) =
            FrameHeader::parse(rest, case.role, case.deflate).expect("well-formed frames")
        {
            let whole = rest[used..].split_at_checked(header.payload_len as usize);
            let Some((_, behind)) = whole else { break };
            assert!(close.is_none(), "something follows Close");
            match header.opcode {
                Opcode::Close => (close, is_in_message) = (Some(0), false),
                Opcode::Ping | Opcode::Pong => {}
                _ => is_in_message = !header.is_final,
            }
            rest = behind;
        }
        let decompressor = case.opened().decompressor(case.peer());
        let limits = Options::new().limits();
        let mut decoder = Decoder::new(case.role, limits, decompressor, bytes.to_vec());
        let mut wire = Self {
            heard: Vec::new(),
            pongs: Vec::new(),
            close,
            is_whole: rest.is_empty() && !is_in_message,
        };
        loop {
            match decoder.poll().expect("what was sent keeps to the protocol") {
                Step::NeedMore => return wire,
                Step::Message => wire.heard.push(match decoder.message().unwrap() {
                    Payload::Text(text) => Event::Text(text.into()),
                    Payload::Binary(bytes) => Event::Binary(bytes.into()),
                }),
                Step::Ping(payload) => wire.heard.push(Event::Ping(payload.as_ref().into())),
                Step::Pong(payload) => wire.pongs.push(payload.as_ref().into()),
                Step::Close(close) => wire.close = Some(close.code),
            }
        }
    }
}

/// Plays a case to its end.
fn play(case: &Case) -> Outcome {
    let _stage = Stage::enter();
    let (inbound, _) = story(case);
    let reset_after = |direction| match case.reset {
        Some((which, at)) if which == direction => Some(at.min(inbound.len())),
        _ => None,
    };
    let script = Arc::new(Script::new(Plan {
        seed: case.seed,
        is_bytewise: case.is_bytewise,
        reset_after_received: reset_after(Direction::Received),
        reset_after_sent: reset_after(Direction::Sent),
        inbound,
        ..Plan::default()
    }));
    let socket = Arc::new(Socket::scripted(script.clone()));
    let socket = Arc::new(Stream::Plain(socket));
    let shared = Shared::new(case.role, case.options(), case.opened(), socket.clone()).unwrap();
    let mut receiver = Receiver::new(shared, socket, Vec::new(), None);
    let log = Arc::new(Mutex::new(Log::default()));
    let mut app = App {
        chance: Chance(case.seed.rotate_left(32)),
        closes: case.closes,
        log: log.clone(),
    };
    let close = match case.pulls {
        false => receiver.run_with(&mut app),
        true => {
            pull(&mut receiver, &mut app);
            receiver.wait_closed()
        }
    };
    drop(app);
    Outcome {
        log: std::mem::take(&mut log.lock().unwrap()),
        close,
        wire: Wire::read(case, &script.sent()),
        calls: script.calls(),
        was_reset: script.was_reset(),
    }
}

/// Receives by all the calls that there are.
fn pull(receiver: &mut Receiver, app: &mut App) {
    let sender = receiver.sender();
    loop {
        let received = match app.chance.below(3) {
            0 => receiver.try_receive(),
            1 => receiver.receive_timeout(Duration::from_nanos(1)),
            _ => receiver.receive(),
        };
        match received {
            Ok(Some(message)) => {
                let event = message.into();
                app.log.lock().unwrap().events.push(event);
                app.act(&sender);
            }
            Ok(None) => return,
            Err(Error::Timeout(Phase::Receive)) => {}
            Err(error) => {
                app.log.lock().unwrap().error = Some(error);
                return;
            }
        }
    }
}

/// What holds in every case.
fn judge(case: &Case, outcome: &Outcome) {
    let (_, told) = story(case);
    let Outcome { log, wire, .. } = outcome;
    let is_shown = |event: &Event| !case.pulls || !matches!(event, Event::Ping(_) | Event::Pong(_));
    let shown: Vec<&Event> = told.iter().filter(|event| is_shown(event)).collect();
    let seen: Vec<&Event> = log.events.iter().collect();
    // Where a deadline has passed, the first error may still be another.
    let is_cut = log.error.is_some() && (outcome.was_reset || case.is_impatient);

    assert!(shown.starts_with(&seen), "{seen:?} of {shown:?}");
    assert!(log.said.starts_with(&wire.heard), "{wire:?}");
    assert_eq!(outcome.close.was_clean, log.error.is_none());
    if !is_cut {
        assert_eq!(seen, shown);
        assert_eq!(wire.heard, log.said);
        assert!(wire.is_whole);
    }

    // Each ping is answered in its turn; where writing halts only the last one is, and none behind Close.
    let pings = told.iter().filter_map(|event| match event {
        Event::Ping(payload) => Some(payload),
        _ => None,
    });
    let mut answered = pings.clone();
    let in_turn = |pong| answered.any(|ping| ping == pong);
    assert!(wire.pongs.iter().all(in_turn), "{wire:?}");
    if !is_cut && wire.close.is_none() {
        assert_eq!(wire.pongs.last(), pings.clone().next_back());
    }
    if case.is_bytewise && !log.has_closed {
        assert!(wire.pongs.iter().eq(pings));
    }

    let answer = match case.ending {
        // Which of the two was first, chance says.
        _ if log.has_closed && wire.close == Some(1000) => Some(1000),
        Ending::Close => Some(4321),
        Ending::Fault => Some(1002),
        Ending::Silence => None,
    };
    match &log.error {
        None => assert_eq!((case.ending, outcome.close.code), (Ending::Close, 4321)),
        Some(Error::Protocol(_)) => assert_eq!(case.ending, Ending::Fault),
        Some(Error::Closed(info)) => assert!(
            !info.was_clean && (is_cut || case.ending == Ending::Silence),
            "{info:?}"
        ),
        Some(Error::Io { .. }) => assert!(outcome.was_reset),
        Some(Error::Timeout(Phase::Send)) => assert!(case.is_impatient),
        Some(other) => panic!("{other:?}"),
    }
    if !is_cut {
        // A message that is given up for want of time closes the connection.
        assert!(wire.close == answer || case.is_impatient, "{wire:?}");
        assert_eq!(log.error.is_none(), case.ending == Ending::Close);
    }
}

/// Plays and judges cases, and says which one failed.
fn check(cases: impl Iterator<Item = Case>) -> Vec<Outcome> {
    cases
        .map(|case| {
            let told = Told(&case);
            let outcome = play(&case);
            judge(&case, &outcome);
            std::mem::forget(told);
            outcome
        })
        .collect()
}

/// Tells of a case that it fails, as the panic passes.
struct Told<'a>(&'a Case);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("{:?}", self.0);
    }
}

/// How often each kind of fault was met.
fn faults(outcomes: &[Outcome]) -> [usize; 8] {
    let mut faults = [0; 8];
    for call in outcomes.iter().flat_map(|outcome| &outcome.calls) {
        let kind = match call {
            Call::Recv(_, Err(Errno::INTR)) => 0,
            Call::Recv(_, Err(Errno::AGAIN)) => 1,
            Call::Recv(_, Ok(1)) => 2,
            Call::Send(_, Err(Errno::INTR)) => 3,
            Call::Send(_, Err(Errno::AGAIN)) => 4,
            Call::Send(all, Ok(part)) if part < all => 5,
            Call::Poll(_, Err(Errno::INTR)) => 6,
            Call::Poll(PollFlags::OUT, Ok(0)) => 7,
            _ => continue,
        };
        faults[kind] += 1;
    }
    faults
}

#[test]
fn whatever_the_system_s_calls_come_to_each_end_gets_what_the_other_said() {
    let outcomes = check((0..1000).map(Case::new));
    let faults = faults(&outcomes);
    assert!(faults.iter().all(|times| *times > 100), "{faults:?}");
    let clean = outcomes.iter().filter(|outcome| outcome.close.was_clean);
    assert!(clean.count() > 300);
}

#[test]
fn byte_by_byte_each_end_gets_what_the_other_said_and_every_ping_its_answer() {
    let outcomes = check((0..60).map(|seed| Case {
        is_bytewise: true,
        ..Case::new(seed)
    }));
    for call in outcomes.iter().flat_map(|outcome| &outcome.calls) {
        let (Call::Recv(_, result) | Call::Send(_, result)) = call else {
            continue;
        };
        assert!(matches!(result, Ok(0 | 1)), "{call:?}");
    }
}

#[test]
fn wherever_a_connection_is_reset_there_is_an_error_and_nothing_but_whole_messages() {
    let outcomes = check((0..1000).map(|seed| {
        let mut case = Case::new(seed);
        let mut chance = Chance(seed ^ 0xdead);
        let direction = [Direction::Received, Direction::Sent][chance.below(2)];
        let len = story(&case).0.len();
        case.reset = Some((direction, chance.below(len + 1)));
        case
    }));
    let lost = |outcome: &&Outcome| matches!(outcome.log.error, Some(Error::Io { .. }));
    let lost: Vec<&Outcome> = outcomes.iter().filter(lost).collect();
    assert!(lost.len() > 300, "{}", lost.len());
    assert!(lost.iter().all(|outcome| outcome.was_reset));
    // What the peer said before is received all the same, though nothing can be sent any more.
    for (seed, outcome) in outcomes.iter().enumerate() {
        let is_sender_s = outcome
            .calls
            .iter()
            .any(|call| matches!(call, Call::Send(_, Err(Errno::CONNRESET))));
        if is_sender_s && !Case::new(seed as u64).pulls {
            let (_, told) = story(&Case::new(seed as u64));
            assert_eq!(outcome.log.events, told, "seed {seed}");
        }
    }
}

#[test]
fn a_deadline_that_passes_in_mid_frame_is_an_error_and_nothing_follows() {
    let outcomes = check((0..500).map(|seed| Case {
        is_impatient: true,
        ..Case::new(seed)
    }));
    let late = outcomes
        .iter()
        .filter(|outcome| matches!(outcome.log.error, Some(Error::Timeout(Phase::Send))));
    let mut in_mid_frame = 0;
    for outcome in late {
        let calls = &outcome.calls;
        let cut = calls
            .iter()
            .position(|call| matches!(call, Call::Shutdown(_)));
        let after = &calls[cut.expect("it was cut")..];
        let is_sent = |call: &Call| matches!(call, Call::Send(_, Ok(1..)));
        assert!(!after.iter().any(is_sent), "{after:?}");
        in_mid_frame += usize::from(!outcome.wire.is_whole);
    }
    assert!(in_mid_frame > 50, "{in_mid_frame}");
}

/// Compression as both ends have it by default.
fn agreed() -> Agreed {
    let mut headers = HeaderMap::new();
    let offer = HeaderValue::from_static("permessage-deflate");
    headers.insert("sec-websocket-extensions", offer);
    let offers = extensions::parse(&headers).unwrap();
    Deflate::new().choose(&offers).unwrap()
}

/// A server's connection over a script.
fn scripted(plan: Plan, options: Options, opened: Opened) -> (Receiver, Arc<Script>) {
    let script = Arc::new(Script::new(plan));
    let socket = Arc::new(Socket::scripted(script.clone()));
    let socket = Arc::new(Stream::Plain(socket));
    let shared = Shared::new(Role::Server, options, opened, socket.clone());
    let receiver = Receiver::new(shared.unwrap(), socket, Vec::new(), None);
    (receiver, script)
}

#[test]
fn a_peer_that_reads_slowly_has_a_deadline_for_each_piece_of_what_waits() {
    const TIMEOUT: Duration = Duration::from_secs(1_000_000);
    const PIECE: usize = 64 * 1024;
    let mut compared = 0;
    for seed in 0..20 {
        let _stage = Stage::enter();
        let plan = Plan {
            seed,
            ..Plan::default()
        };
        let mut options = Options::new();
        options.ping_interval(None).send_timeout(TIMEOUT);
        let (mut receiver, script) = scripted(plan, options, Opened::default());
        let message = vec![0; 10 * PIECE];
        receiver.sender().try_send(&message[..]).unwrap();
        let _ = receiver.receive(); // while others run
        assert_eq!(script.sent().len(), 10 + message.len());
        // What waits for room a piece later has a deadline that began after the wait before.
        let waits = script.waits();
        for earlier in &waits {
            let later = waits.iter().find(|it| it.sent > earlier.sent + PIECE);
            if let Some(later) = later {
                assert!(later.until >= earlier.since + TIMEOUT);
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

/// Frames of a client's.
fn frames(frames: &[(Opcode, bool, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new(Role::Client, None);
    let mut bytes = Vec::new();
    for (opcode, is_final, payload) in frames {
        let done = encoder.frame(*opcode, *is_final, payload, &mut bytes);
        done.unwrap();
    }
    bytes
}

#[test]
fn a_call_that_must_not_wait_takes_a_message_that_has_arrived_in_many_pieces() {
    let _stage = Stage::enter();
    let plan = Plan {
        is_bytewise: true,
        inbound: frames(&[
            (Opcode::Binary, false, &[1; 200]),
            (Opcode::Ping, true, b"between"),
            (Opcode::Continuation, true, &[2; 200]),
        ]),
        ..Plan::default()
    };
    let (mut receiver, _) = scripted(plan, Options::new(), Opened::default());
    let received = receiver.try_receive().unwrap().unwrap();
    assert_eq!(received.as_bytes(), [[1; 200], [2; 200]].concat());
}

#[test]
fn a_call_that_must_not_wait_is_not_held_by_a_compressed_message_that_does_not_grow() {
    let _stage = Stage::enter();
    const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];
    // A text of 2^50 bytes and more, compressed, its mask zero.
    let mut inbound = b"\xc1\xff\0\x04\0\0\0\0\0\0\0\0\0\0".to_vec();
    inbound.extend_from_slice(&EMPTY_BLOCK.repeat(4 << 20));
    let len = inbound.len();
    let plan = Plan {
        is_smooth: true,
        inbound,
        ..Plan::default()
    };
    let opened = Opened {
        deflate: Some(agreed()),
        ..Opened::default()
    };
    let (mut receiver, script) = scripted(plan, Options::new(), opened);
    let received = receiver.try_receive();
    let is_late = matches!(received, Err(Error::Timeout(Phase::Receive)));
    assert!(is_late, "{received:?}");
    let received: usize = script
        .calls()
        .iter()
        .filter_map(|call| match call {
            Call::Recv(_, received) => received.ok(),
            _ => None,
        })
        .sum();
    assert!((16 << 20..len).contains(&received), "{received}");
}

#[test]
fn a_call_that_must_not_wait_is_not_held_by_pings_without_end() {
    let _stage = Stage::enter();
    let ping: (_, _, &[u8]) = (Opcode::Ping, true, b"");
    let plan = Plan {
        is_bytewise: true,
        inbound: frames(&[ping; 1000]),
        ..Plan::default()
    };
    let (mut receiver, script) = scripted(plan, Options::new(), Opened::default());
    let mut calls = 0;
    while let Err(Error::Timeout(Phase::Receive)) = receiver.try_receive() {
        calls += 1;
    }
    assert!((2..1000).contains(&calls), "{calls}");
    assert_eq!(script.sent().len(), 1000 * 2);
}

#[test]
fn a_seed_repeats_every_call() {
    for seed in 0..100 {
        let mut case = Case::new(seed);
        case.reset = Some((Direction::Sent, 5000));
        let [first, second] = [0; 2].map(|_| play(&case));
        assert_eq!(first.calls, second.calls, "seed {seed}");
        assert_eq!(first.log.events, second.log.events);
        assert_eq!(first.log.said, second.log.said);
        assert_eq!(first.close, second.close);
    }
}

/// A decompressor has recursed on its input before (RUSTSEC-2024-0401).
#[test]
fn damaged_messages_are_decompressed_on_a_stack_of_128_kib() {
    let small = threads::spawn("small", Some(128 * 1024), deflate::tests::damage_every_byte);
    small.unwrap().join().unwrap();
}
