use super::*;

/// The nonce of RFC 6455, section 1.3.
const NONCE: [u8; 16] = *b"the sample nonce";

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: chat\r\n\r\n";

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn handshake(subprotocols: &[&str]) -> ClientHandshake {
    ClientHandshake::new(
        "example.com",
        "/chat",
        &strings(subprotocols),
        None,
        &[],
        NONCE,
    )
    .unwrap()
}

fn judge(head: &str) -> Result<Accepted, HandshakeError> {
    handshake(&["chat", "superchat"]).judge(head.as_bytes())
}

fn text(request: &ClientHandshake) -> &str {
    std::str::from_utf8(request.request()).unwrap()
}

#[test]
fn the_request_is_the_rfc_s_example() {
    let headers = [("Origin".to_owned(), "http://example.com".to_owned())];
    let subprotocols = strings(&["chat", "superchat"]);
    let handshake = ClientHandshake::new(
        "server.example.com",
        "/chat",
        &subprotocols,
        None,
        &headers,
        NONCE,
    )
    .unwrap();
    assert_eq!(
        text(&handshake),
        format!(
            "GET /chat HTTP/1.1\r\n\
             Host: server.example.com\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: chat, superchat\r\n\
             User-Agent: wstrand/{}\r\n\
             Origin: http://example.com\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn a_user_agent_of_the_user_s_replaces_ours() {
    let headers = [("user-agent".to_owned(), "mine".to_owned())];
    let handshake = ClientHandshake::new("a", "/", &[], None, &headers, NONCE).unwrap();
    assert!(text(&handshake).contains("\r\nuser-agent: mine\r\n"));
    assert!(!text(&handshake).contains("wstrand"));
    assert!(!text(&handshake).contains("Sec-WebSocket-Protocol"));
}

#[test]
fn a_good_answer_is_accepted() {
    let accepted = judge(GOOD).unwrap();
    assert_eq!(accepted.subprotocol.as_deref(), Some("chat"));
    assert_eq!(accepted.headers["upgrade"], "websocket");

    for (from, to) in [
        ("Upgrade: websocket", "UPGRADE:WebSocket\t "),
        ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: UPGRADE",
        ),
        ("101 Switching Protocols", "101 "),
        ("101 Switching Protocols", "101"),
        ("chat", "superchat"),
        (
            "chat\r\n",
            "chat\r\nServer: caf\u{e9}\r\nContent-Length: 0\r\n",
        ),
    ] {
        judge(&replaced(from, to)).unwrap();
    }
}

#[test]
fn answers_of_1xx_are_interim_but_for_101() {
    for (head, interim) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", true),
        ("HTTP/1.1 103\r\n\r\n", true),
        ("HTTP/1.1 199 \r\nLink: x\r\n\r\n", true),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 1000 x\r\n\r\n", false),
        ("HTTP/1.1 10\r\n\r\n", false),
        // HTTP/1.0 has none.
        ("HTTP/1.0 100 Continue\r\n\r\n", false),
        ("GET / HTTP/1.1\r\n\r\n", false),
    ] {
        assert_eq!(is_interim(head.as_bytes()), interim, "{head}");
    }
}

#[test]
fn a_server_need_not_choose_a_subprotocol() {
    let accepted = judge(&replaced("Sec-WebSocket-Protocol: chat\r\n", "")).unwrap();
    assert_eq!(accepted.subprotocol, None);
}

#[test]
fn answers_that_are_not_right_are_refused() {
    use HeaderProblem::{Missing, Repeated, Wrong};
    for (from, to, name, problem) in [
        ("Upgrade: websocket\r\n", "", "upgrade", Missing),
        ("Upgrade: websocket", "Upgrade: h2c", "upgrade", Wrong),
        (
            "Upgrade: websocket",
            "Upgrade: websocket, h2c",
            "upgrade",
            Wrong,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket\r\nUpgrade: websocket",
            "upgrade",
            Repeated,
        ),
        ("Connection: Upgrade\r\n", "", "connection", Missing),
        (
            "Connection: Upgrade",
            "Connection: close",
            "connection",
            Wrong,
        ),
        (
            "Connection: Upgrade",
            "Connection: upgraded",
            "connection",
            Wrong,
        ),
        (
            "Connection: Upgrade",
            "Connection: \"upgrade\"",
            "connection",
            Wrong,
        ),
        (
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            "",
            "sec-websocket-accept",
            Missing,
        ),
        (
            "Accept: s3pPLM",
            "Accept: S3pPLM",
            "sec-websocket-accept",
            Wrong,
        ),
        ("xOo=", "xOo", "sec-websocket-accept", Wrong),
        (
            "Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "Accept: dGhlIHNhbXBsZSBub25jZQ==",
            "sec-websocket-accept",
            Wrong,
        ),
        (
            "xOo=\r\n",
            "xOo=\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            "sec-websocket-accept",
            Repeated,
        ),
        (
            "chat\r\n",
            "chat\r\nSec-WebSocket-Protocol: superchat\r\n",
            "sec-websocket-protocol",
            Repeated,
        ),
        (
            "chat\r\n",
            "chat\r\nSec-WebSocket-Extensions: ;\r\n",
            "sec-websocket-extensions",
            Wrong,
        ),
    ] {
        let error = judge(&replaced(from, to)).unwrap_err();
        let is_expected = matches!(error, HandshakeError::Header { name: n, problem: p } if n == name && p == problem);
        assert!(is_expected, "{to}: {error}");
    }
    for chosen in ["Chat", "other", "chat, superchat", ""] {
        let error = judge(&replaced("Protocol: chat", &format!("Protocol: {chosen}"))).unwrap_err();
        assert!(matches!(error, HandshakeError::Subprotocol(name) if name == chosen));
    }
    let error = handshake(&[]).judge(GOOD.as_bytes()).unwrap_err();
    assert!(matches!(error, HandshakeError::Subprotocol(name) if name == "chat"));
    let extension = "chat\r\nSec-WebSocket-Extensions: permessage-deflate; a=\"b\", x\r\n";
    let error = judge(&replaced("chat\r\n", extension)).unwrap_err();
    assert!(matches!(error, HandshakeError::Extension(name) if name == "permessage-deflate"));
}

#[test]
fn heads_that_are_not_http_1_1_are_refused() {
    for (from, to) in [
        ("HTTP/1.1", "HTTP/1.0"),
        ("HTTP/1.1", "HTTP/2.0"),
        ("101 ", "1010 "),
        ("101 ", "001 "),
        ("101 ", "10 "),
        ("Upgrade:", "Upgrade :"),
        ("Upgrade: websocket", "Upgrade:\r\n websocket"),
        ("Upgrade:", ":"),
        ("\r\n\r\n", "\r\n"),
        ("\r\n\r\n", "\r\n\r\nmore"),
    ] {
        let error = judge(&replaced(from, to)).unwrap_err();
        assert!(matches!(error, HandshakeError::Http(_)), "{to}: {error}");
    }
    let fields = "X: y\r\n".repeat(97);
    assert!(matches!(
        judge(&replaced("chat\r\n", &format!("chat\r\n{fields}"))),
        Err(HandshakeError::HeadTooLarge)
    ));
}

#[test]
fn another_status_than_101_is_a_refusal_with_its_header_fields() {
    for (line, code) in [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 302 Found", 302),
        ("HTTP/1.0 403 Forbidden", 403),
        ("HTTP/1.1 503", 503),
        ("HTTP/1.1 100 Continue", 100),
    ] {
        let error = judge(&replaced("HTTP/1.1 101 Switching Protocols", line)).unwrap_err();
        let HandshakeError::Status(refusal) = error else {
            panic!("{error}");
        };
        assert_eq!(refusal.status.as_u16(), code);
        assert_eq!(refusal.headers["sec-websocket-protocol"], "chat");
        assert!(refusal.body.is_empty());
    }
}

fn replaced(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}
