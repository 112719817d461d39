//! What holds whatever a user or a peer says.

use http::{HeaderMap, HeaderValue};
use proptest::{collection::vec, option, prelude::*};

use super::{
    client::ClientHandshake,
    deflate::Deflate,
    extensions::{self, Extension},
    fields,
    head::HeadBuffer,
    server,
};

/// What may stand in a field, and what must not get there: line ends, control bytes, other alphabets.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ -~]{0,30}",
        1 => "[a-z\r\n\t\0 :,;\"\u{7f}\u{e9}]{0,12}",
        1 => any::<String>(),
    ]
}

fn token() -> impl Strategy<Value = String> {
    "[-!#$%&'*+.^_`|~0-9A-Za-z]{1,12}"
}

/// For the server's direction and the client's: whether context is not taken over, and the window.
fn settings() -> impl Strategy<Value = [(bool, u8); 2]> {
    [(any::<bool>(), 8u8..16), (any::<bool>(), 8u8..16)]
}

fn deflate([server, client]: [(bool, u8); 2]) -> Deflate {
    let mut deflate = Deflate::new();
    deflate
        .server_no_context_takeover(server.0)
        .client_no_context_takeover(client.0)
        .server_max_window_bits(server.1)
        .client_max_window_bits(client.1);
    deflate
}

/// Many in little time, and few where an interpreter runs them.
fn config() -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1000 })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_that_is_asked_for_breaks_out_of_its_place(
        host in prop_oneof![3 => "[a-z.]{1,10}(:[0-9]{1,4})?", 1 => anything()],
        target in prop_oneof![3 => "/[!-~]{0,20}", 1 => anything()],
        subprotocols in vec(prop_oneof![3 => token(), 1 => anything()], 0..3),
        headers in vec(
            (prop_oneof![3 => token(), 1 => anything()], anything()),
            0..4,
        ),
    ) {
        let handshake =
            ClientHandshake::new(&host, &target, &subprotocols, None, &headers, [0; 16]);
        let Ok(handshake) = handshake else {
            return Ok(()); // refused before anything is sent
        };
        let head = handshake.request();
        let blank_lines = head.windows(4).filter(|four| four == b"\r\n\r\n").count();
        prop_assert_eq!((blank_lines, head.ends_with(b"\r\n\r\n")), (1, true));
        let mut lines = 7 + usize::from(!subprotocols.is_empty()) + headers.len();
        lines += usize::from(!headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")));
        prop_assert_eq!(head.split(|&byte| byte == b'\n').count(), lines + 1);
        // A server reads what was meant, if its own rules let the host pass.
        if let Ok(request) = server::parse(head) {
            prop_assert_eq!(request.target(), &target);
            prop_assert_eq!(request.subprotocols(), &subprotocols[..]);
            for (name, value) in &headers {
                let mut found = request.headers().get_all(name.as_str()).iter();
                prop_assert!(found.any(|it| it.as_bytes() == value.as_bytes()));
            }
        }
    }

    #[test]
    fn a_field_that_passes_is_one_line(name in anything(), value in anything()) {
        if fields::check(&name, &value).is_ok() {
            let mut line = Vec::new();
            fields::write(&mut line, &name, &value);
            let printable = line.iter().filter(|byte| matches!(byte, b' '..=b'~')).count();
            prop_assert_eq!(printable + 2, line.len());
            prop_assert!(line.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn any_bytes_make_the_same_head_in_whatever_pieces(
        start in "(GET / HTTP/1.1\r\n|HTTP/1.1 101 x\r\n)?",
        lines in vec(prop_oneof![3 => "[a-z]{1,5}: [ -~]{0,20}\r\n", 1 => any::<String>()], 0..5),
        end in "(\r\n)?[a-z]{0,9}",
        pieces in vec(1usize..40, 1..10),
        max in 1usize..200,
    ) {
        let bytes = [start, lines.concat(), end].concat().into_bytes();
        let mut whole = HeadBuffer::new(max);
        let expected = whole.push(&bytes);
        let mut in_pieces = HeadBuffer::new(max);
        let (mut rest, mut piece) = (&bytes[..], pieces.iter().cycle());
        let mut result = Ok(false);
        while !rest.is_empty() && result.is_ok() {
            let (now, later) = rest.split_at((*piece.next().unwrap()).min(rest.len()));
            result = in_pieces.push(now);
            rest = later;
        }
        prop_assert_eq!(format!("{result:?}"), format!("{expected:?}"));
        if let Ok(true) = result {
            prop_assert_eq!(in_pieces.head(), whole.head());
            prop_assert_eq!(in_pieces.into_rest(), whole.into_rest());
        }
    }

    #[test]
    fn extensions_are_read_as_they_were_written(
        written in vec(
            (token(), vec((token(), option::of((token(), any::<bool>()))), 0..4)),
            1..4,
        ),
        blanks in vec("[ \t]{0,2}", 8),
        lines in any::<bool>(),
    ) {
        let mut blank = blanks.iter().cycle();
        let mut blank = || blank.next().unwrap().as_str();
        let mut headers = HeaderMap::new();
        let mut texts = Vec::new();
        for (name, parameters) in &written {
            let mut text = format!("{}{name}{}", blank(), blank());
            for (name, value) in parameters {
                text += &format!(";{}{name}{}", blank(), blank());
                match value {
                    None => {}
                    Some((value, false)) => text += &format!("={}{value}{}", blank(), blank()),
                    Some((value, true)) => {
                        let escaped: String = value.chars().flat_map(|c| ['\\', c]).collect();
                        text += &format!("={}\"{escaped}\"{}", blank(), blank());
                    }
                }
            }
            texts.push(text);
        }
        if !lines {
            texts = vec![texts.join(",")];
        }
        for text in texts {
            headers.append("sec-websocket-extensions", HeaderValue::from_str(&text).unwrap());
        }
        let expected: Vec<_> = written
            .into_iter()
            .map(|(name, parameters)| Extension {
                name,
                parameters: parameters
                    .into_iter()
                    .map(|(name, value)| (name, value.map(|(value, _)| value)))
                    .collect(),
            })
            .collect();
        prop_assert_eq!(extensions::parse(&headers).unwrap(), expected);
    }

    #[test]
    fn whatever_both_ends_are_set_to_they_agree_or_go_without(
        client_ends in settings(),
        server_ends in settings(),
    ) {
        let (client, server) = (deflate(client_ends), deflate(server_ends));
        let field = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.append("sec-websocket-extensions", HeaderValue::from_str(text).unwrap());
            extensions::parse(&headers).unwrap()
        };
        let chosen = server.choose(&field(&client.offer())).expect("our own offer");
        let judged = client.judge(&field(&chosen.to_string())).unwrap().expect("our own answer");
        prop_assert_eq!(judged.server, chosen.server);
        // What a server decompresses with, a client's window fits into.
        prop_assert!(judged.client.max_window_bits <= chosen.client.max_window_bits);
        prop_assert!(judged.client.no_context_takeover || !chosen.client.no_context_takeover);
        for ends in [client_ends, server_ends] {
            let [server, client] = ends;
            prop_assert!(chosen.server.max_window_bits <= server.1);
            prop_assert!(judged.client.max_window_bits <= client.1);
            prop_assert!(chosen.server.no_context_takeover || !server.0);
            prop_assert!(judged.client.no_context_takeover || !client.0);
        }
    }
}
