use super::{super::head::HeadBuffer, *};

/// The request of RFC 6455, section 1.2, without its placeholders.
const GOOD: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// What a server does with what arrived, but for the origin.
fn serve(head: impl AsRef<[u8]>) -> Result<Request, HandshakeError> {
    let mut buffer = HeadBuffer::new(16 * 1024);
    if !buffer.push(head.as_ref())? {
        return Err(HandshakeError::Ended);
    }
    let request = parse(buffer.head())?;
    check_upgrade(&request)?;
    Ok(request)
}

fn replaced(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn with(fields: &str) -> String {
    replaced("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"))
}

fn status(answer: &[u8]) -> &str {
    std::str::from_utf8(&answer[9..12]).unwrap()
}

#[test]
fn the_rfc_s_example_is_accepted_as_in_the_rfc() {
    let request = serve(GOOD).unwrap();
    let supported = ["other".to_owned(), "chat".to_owned()];
    let chosen = choose_subprotocol(&request, &supported);
    assert_eq!(
        String::from_utf8(accept(&request, chosen.as_deref(), None, &HeaderMap::new())).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n"
    );
}

#[test]
fn the_user_s_fields_are_in_the_answer() {
    let request = serve(GOOD).unwrap();
    let mut headers = HeaderMap::new();
    headers.append("set-cookie", "a=b".parse().unwrap());
    headers.append("set-cookie", "c=d".parse().unwrap());
    let head = String::from_utf8(accept(&request, None, None, &headers)).unwrap();
    assert!(head.ends_with("\r\nset-cookie: a=b\r\nset-cookie: c=d\r\n\r\n"));
    assert!(!head.contains("Protocol:"));
}

#[test]
fn a_request_tells_what_the_client_asked_for() {
    let head = replaced("/chat", "/a%20b/?x=1?y&z")
        .replace("Origin", "X-Twice: 1\r\nX-Twice: 2\r\nOrigin");
    let mut request = serve(head).unwrap();
    assert_eq!(request.method(), "GET");
    assert_eq!(request.target(), "/a%20b/?x=1?y&z");
    assert_eq!(request.path(), "/a%20b/");
    assert_eq!(request.query(), Some("x=1?y&z"));
    assert_eq!(request.host(), "server.example.com");
    assert_eq!(request.origin(), Some("http://example.com"));
    assert_eq!(request.subprotocols(), ["chat", "superchat"]);
    assert_eq!(request.header("x-TWICE"), Some("1"));
    assert_eq!(request.headers().get_all("x-twice").iter().count(), 2);
    assert_eq!(request.header("absent"), None);
    assert_eq!(request.header("not a name"), None);
    assert!(request.is_upgrade());
    assert_eq!(request.peer_addr(), None);
    let address = "127.0.0.1:1".parse().unwrap();
    request.peer_addr = Some(address);
    assert_eq!(request.peer_addr(), Some(address));
}

#[test]
fn a_target_with_a_host_is_read_if_it_is_host_s() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("//double", "//double", None),
        ("http://server.example.com/chat?x", "/chat", Some("x")),
        ("HTTP://Server.Example.com:80", "/", None),
        ("wss://server.example.com:443?x", "/", Some("x")),
        (
            "/chat?u=http://else.example/",
            "/chat",
            Some("u=http://else.example/"),
        ),
    ] {
        let request = serve(replaced("/chat", target)).unwrap();
        assert_eq!((request.path(), request.query()), (path, query), "{target}");
        assert_eq!(request.target(), target);
    }
    assert!(parse(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
}

#[test]
fn what_is_lawful_though_unusual_is_accepted() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "Connection: keep-alive,, uPGRADE ,"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: upgrade",
        ),
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, HTTP/3.0, websocket"),
        ("Upgrade: websocket", "upgrade:\t websocket \t"),
        ("Origin: ", "origin:"),
        ("Origin", "Content-Length: 0\r\nOrigin"),
        (
            "Origin",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin",
        ),
        (
            "chat, superchat",
            "chat\r\nSec-WebSocket-Protocol: superchat",
        ),
        ("Sec-WebSocket-Protocol: chat, superchat\r\n", ""),
        ("Host: server.example.com", "Host: [::1]:9001"),
        ("Host: server.example.com", "Host: 10.0.0.1:80"),
        ("Host: server.example.com", "Host: a_b-c.example"),
        ("Origin: http://example.com", "Cookie: caf\u{e9}=1"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "+/AAAAAAAAAAAAAAAAAAAz=="),
    ] {
        let head = replaced(from, to);
        assert!(serve(&head).is_ok(), "{head}");
    }
}

#[test]
fn each_required_field_must_stand_once_and_have_its_value() {
    use HeaderProblem::{Missing, Repeated, Wrong};
    let lines = [
        ("host", "Host: server.example.com\r\n"),
        ("upgrade", "Upgrade: websocket\r\n"),
        ("connection", "Connection: Upgrade\r\n"),
        (
            "sec-websocket-key",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        ("sec-websocket-version", "Sec-WebSocket-Version: 13\r\n"),
    ];
    let mut cases = Vec::new();
    for (name, line) in lines {
        cases.push((replaced(line, ""), name, Missing));
        if !matches!(name, "upgrade" | "connection") {
            cases.push((replaced(line, &line.repeat(2)), name, Repeated));
        }
    }
    for (from, to, name) in [
        ("Upgrade: websocket", "Upgrade: h2c", "upgrade"),
        ("Upgrade: websocket", "Upgrade: websockets", "upgrade"),
        ("Upgrade: websocket", "Upgrade: websocket/13", "upgrade"),
        ("Upgrade: websocket", "Upgrade: web socket", "upgrade"),
        ("Upgrade: websocket", "Upgrade: websocket/", "upgrade"),
        ("Upgrade: websocket", "Upgrade:", "upgrade"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive",
            "connection",
        ),
        (
            "Connection: Upgrade",
            "Connection: close upgrade",
            "connection",
        ),
        ("Connection: Upgrade", "Connection:", "connection"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", "sec-websocket-key"),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZ==",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQa==",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQab==",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZ===",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25j",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZW==ab==",
            "sec-websocket-key",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25j-_==",
            "sec-websocket-key",
        ),
        (
            "chat, superchat",
            "chat superchat",
            "sec-websocket-protocol",
        ),
        ("chat, superchat", "chat, chat", "sec-websocket-protocol"),
        ("chat, superchat", "\"chat\"", "sec-websocket-protocol"),
        ("chat, superchat", "", "sec-websocket-protocol"),
        (
            "Origin:",
            "Sec-WebSocket-Extensions: a;;b\r\nOrigin:",
            "sec-websocket-extensions",
        ),
        (
            "Origin:",
            "Sec-WebSocket-Extensions:\r\nOrigin:",
            "sec-websocket-extensions",
        ),
    ] {
        cases.push((replaced(from, to), name, Wrong));
    }
    assert!(cases.len() >= 30);
    for (head, expected, why) in cases {
        let error = serve(&head).unwrap_err();
        let is_expected = matches!(error, HandshakeError::Header { name, problem } if name == expected && problem == why);
        assert!(is_expected, "{error}, not {expected} {why}: {head}");
        assert_eq!(status(&refuse(&error, false)), "400");
    }
}

#[test]
fn only_version_13_is_spoken() {
    for version in [
        "8", "7", "0", "013", "13.0", "+13", "14", "13, 8", "1 3", "x", "",
    ] {
        let error = serve(replaced("Version: 13", &format!("Version: {version}"))).unwrap_err();
        assert!(
            matches!(error, HandshakeError::Version),
            "{version}: {error}"
        );
    }
}

#[test]
fn other_methods_and_plain_requests_are_told_apart() {
    for method in ["POST", "HEAD", "get", "PUT", "GETX"] {
        let error = serve(replaced("GET", method)).unwrap_err();
        assert!(matches!(error, HandshakeError::Method), "{method}: {error}");
    }
    let request =
        parse(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").unwrap();
    assert!(!request.is_upgrade());
    assert!(matches!(
        check_upgrade(&request),
        Err(HandshakeError::NotUpgrade)
    ));
    let request =
        parse(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n").unwrap();
    assert!(matches!(
        check_upgrade(&request),
        Err(HandshakeError::NotUpgrade)
    ));
    // A plain request may announce a body.
    assert!(parse(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").is_ok());
    assert!(parse(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").is_ok());
}

#[test]
fn malformed_heads_are_answered_with_400() {
    let mut heads: Vec<Vec<u8>> = [
        // The request line.
        replaced("GET /chat HTTP/1.1", "GET  /chat HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", "GET /chat  HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", "GET /chat HTTP/1.1 "),
        replaced("GET /chat HTTP/1.1", "GET\t/chat HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", "GET /chat"),
        replaced("GET /chat HTTP/1.1", "GET HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", "GET /a b HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", " GET /chat HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", "\r\nGET /chat HTTP/1.1"),
        replaced("GET /chat HTTP/1.1", "G@T /chat HTTP/1.1"),
        replaced("HTTP/1.1", "HTTP/1.0"),
        replaced("HTTP/1.1", "HTTP/1.2"),
        replaced("HTTP/1.1", "HTTP/1.10"),
        replaced("HTTP/1.1", "http/1.1"),
        replaced("HTTP/1.1", "HTTP/2.0"),
        // The target.
        replaced("/chat", "chat"),
        replaced("/chat", "*"),
        replaced("/chat", "?chat"),
        replaced("/chat", "/chat#fragment"),
        replaced("/chat", "/ch\u{e4}t"),
        replaced("/chat", "http://other.example/chat"),
        replaced("/chat", "http://server.example.com:81/chat"),
        replaced("/chat", "http://user@server.example.com/chat"),
        replaced("/chat", "ftp://server.example.com/chat"),
        replaced("/chat", "server.example.com:80"),
        // Line ends and folding.
        replaced("\r\nUpgrade", "\nUpgrade"),
        replaced("\r\nUpgrade", "\rUpgrade"),
        replaced("\r\n\r\n", "\r\n\n"),
        replaced("\r\n\r\n", "\n\r\n"),
        replaced("Upgrade: websocket", "Upgrade:\r\n websocket"),
        replaced("Host:", " Host:"),
        with("X: a\r\n\tb"),
        // Names and values.
        replaced("Upgrade:", "Upgrade :"),
        replaced("Upgrade:", "Up grade:"),
        replaced("Upgrade:", "Upgrade"),
        with(": empty"),
        with("X\u{e4}: y"),
        with("X(y): z"),
        with("X: \0"),
        with("X: \x0b"),
        with("X: \x7f"),
        // The host.
        replaced("server.example.com", ""),
        replaced("server.example.com", "a b"),
        replaced("server.example.com", "a, b"),
        replaced("server.example.com", "a:b"),
        replaced("server.example.com", "a:99999"),
        replaced("server.example.com", "a:+80"),
        replaced("server.example.com", "a/b"),
        replaced("server.example.com", "u@a"),
        replaced("server.example.com", "[::1"),
        replaced("server.example.com", "[::g]"),
        replaced("server.example.com", "\u{e4}"),
        replaced("server.example.com", "a\r\nhost: a"),
        // A body.
        with("Content-Length: 5"),
        with("Content-Length: +0"),
        with("Content-Length: 0x0"),
        with("Content-Length: 0, 0"),
        with("Content-Length:"),
        with("Content-Length: -1"),
        with("Content-Length: 99999999999999999999"),
        with("Content-Length: 0\r\nContent-Length: 0"),
        with("Transfer-Encoding: chunked"),
        with("Transfer-Encoding: identity"),
        with("Content-Length: 0\r\nTransfer-Encoding: chunked"),
        // Neither length would be believed of a plain request.
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_owned(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect();
    heads.push(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    heads.push(b"\x16\x03\x01".to_vec());
    assert!(heads.len() >= 40);
    for head in heads {
        let error = serve(&head).expect_err(&head.escape_ascii().to_string());
        assert!(
            matches!(
                error,
                HandshakeError::Http(_) | HandshakeError::Header { .. }
            ),
            "{}: {error}",
            head.escape_ascii()
        );
        assert_eq!(status(&refuse(&error, false)), "400");
    }
    assert!(serve(GOOD).is_ok());
}

#[test]
fn at_most_a_hundred_fields_are_taken() {
    let head = |count: usize| with("X: y\r\n".repeat(count - 7).trim_end());
    assert!(serve(head(100)).is_ok());
    for count in [101, 2_000, 2_700] {
        let error = serve(head(count)).unwrap_err();
        assert!(
            matches!(error, HandshakeError::HeadTooLarge),
            "{count}: {error}"
        );
        assert_eq!(status(&refuse(&error, false)), "431");
    }
    // With a larger limit on the bytes it is the parser that stops.
    let many = head(10_000);
    assert!(matches!(
        parse(many.as_bytes()),
        Err(HandshakeError::HeadTooLarge)
    ));
    assert!(matches!(serve(many), Err(HandshakeError::HeadTooLarge)));
}

#[test]
fn frames_that_come_with_the_head_are_not_lost() {
    let frames = b"\x81\x80\x01\x02\x03\x04\x82\x80\x01\x02\x03\x04\x88\x80\r\n\r\n";
    let mut buffer = HeadBuffer::new(16 * 1024);
    assert!(buffer.push(&[GOOD.as_bytes(), frames].concat()).unwrap());
    check_upgrade(&parse(buffer.head()).unwrap()).unwrap();
    assert_eq!(buffer.into_rest(), frames);
}

#[test]
fn a_head_must_be_whole_and_alone() {
    assert!(matches!(
        parse(&GOOD.as_bytes()[..GOOD.len() - 1]),
        Err(HandshakeError::Http(_))
    ));
    assert!(matches!(
        parse(format!("{GOOD}x").as_bytes()),
        Err(HandshakeError::Http(_))
    ));
    assert!(matches!(parse(b""), Err(HandshakeError::Http(_))));
}

#[test]
fn the_server_s_order_decides_on_the_subprotocol() {
    let request = serve(GOOD).unwrap();
    let choose = |supported: &[&str]| {
        let supported: Vec<_> = supported.iter().map(|&name| name.to_owned()).collect();
        choose_subprotocol(&request, &supported)
    };
    assert_eq!(choose(&["superchat", "chat"]).as_deref(), Some("superchat"));
    assert_eq!(choose(&["x", "chat", "superchat"]).as_deref(), Some("chat"));
    assert_eq!(choose(&["Chat", "x"]), None);
    assert_eq!(choose(&[]), None);
    assert!(offered(&request, "superchat"));
    assert!(!offered(&request, "Superchat"));
    assert!(!offered(&request, ""));
}

#[test]
fn a_refusal_is_short_has_its_fields_and_reflects_nothing() {
    use HandshakeError as E;
    let marker = "MARKER".repeat(100);
    let header = E::Header {
        name: "sec-websocket-extensions",
        problem: HeaderProblem::Repeated,
    };
    for (error, status_line, field) in [
        (
            E::Http("a version that is not HTTP/1.1"),
            "400 Bad Request",
            "",
        ),
        (header, "400 Bad Request", ""),
        (E::Origin(marker.clone()), "403 Forbidden", ""),
        (E::Method, "405 Method Not Allowed", "allow: GET"),
        (E::NotUpgrade, "426 Upgrade Required", "upgrade: websocket"),
        (
            E::NotUpgrade,
            "426 Upgrade Required",
            "Connection: upgrade, close",
        ),
        (
            E::Version,
            "426 Upgrade Required",
            "sec-websocket-version: 13",
        ),
        (E::HeadTooLarge, "431 Request Header Fields Too Large", ""),
        (E::Answered(StatusCode::IM_A_TEAPOT), "418 I'm a teapot", ""),
        (E::Subprotocol(marker.clone()), "400 Bad Request", ""),
        (E::Extension(marker), "400 Bad Request", ""),
    ] {
        let answer = String::from_utf8(refuse(&error, false)).unwrap();
        assert!(answer.len() < 200, "{} bytes: {answer}", answer.len());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status_line}\r\n")),
            "{answer}"
        );
        assert!(answer.contains(&format!("\r\n{field}")), "{answer}");
        assert!(!answer.contains("MARKER"));
        let connection = answer
            .lines()
            .find(|line| line.starts_with("Connection: "))
            .unwrap();
        assert!(connection.ends_with("close"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.ends_with('\n') && body.len() > 1);
    }
}
