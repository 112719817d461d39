//! Compression (RFC 7692) with libraries that others wrote: Python's `websockets` and npm's `ws`, in both roles.
//!
//! The peer's script leads: it sends messages of many kinds and demands them back. Our end echoes in ways of its own:
//! whole, in fragments, and some uncompressed. Between the two a relay counts bytes, because either end could only
//! say that it compresses.
//!
//! Of a window of 8 bits: `ws` decompresses with one, strictly, so it shows that we keep to it. Neither zlib nor what
//! Python and Node.js make of it compresses with less than 9, and `websockets` refuses to try: it offers and grants 8
//! only for what it receives.

mod common;
#[path = "common/deflate_peers.rs"]
mod deflate_peers;
#[path = "common/raw.rs"]
mod raw;

use std::sync::mpsc;

use common::{Process, Server};
use deflate_peers::{DeflatePeer as Peer, Passed, relay, told_of};
use raw::{in_time, patient, serve};
use wstrand::{Client, Deflate, Message, Options, Sender, WebSocket};

/// What one end asks for, what the other does, and what must come of it.
struct Case {
    ours: Option<Deflate>,
    theirs: &'static str,
    /// As our end says it: the value of Sec-WebSocket-Extensions.
    agreed: &'static str,
    /// As the peer says it; each of the parts is in it.
    as_told: &'static [&'static str],
}

/// Sends back every message: whole, in fragments, or as it is.
fn echo(ws: WebSocket) {
    let mut number = 0;
    ws.run(move |sender: &Sender, message: Message<'_>| {
        number += 1;
        let bytes = message.as_bytes();
        let result = match number % 5 {
            0 => (|| {
                let mut writer = sender.writer(message.kind())?;
                let (start, rest) = bytes.split_at(bytes.len() / 3);
                writer.push(start)?;
                writer.flush()?;
                writer.push(rest)?;
                writer.finish()
            })(),
            1 if bytes.len() < 1000 => sender.send_uncompressed(message),
            _ => sender.send(message),
        };
        result.expect("the peer is there until it closes");
    });
}

fn options(ours: Option<Deflate>) -> Options {
    let mut options = patient();
    options.deflate(ours);
    options
}

/// Demands that both ends have agreed as they should, and that the bytes tell the same.
fn judge(case: &Case, extensions: &str, told: &[String], passed: &Passed) {
    assert_eq!(extensions, case.agreed);
    let view = told_of(told, "agreed ");
    for part in case.as_told {
        assert!(view.contains(part), "{part:?} is not in {view}");
    }
    passed.judge(told_of(told, "bytes "), !case.agreed.is_empty());
}

/// The peer connects to a server of ours.
fn their_client(peer: Peer, case: Case) {
    in_time(move || {
        let (agreed, extensions) = mpsc::channel();
        let server = serve(
            |server| {
                server.options(&options(case.ours));
            },
            move |ws| {
                agreed.send(ws.extensions().to_owned()).expect("it waits");
                echo(ws);
            },
        );
        let (url, passed) = relay(&server.url());
        let told = Process::start(peer.command().args(["client", case.theirs, &url])).succeed();
        let extensions = extensions.recv().expect("a connection");
        judge(&case, &extensions, &told.stdout, &passed);
    });
}

/// A client of ours connects to the peer.
fn their_server(peer: Peer, case: Case) {
    in_time(move || {
        let server = Server::start(peer.command().args(["server", case.theirs]));
        let (url, passed) = relay(&server.url);
        let ws = Client::new()
            .options(&options(case.ours))
            .connect(&url)
            .expect("the peer accepts");
        let extensions = ws.extensions().to_owned();
        echo(ws);
        judge(&case, &extensions, &server.finished().stdout, &passed);
    });
}

fn deflate(configure: impl FnOnce(&mut Deflate)) -> Option<Deflate> {
    let mut deflate = Deflate::new();
    configure(&mut deflate);
    Some(deflate)
}

macro_rules! cases {
    ($run:expr; $($name:ident: $ours:expr, $theirs:literal => $agreed:literal, $told:expr;)*) => {
        $(
            #[test]
            fn $name() {
                $run(Case { ours: $ours, theirs: $theirs, agreed: $agreed, as_told: &$told });
            }
        )*
    };
}

/// `local` is what the peer compresses with, `remote` what it takes for us to compress with.
mod websockets_client {
    use super::*;

    cases! { |case| their_client(Peer::Websockets, case);
        by_default: deflate(|_| {}), "{}" => "permessage-deflate",
            ["remote_no_context_takeover=False", "local_no_context_takeover=False", "remote_max_window_bits=15", "local_max_window_bits=15"];
        we_take_nothing_over: deflate(|d| { d.server_no_context_takeover(true); }), "{}"
            => "permessage-deflate; server_no_context_takeover", ["remote_no_context_takeover=True", "local_no_context_takeover=False"];
        they_ask_us_to_take_nothing_over: deflate(|_| {}), r#"{"server_no_context_takeover":true}"#
            => "permessage-deflate; server_no_context_takeover", ["remote_no_context_takeover=True", "local_no_context_takeover=False"];
        nobody_takes_anything_over: deflate(|d| { d.server_no_context_takeover(true).client_no_context_takeover(true); }), "{}"
            => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ["remote_no_context_takeover=True", "local_no_context_takeover=True"];
        they_take_nothing_over: deflate(|_| {}), r#"{"client_no_context_takeover":true}"#
            => "permessage-deflate; client_no_context_takeover", ["local_no_context_takeover=True", "remote_no_context_takeover=False"];
        our_window_is_9_bits: deflate(|d| { d.server_max_window_bits(9); }), "{}"
            => "permessage-deflate; server_max_window_bits=9", ["remote_max_window_bits=9", "local_max_window_bits=15"];
        they_ask_us_for_9_bits: deflate(|_| {}), r#"{"server_max_window_bits":9}"#
            => "permessage-deflate; server_max_window_bits=9", ["remote_max_window_bits=9"];
        they_ask_us_for_8_bits: deflate(|_| {}), r#"{"server_max_window_bits":8}"#
            => "permessage-deflate; server_max_window_bits=8", ["remote_max_window_bits=8"];
        they_ask_us_for_15_bits: deflate(|_| {}), r#"{"server_max_window_bits":15}"#
            => "permessage-deflate; server_max_window_bits=15", ["remote_max_window_bits=15"];
        we_demand_9_bits: deflate(|d| { d.client_max_window_bits(9); }), "{}"
            => "permessage-deflate; client_max_window_bits=9", ["local_max_window_bits=9"];
        their_window_is_9_bits: deflate(|_| {}), r#"{"client_max_window_bits":9}"#
            => "permessage-deflate; client_max_window_bits=9", ["local_max_window_bits=9"];
        they_offer_nothing: deflate(|_| {}), "null" => "", ["None"];
        we_decline: None, "{}" => "", ["None"];
    }
}

mod websockets_server {
    use super::*;

    cases! { |case| their_server(Peer::Websockets, case);
        by_default: deflate(|_| {}), "{}" => "permessage-deflate",
            ["remote_no_context_takeover=False", "local_no_context_takeover=False", "remote_max_window_bits=15", "local_max_window_bits=15"];
        we_ask_them_to_take_nothing_over: deflate(|d| { d.server_no_context_takeover(true); }), "{}"
            => "permessage-deflate; server_no_context_takeover", ["local_no_context_takeover=True", "remote_no_context_takeover=False"];
        they_demand_that_we_take_nothing_over: deflate(|_| {}), r#"{"client_no_context_takeover":true}"#
            => "permessage-deflate; client_no_context_takeover", ["remote_no_context_takeover=True", "local_no_context_takeover=False"];
        nobody_takes_anything_over: deflate(|d| { d.client_no_context_takeover(true); }), r#"{"server_no_context_takeover":true}"#
            => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ["remote_no_context_takeover=True", "local_no_context_takeover=True"];
        we_ask_them_for_9_bits: deflate(|d| { d.server_max_window_bits(9); }), "{}"
            => "permessage-deflate; server_max_window_bits=9", ["local_max_window_bits=9"];
        their_window_is_9_bits: deflate(|_| {}), r#"{"server_max_window_bits":9}"#
            => "permessage-deflate; server_max_window_bits=9", ["local_max_window_bits=9"];
        our_window_is_9_bits: deflate(|d| { d.client_max_window_bits(9); }), "{}"
            => "permessage-deflate; client_max_window_bits=9", ["remote_max_window_bits=9"];
        they_demand_8_bits: deflate(|_| {}), r#"{"client_max_window_bits":8}"#
            => "permessage-deflate; client_max_window_bits=8", ["remote_max_window_bits=8"];
        they_demand_15_bits: deflate(|_| {}), r#"{"client_max_window_bits":15}"#
            => "permessage-deflate; client_max_window_bits=15", ["remote_max_window_bits=15"];
        they_decline: deflate(|_| {}), "null" => "", ["None"];
        we_offer_nothing: None, "{}" => "", ["None"];
        // It can not compress with 8 bits, so it declines.
        they_decline_8_bits: deflate(|d| { d.server_max_window_bits(8); }), "{}" => "", ["None"];
    }
}

mod ws_client {
    use super::*;

    cases! { |case| their_client(Peer::Ws, case);
        by_default: deflate(|_| {}), "{}" => "permessage-deflate", ["{}"];
        we_take_nothing_over: deflate(|d| { d.server_no_context_takeover(true); }), "{}"
            => "permessage-deflate; server_no_context_takeover", [r#"{"server_no_context_takeover":true}"#];
        nobody_takes_anything_over: deflate(|d| { d.server_no_context_takeover(true); }), r#"{"clientNoContextTakeover":true}"#
            => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            [r#""server_no_context_takeover":true"#, r#""client_no_context_takeover":true"#];
        they_ask_us_for_8_bits: deflate(|_| {}), r#"{"serverMaxWindowBits":8}"#
            => "permessage-deflate; server_max_window_bits=8", [r#""server_max_window_bits":8"#];
        they_ask_us_for_9_bits: deflate(|_| {}), r#"{"serverMaxWindowBits":9}"#
            => "permessage-deflate; server_max_window_bits=9", [r#""server_max_window_bits":9"#];
        they_ask_us_for_15_bits: deflate(|_| {}), r#"{"serverMaxWindowBits":15}"#
            => "permessage-deflate; server_max_window_bits=15", [r#""server_max_window_bits":15"#];
        we_demand_8_bits: deflate(|d| { d.client_max_window_bits(8); }), "{}"
            => "permessage-deflate; client_max_window_bits=8", [r#""client_max_window_bits":8"#];
        we_demand_9_bits: deflate(|d| { d.client_max_window_bits(9); }), "{}"
            => "permessage-deflate; client_max_window_bits=9", [r#""client_max_window_bits":9"#];
        our_window_is_8_bits_and_nothing_is_taken_over: deflate(|d| { d.server_max_window_bits(8).server_no_context_takeover(true); }), "{}"
            => "permessage-deflate; server_no_context_takeover; server_max_window_bits=8", [r#""server_max_window_bits":8"#];
        they_offer_nothing: deflate(|_| {}), "false" => "", ["null"];
        we_decline: None, "{}" => "", ["null"];
    }
}

mod ws_server {
    use super::*;

    cases! { |case| their_server(Peer::Ws, case);
        by_default: deflate(|_| {}), "{}" => "permessage-deflate", ["{}"];
        we_ask_them_to_take_nothing_over: deflate(|d| { d.server_no_context_takeover(true); }), "{}"
            => "permessage-deflate; server_no_context_takeover", [r#"{"server_no_context_takeover":true}"#];
        they_demand_that_we_take_nothing_over: deflate(|_| {}), r#"{"clientNoContextTakeover":true}"#
            => "permessage-deflate; client_no_context_takeover", [r#"{"client_no_context_takeover":true}"#];
        nobody_takes_anything_over: deflate(|_| {}), r#"{"clientNoContextTakeover":true,"serverNoContextTakeover":true}"#
            => "permessage-deflate; server_no_context_takeover; client_no_context_takeover", [r#""server_no_context_takeover":true"#];
        we_ask_them_for_8_bits: deflate(|d| { d.server_max_window_bits(8); }), "{}"
            => "permessage-deflate; server_max_window_bits=8", [r#""server_max_window_bits":8"#];
        we_ask_them_for_9_bits: deflate(|d| { d.server_max_window_bits(9); }), "{}"
            => "permessage-deflate; server_max_window_bits=9", [r#""server_max_window_bits":9"#];
        they_demand_8_bits: deflate(|_| {}), r#"{"clientMaxWindowBits":8}"#
            => "permessage-deflate; client_max_window_bits=8", [r#""client_max_window_bits":8"#];
        they_demand_9_bits: deflate(|_| {}), r#"{"clientMaxWindowBits":9}"#
            => "permessage-deflate; client_max_window_bits=9", [r#""client_max_window_bits":9"#];
        they_demand_15_bits: deflate(|_| {}), r#"{"clientMaxWindowBits":15}"#
            => "permessage-deflate; client_max_window_bits=15", [r#""client_max_window_bits":15"#];
        our_window_is_8_bits_and_nothing_is_taken_over: deflate(|d| { d.client_max_window_bits(8).client_no_context_takeover(true); }), "{}"
            => "permessage-deflate; client_no_context_takeover; client_max_window_bits=8", [r#""client_max_window_bits":8"#];
        they_decline: deflate(|_| {}), "false" => "", ["null"];
        we_offer_nothing: None, "{}" => "", ["null"];
    }
}
