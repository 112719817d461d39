//! What the fuzz targets in fuzz/ call: bytes in, and a panic where a promise of the core is broken. Built by
//! cargo-fuzz alone, which sets `cfg(fuzzing)`.
//!
//! The first bytes of an input choose the settings; the rest is what a peer sends.

use http::{HeaderMap, HeaderValue};

use crate::{
    Deflate,
    handshake::{
        body,
        client::ClientHandshake,
        deflate::Agreed,
        extensions,
        head::HeadBuffer,
        origin::{self, OriginPolicy},
        proxy, server,
    },
    protocol::{
        Decoder, ProtocolError, Role, Step, close,
        decoder::{Limits, Payload},
        deflate::{Compression, Compressor, Decompressor},
        frame::{FrameHeader, HeaderBytes},
    },
    target::Target,
};

/// A frame header is incomplete, wrong or whole, for good: more bytes change nothing. A whole one is encoded
/// in the only way there is.
pub fn frame_header(input: &[u8]) {
    let Some((&settings, bytes)) = input.split_first() else {
        return;
    };
    let sender = match settings & 1 {
        0 => Role::Client,
        _ => Role::Server,
    };
    let may_compress = settings & 2 != 0;
    let parse = |bytes| FrameHeader::parse(bytes, sender, may_compress);
    let whole = parse(bytes);
    let mut verdict = Ok(None);
    for len in 0..=bytes.len().min(20) {
        let parsed = parse(&bytes[..len]);
        match verdict {
            Ok(None) => verdict = parsed,
            _ => assert_eq!(parsed, verdict, "a verdict has changed at byte {len}"),
        }
    }
    assert_eq!(verdict, whole);
    if let Ok(Some((header, used))) = whole {
        assert!(header.payload_len >> 63 == 0);
        assert!(!header.opcode.is_control() || (header.is_final && header.payload_len <= 125));
        let encoded = HeaderBytes::new(
            header.opcode,
            header.is_final,
            header.is_compressed,
            usize::try_from(header.payload_len).expect("fuzzed where usize has 64 bits"),
            (sender == Role::Client).then_some(header.masking_key),
        );
        assert_eq!(encoded.as_ref(), &bytes[..used]);
    }
}

/// What a server sends: the same messages come out whatever pieces the stream arrives in.
pub fn server_stream(input: &[u8]) {
    stream(Role::Server, input);
}

/// What a client sends, as [`server_stream`].
pub fn client_stream(input: &[u8]) {
    stream(Role::Client, input);
}

fn stream(peer: Role, input: &[u8]) {
    let Some((&[settings, seed], bytes)) = input.split_first_chunk() else {
        return;
    };
    let limits = Limits {
        max_message_bytes: [100, 1000, 70_000, 1 << 20][usize::from(settings >> 2 & 3)],
        max_fragments: [1, 3, 20, 131_072][usize::from(settings >> 4 & 3)],
    };
    let decompressor = || (settings & 1 != 0).then(|| Decompressor::new(settings & 2 != 0));
    let decoder = |received| Decoder::new(peer, limits, decompressor(), received);

    let at_once = events(decoder(bytes.to_vec()), &[], || 1, limits);
    let in_pieces = events(decoder(Vec::new()), bytes, pieces(seed), limits);
    assert_same(&at_once, &in_pieces, settings & 1 != 0);
    let byte_by_byte = events(decoder(Vec::new()), bytes, || 1, limits);
    assert_same(&at_once, &byte_by_byte, settings & 1 != 0);
}

#[derive(Debug, PartialEq)]
enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Failed(ProtocolError),
}

/// Feeds a decoder as a receiver does, and tells what comes out, up to the end or an error.
fn events(
    mut decoder: Decoder,
    stream: &[u8],
    mut piece: impl FnMut() -> usize,
    limits: Limits,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = stream;
    loop {
        match decoder.poll() {
            Ok(Step::NeedMore) if rest.is_empty() => return events,
            Ok(Step::NeedMore) => {
                let room = match decoder.room() {
                    Ok(room) => room,
                    Err(error) => panic!("no room: {error}"),
                };
                let received = stream.len() - rest.len();
                assert!(room.capacity() <= 2 * received + (64 << 10), "allocates");
                let spare = room.capacity() - room.len();
                assert!(spare > 0, "no room");
                let (now, later) = rest.split_at(piece().min(spare).min(rest.len()));
                room.extend_from_slice(now);
                decoder.received(now.len());
                rest = later;
            }
            Ok(Step::Message) => match decoder.message() {
                Ok(Payload::Text(text)) => {
                    assert!(text.len() <= limits.max_message_bytes);
                    events.push(Event::Text(text.to_owned()));
                }
                Ok(Payload::Binary(bytes)) => {
                    assert!(bytes.len() <= limits.max_message_bytes);
                    events.push(Event::Binary(bytes.to_vec()));
                }
                Err(error) => {
                    events.push(Event::Failed(error));
                    return events;
                }
            },
            Ok(Step::Ping(payload)) => events.push(Event::Ping(payload.as_ref().to_vec())),
            Ok(Step::Pong(payload)) => events.push(Event::Pong(payload.as_ref().to_vec())),
            Ok(Step::Close(close)) => {
                assert!(close.code == close::code::NO_STATUS || close::may_be_received(close.code));
                events.push(Event::Close(close.code, close.reason));
            }
            Err(error) => {
                events.push(Event::Failed(error));
                return events;
            }
        }
    }
}

/// A compressed message may be wrong in two ways at once: which of them shows first depends on how much of it
/// there is at a time.
fn assert_same(one: &[Event], other: &[Event], is_compressed: bool) {
    use ProtocolError::{Deflate, MessageTooBig, Utf8};
    if let (true, Some((Event::Failed(a), one)), Some((Event::Failed(b), other))) =
        (is_compressed, one.split_last(), other.split_last())
    {
        let shows_in_payload = |error: &_| matches!(error, Deflate | MessageTooBig | Utf8);
        if shows_in_payload(a) && shows_in_payload(b) {
            return assert_eq!(one, other);
        }
    }
    assert_eq!(one, other);
}

/// Lengths without a pattern, most of them small, the same for the same seed.
fn pieces(seed: u8) -> impl FnMut() -> usize {
    let mut state = u32::from(seed) << 8 | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let limit = 1 << (state >> 8 & 15);
        1 + (state >> 12) as usize % limit
    }
}

/// A request in pieces is the same request; what is accepted, and what is said of the rest, is proper HTTP.
pub fn http_request(input: &[u8]) {
    let Some((&[settings, seed], bytes)) = input.split_first_chunk() else {
        return;
    };
    let max = [64, 300, 4096, 16 << 10][usize::from(settings & 3)];
    let (head, _) = match collect_both_ways(bytes, seed, max) {
        Ok(Some(collected)) => collected,
        Ok(None) => return,
        Err(error) => return assert_is_refusal(&server::refuse(&error, settings & 4 != 0)),
    };
    let request = match server::parse(&head) {
        Ok(request) => request,
        Err(error) => return assert_is_refusal(&server::refuse(&error, settings & 4 != 0)),
    };
    assert!(request.path().starts_with('/') || request.path() == "*" || request.method() != "GET");
    let _ = (request.query(), request.origin(), request.peer_addr());
    let policy = match settings >> 3 & 3 {
        0 => OriginPolicy::SameOrigin,
        1 => OriginPolicy::Any,
        _ => OriginPolicy::List(vec!["https://example.com".into(), "null".into()]),
    };
    let verdict =
        server::check_upgrade(&request).and_then(|()| origin::check_origin(&request, &policy));
    if let Err(error) = verdict {
        return assert_is_refusal(&server::refuse(&error, request.method() == "HEAD"));
    }
    let subprotocol = server::choose_subprotocol(&request, &["chat".into(), "x".into()]);
    let deflate = server::choose_deflate(&request, (settings & 32 != 0).then(Deflate::new));
    let answer = server::accept(
        &request,
        subprotocol.as_deref(),
        deflate.as_ref(),
        &HeaderMap::new(),
    );
    assert_is_head(&answer);
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
}

/// An answer in pieces is the same answer; nothing is accepted that was not offered.
pub fn http_response(input: &[u8]) {
    let Some((&[settings, seed], bytes)) = input.split_first_chunk() else {
        return;
    };
    let max = [64, 300, 4096, 16 << 10][usize::from(settings & 3)];
    let offered = ["chat".to_owned(), "x".to_owned()];
    let deflate = (settings & 4 != 0).then(Deflate::new);
    let client = ClientHandshake::new("example.com", "/", &offered, deflate, &[], [0; 16])
        .expect("these can be asked for");
    let Ok(Some((head, rest))) = collect_both_ways(bytes, seed, max) else {
        return;
    };
    let _ = proxy::judge_connect(&head);
    match client.judge(&head) {
        Ok(accepted) => {
            assert!(accepted.subprotocol.is_none_or(|it| offered.contains(&it)));
            assert!(accepted.deflate.is_none() || deflate.is_some());
            accepted.deflate.iter().for_each(assert_is_agreement);
        }
        Err(crate::HandshakeError::Status(refusal)) => {
            let _ = body::body_length(refusal.status, &refusal.headers);
            if body::is_chunked(&refusal.headers) {
                assert!(body::dechunk(&rest).0.len() <= rest.len());
            }
        }
        Err(_) => {}
    }
}

/// Collects a head in pieces and at once; what they come to must be the same.
#[expect(clippy::type_complexity, reason = "a head and what follows it")]
fn collect_both_ways(
    bytes: &[u8],
    seed: u8,
    max: usize,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, crate::HandshakeError> {
    let mut at_once = HeadBuffer::new(max);
    let whole = at_once.push(bytes);
    let mut in_pieces = HeadBuffer::new(max);
    let mut piece = pieces(seed);
    let mut rest = bytes;
    let mut result = Ok(false);
    while !rest.is_empty() && result.is_ok() {
        let (now, later) = rest.split_at(piece().min(rest.len()));
        result = in_pieces.push(now);
        rest = later;
    }
    assert_eq!(format!("{whole:?}"), format!("{result:?}"));
    if !whole? {
        return Ok(None);
    }
    assert_eq!(at_once.head(), in_pieces.head());
    let head = at_once.head().to_vec();
    assert!(head.len() <= max);
    assert_is_head(&head);
    let rest = at_once.into_rest();
    assert_eq!(rest, in_pieces.into_rest());
    assert_eq!([&head[..], &rest].concat(), bytes);
    Ok(Some((head, rest)))
}

/// One blank line, at the end; no line feed without a carriage return.
fn assert_is_head(head: &[u8]) {
    let end = head.windows(4).position(|four| four == b"\r\n\r\n");
    assert_eq!(end, head.len().checked_sub(4), "a blank line inside");
    let lines = head.windows(2).filter(|two| two == b"\r\n").count();
    assert_eq!(lines, head.iter().filter(|&&byte| byte == b'\n').count());
    assert_eq!(lines, head.iter().filter(|&&byte| byte == b'\r').count());
}

/// A refusal is short, so that nobody is made to say much to a third party.
fn assert_is_refusal(answer: &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    assert_is_head(head);
    assert!(head.starts_with(b"HTTP/1.1 4"));
    assert!(body.len() <= 100 && answer.len() <= 300);
}

/// Extensions are parsed or refused; what a server makes of them, a client that offers all takes.
pub fn ext_header(input: &[u8]) {
    let Some((&[settings, windows], value)) = input.split_first_chunk() else {
        return;
    };
    let mut headers = HeaderMap::new();
    // A field may come in several lines.
    for line in value.split(|&byte| byte == b'\n') {
        let Ok(line) = HeaderValue::from_bytes(line) else {
            return;
        };
        headers.append("sec-websocket-extensions", line);
    }
    let Ok(extensions) = extensions::parse(&headers) else {
        return;
    };
    assert!(!extensions.is_empty());
    let mut deflate = Deflate::new();
    deflate
        .server_no_context_takeover(settings & 1 != 0)
        .client_no_context_takeover(settings & 2 != 0)
        .server_max_window_bits(8 + (windows & 7))
        .client_max_window_bits(8 + (windows >> 3 & 7));
    if let Ok(Some(agreed)) = deflate.judge(&extensions) {
        assert_is_agreement(&agreed);
        assert!(agreed.server.max_window_bits <= 8 + (windows & 7));
        assert!(agreed.client.max_window_bits <= 8 + (windows >> 3 & 7));
    }
    if let Some(agreed) = deflate.choose(&extensions) {
        assert_is_agreement(&agreed);
        let mut answer = HeaderMap::new();
        let text = HeaderValue::from_str(&agreed.to_string()).expect("printable");
        answer.append("sec-websocket-extensions", text);
        let answer = extensions::parse(&answer).expect("we can parse what we say");
        let judged = Deflate::new().judge(&answer);
        let judged = judged.expect("a client takes it").expect("it is ours");
        assert_eq!(
            (judged.server, judged.client),
            (agreed.server, agreed.client)
        );
    }
}

fn assert_is_agreement(agreed: &Agreed) {
    for direction in [agreed.server, agreed.client] {
        assert!((8..=15).contains(&direction.max_window_bits));
    }
}

/// Whatever is decompressed in pieces is what it is at once, and never longer than allowed; what was
/// compressed comes back.
pub fn inflate(input: &[u8]) {
    let Some((&[settings, seed], bytes)) = input.split_first_chunk() else {
        return;
    };
    let takes_over = settings & 1 != 0;
    let max = [0, 100, 5000, 1 << 20][usize::from(settings >> 1 & 3)];

    let mut at_once = Decompressor::new(takes_over);
    let mut in_pieces = Decompressor::new(takes_over);
    // Twice, because the second message may refer to the first.
    for _ in 0..2 {
        let whole = decompress(&mut at_once, bytes, || bytes.len().max(1), max);
        let result = decompress(&mut in_pieces, bytes, pieces(seed), max);
        assert_eq!(whole, result);
        if whole.is_none() {
            break;
        }
    }

    let mut compressor = Compressor::new(Compression {
        level: u32::from(seed % 10),
        threshold_bytes: 0,
        window_bits: 8 + (settings >> 5),
        takes_over,
    });
    let mut decompressor = Decompressor::new(takes_over);
    for message in [bytes, bytes, &[]] {
        let mut compressed = Vec::new();
        let mut rest = message;
        let mut piece = pieces(seed);
        loop {
            let (now, later) = rest.split_at(piece().min(rest.len()));
            let compress = compressor.compress(now, later.is_empty(), &mut compressed);
            compress.expect("zlib goes on");
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let restored = decompress(&mut decompressor, &compressed, pieces(seed), message.len());
        assert_eq!(restored.as_deref(), Some(message));
    }
}

/// The message, if it is one.
fn decompress(
    decompressor: &mut Decompressor,
    compressed: &[u8],
    mut piece: impl FnMut() -> usize,
    max: usize,
) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut rest = compressed;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().min(rest.len()));
        decompressor.decompress(now, &mut message, max).ok()?;
        rest = later;
    }
    decompressor.finish(&mut message, max).ok()?;
    assert!(message.len() <= max);
    Some(message)
}

/// A URL is taken apart so that its parts stay in their places; a redirect, the second line of the input, never
/// leads out of TLS, and takes credentials to no other place.
pub fn url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (url, location) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(target) = Target::parse(url) else {
        return;
    };
    assert!(!target.host.is_empty() && target.port != 0);
    assert!(target.path_and_query.starts_with('/'));
    let scheme = if target.is_secure { "wss" } else { "ws" };
    let again = format!("{scheme}://{}{}", target.authority, target.path_and_query);
    let again = Target::parse(&again).expect("its parts make a URL again");
    assert!(again.is_same_place(&target) && again.basic.is_none());
    assert_eq!(again.path_and_query, target.path_and_query);
    assert_eq!(again.authority, target.authority);
    let handshake = ClientHandshake::new(
        &target.authority,
        &target.path_and_query,
        &[],
        None,
        &[],
        [0; 16],
    );
    if let Ok(handshake) = handshake {
        assert_is_head(handshake.request());
        match server::parse(handshake.request()) {
            Ok(request) => assert_eq!(request.target(), target.path_and_query),
            // Our server takes fewer characters in a host than URLs may have.
            Err(crate::HandshakeError::Header { name: "host", .. }) => {}
            Err(error) => panic!("a server refuses the request: {error}"),
        }
    }

    let mut headers = HeaderMap::new();
    let Ok(location) = HeaderValue::from_str(location) else {
        return;
    };
    headers.insert("location", location);
    let refusal = crate::Refusal {
        status: http::StatusCode::FOUND,
        headers,
        body: Vec::new(),
    };
    let Some(next) = target.redirect(&refusal) else {
        return;
    };
    assert!(next.is_secure || !target.is_secure);
    // Credentials are the location's own, or stay where they were.
    let names_its_own = refusal.headers["location"].as_bytes().contains(&b'@');
    assert!(next.basic.is_none() || names_its_own || next.is_same_place(&target));
}
