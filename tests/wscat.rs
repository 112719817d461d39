//! The example `wscat`: in pipes, against servers and clients that others wrote, and at a terminal, which is tmux's.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use certs::{authority, good};
use common::{Finished, PATIENCE, Process, Server, example, node, program, python};
use raw::{Raw, listen, serve, until};
use scratch::{Scratch, free_port};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wstrand::http::StatusCode;
use wstrand::{Answer, Request, Response};

fn start(arguments: &[&str]) -> Process {
    Process::start(Command::new(example("wscat")).args(arguments))
}

/// Runs it with this standard input.
fn run(arguments: &[&str], input: &[u8]) -> Finished {
    let mut process = start(arguments);
    process.write(input);
    process.end_of_input();
    process.finish_within(PATIENCE)
}

#[track_caller]
fn assert_code(finished: &Finished, code: i32) {
    let transcript = finished.transcript();
    assert_eq!(finished.status.code(), Some(code), "{transcript}");
}

#[track_caller]
fn assert_says(finished: &Finished, lines: &[&str]) {
    assert_code(finished, 0);
    assert_eq!(finished.stdout, lines, "{}", finished.transcript());
}

fn events(finished: &Finished) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("each line is JSON");
    finished.stdout.iter().map(parse).collect()
}

/// Bytes of which no part is like another.
fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut source = File::open("/dev/urandom").expect("it is there");
    source.read_exact(&mut bytes).expect("it has no end");
    bytes
}

mod in_pipes {
    use super::*;

    #[test]
    fn lines_go_out_as_they_are_and_come_back_as_lines() {
        let server = Server::example(&[]);
        let input = "one\n\n/ping is no command here\r\nlast, 漢字\n";
        let wanted = ["one", "", "/ping is no command here", "last, 漢字"];
        assert_says(&run(&[&server.url], input.as_bytes()), &wanted);
        assert_says(
            &run(&["-z", &server.url, "-"], b"no newline"),
            &["no newline"],
        );
        server.stop();
    }

    #[test]
    fn messages_of_the_command_line_go_out_in_its_order_and_standard_input_is_not_read() {
        let server = Server::example(&[]);
        let scratch = Scratch::new();
        let file = scratch.write("file", b"\0file~");
        let process = start(&["-m", "first", "-s", &file, "-m", "last", &server.url]);
        let wanted = [
            "first",
            "00000000  00 66 69 6c 65 7e                                 |.file~|",
            "last",
        ];
        assert_says(&process.finish_within(PATIENCE), &wanted);
        server.stop();
    }

    #[test]
    fn json_has_an_object_for_each_event() {
        let server = Server::example(&["--deflate", "--subprotocol", "demo"]);
        let url = server.url.replace("ws://", "ws://me:secret@");
        let args = ["--json", "-z", "-p", "demo", "-b", &url];
        let finished = run(&args, b"\0\xff");
        assert_code(&finished, 0);
        let events = events(&finished);
        let names: Vec<_> = events.iter().map(|event| &event["event"]).collect();
        assert_eq!(names, ["open", "message", "close"]);
        // Without the password.
        assert_eq!(events[0]["peer"], server.url);
        assert_eq!(events[0]["subprotocol"], "demo");
        assert_eq!(events[0]["extensions"], "permessage-deflate");
        assert_eq!(events[1]["kind"], "binary");
        assert_eq!(events[1]["base64"], "AP8=");
        assert_eq!(events[2]["code"], 1000);
        assert_eq!(events[2]["clean"], true);
        server.stop();
    }

    #[test]
    fn sixteen_mebibytes_come_back_byte_for_byte_with_progress() {
        let server = Server::example(&[]);
        let scratch = Scratch::new();
        let bytes = random(16 << 20);
        let sent = scratch.write("sent", &bytes);
        let kept = scratch.path("kept");
        let kept = kept.to_str().expect("a path in UTF-8");
        for split in [None, Some("1M")] {
            let mut args = vec!["-s", &sent, "-o", kept, "--progress", "-n"];
            args.push(if split.is_some() { "16" } else { "1" });
            args.extend(split.into_iter().flat_map(|split| ["--split", split]));
            args.push(&server.url);
            let finished = start(&args).finish_within(PATIENCE);
            assert_says(&finished, &[]);
            assert!(scratch.read("kept") == bytes, "{split:?}: other bytes");
            let told = |text: &str| finished.stderr.iter().any(|line| line == text);
            assert!(told("wscat: sent 50 % (8.00 MiB of 16.00 MiB)"));
            assert!(told("wscat: received 16.00 MiB"));
        }
        // And all of standard input as one message.
        let finished = run(&["-b", "-o", kept, "-n", "1", &server.url], &bytes);
        assert_says(&finished, &[]);
        assert!(scratch.read("kept") == bytes, "other bytes");
        server.stop();
    }

    #[test]
    fn the_end_of_the_input_is_waited_for_as_long_as_is_said() {
        let (listener, url) = listen();
        let mut process = start(&["--keep", &url]);
        let mut peer = Raw::accept_open(&listener);
        process.end_of_input();
        // It has nothing to send any more, and goes on until the peer closes.
        peer.send(raw::TEXT, "late");
        assert_eq!(process.line(""), "late");
        peer.send_close(1000, "");
        assert_eq!(peer.frame().opcode, raw::CLOSE);
        drop(peer);
        assert_code(&process.finish_within(PATIENCE), 0);
    }

    #[test]
    fn sigterm_closes_cleanly() {
        let server = Server::example(&[]);
        let mut process = start(&["-v", &server.url]);
        process.write(b"here\n");
        assert_eq!(process.line(""), "here");
        process.terminate();
        let finished = process.finish_within(PATIENCE);
        assert_code(&finished, 0);
        let last = finished.stderr.last().map(String::as_str);
        assert_eq!(last, Some("* closed with code 1000"));
        server.stop();
    }

    #[test]
    fn what_the_command_line_asks_for_is_in_the_request() {
        let server = serve(
            |server| {
                server
                    .allow_origin("https://page.example")
                    .on_request(|request: &Request| {
                        let field = |name| request.header(name).unwrap_or_default().to_owned();
                        let told = [field("x-one"), field("authorization"), field("origin")];
                        let response = Response::text(told.join("|"));
                        match told[0].as_str() {
                            "refuse" => response.into(),
                            _ => Answer::Default,
                        }
                    });
            },
            |ws| {
                let request = ws.request().expect("a server has one");
                let field = |name| request.header(name).unwrap_or_default().to_owned();
                let told = [field("x-one"), field("authorization"), field("origin")];
                ws.send_text(&told.join("|")).expect("it reads");
            },
        );
        let origin = ["--origin", "https://page.example"];
        let url = server.url();
        let mut args = vec!["-H", "X-One: 1", "-u", "me:secret", "-n", "1", &url];
        args.extend(origin);
        assert_says(
            &run(&args, b""),
            &["1|Basic bWU6c2VjcmV0|https://page.example"],
        );
        let refused = run(&["-H", "X-One: refuse", &url], b"");
        assert_code(&refused, 2);
        let wanted = "wscat: opening handshake: the server answered 200 OK: refuse||";
        assert_eq!(refused.stderr, [wanted]);
    }

    #[test]
    fn nothing_of_a_peer_steers_a_terminal_that_shows_only_standard_error() {
        let server = serve(
            |server| {
                server.on_request(|request: &Request| match request.path() {
                    "/closes" => Answer::Default,
                    _ => Response::text("\x1b[2Jgone\x07").into(),
                });
            },
            |ws| ws.close(4000, "\x1b]0;title\x07").expect("the first time"),
        );
        let refused = run(&[&server.url()], b"");
        assert_code(&refused, 2);
        let wanted = r"wscat: opening handshake: the server answered 200 OK: \u{1b}[2Jgone\u{7}";
        assert_eq!(refused.stderr, [wanted]);
        for (option, start) in [("-k", "wscat:"), ("-kv", "*")] {
            let closed = run(&[option, &format!("{}closes", server.url())], b"");
            assert_code(&closed, 4);
            let wanted = format!(r"{start} closed with code 4000: \u{{1b}}]0;title\u{{7}}");
            assert_eq!(closed.stderr.last(), Some(&wanted));
        }
    }
}

mod exit_codes {
    use super::*;

    #[test]
    fn a_bad_command_line_or_file_is_1() {
        let server = Server::example(&[]);
        let url = server.url.as_str();
        for args in [
            &[][..],
            &["--nonsense", url],
            &["http://127.0.0.1/"],
            &["-n", "0", url],
            &["--listen", "0", url],
            &["-H", "no colon", url],
            &["--ca", "/nonexistent", url],
            &["-s", "/nonexistent", url],
            &["-o", "/nonexistent/file", url],
            &["-m", "x", "-H", "Upgrade: no", url],
        ] {
            let finished = run(args, b"");
            assert_code(&finished, 1);
            assert!(!finished.stderr.is_empty(), "{args:?} without a word");
        }
        assert_code(&run(&[url], b"\xff\n"), 1);
        assert_code(&run(&["--help"], b""), 0);
        server.stop();
    }

    #[test]
    fn no_connection_is_2() {
        let nobody = free_port();
        let url = format!("ws://127.0.0.1:{nobody}/");
        assert_code(&run(&[&url], b""), 2);
        let plain = serve(
            |server| {
                server.on_request(|_| Response::new(StatusCode::FORBIDDEN).into());
            },
            drop,
        );
        let finished = run(&["--json", &plain.url()], b"");
        assert_code(&finished, 2);
        let error = &events(&finished)[0]["error"];
        assert_eq!(
            error,
            "opening handshake: the server answered 403 Forbidden"
        );
        let taken = plain.addr().to_string();
        assert_code(&run(&["--listen", &taken], b""), 2);
    }

    #[test]
    fn a_connection_that_breaks_is_3() {
        let (listener, url) = listen();
        let process = start(&[&url]);
        drop(Raw::accept_open(&listener));
        assert_code(&process.finish_within(PATIENCE), 3);

        let process = start(&[&url]);
        let mut peer = Raw::accept_open(&listener);
        peer.send(0x3, "no such opcode");
        assert_eq!(peer.frame().opcode, raw::CLOSE);
        drop(peer);
        assert_code(&process.finish_within(PATIENCE), 3);
    }

    #[test]
    fn another_close_code_or_too_few_messages_is_4() {
        let server = Server::example(&[]);
        let finished = run(&["-k", "-m", "/close 4001 so it is", &server.url], b"");
        assert_code(&finished, 4);
        assert_eq!(finished.stderr, ["wscat: closed with code 4001: so it is"]);
        assert_code(&run(&["-k", "-m", "/close 1000", &server.url], b""), 0);
        let finished = run(&["-n", "2", "-m", "/close 1000", &server.url], b"");
        assert_code(&finished, 4);
        assert_eq!(finished.stderr, ["wscat: closed after 0 of 2 messages"]);
        server.stop();
    }

    #[test]
    fn a_timeout_is_5() {
        let server = Server::example(&[]);
        let waiting = ["-n", "2", "-m", "one", "--timeout", "3", &server.url];
        let finished = run(&waiting, b"");
        assert_code(&finished, 5);
        assert_eq!(finished.stdout, ["one"]);
        server.stop();
        let (_listener, url) = listen();
        assert_code(&run(&["--timeout", "0.5", &url], b""), 5);
    }
}

mod with_others {
    use super::*;

    const PYTHON_SERVER: &str = r#"
from websockets.sync.server import serve
def handle(ws):
    for message in ws:
        if message == "close": ws.close(4002, "as asked")
        else: ws.send(message)
with serve(handle, "127.0.0.1", 0, max_size=None) as server:
    print(f"listening on ws://127.0.0.1:{server.socket.getsockname()[1]}/", flush=True)
    server.serve_forever()
"#;

    const NODE_SERVER: &str = r#"
const { WebSocketServer } = require("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0 }, () =>
    console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
server.on("connection", (ws) => ws.on("message", (data, binary) =>
    data.toString() === "close" ? ws.close(4002, "as asked") : ws.send(data, { binary })));
"#;

    fn converses(server: Server) {
        let finished = run(&["-n", "2", &server.url], "a\nb é\n".as_bytes());
        assert_says(&finished, &["a", "b é"]);
        let dump = "00000000  61 00 ff                                          |a..|";
        assert_says(&run(&["-b", "-n", "1", &server.url], b"a\0\xff"), &[dump]);
        let finished = run(
            &["--json", "-k", "-m", "x", "-m", "close", &server.url],
            b"",
        );
        assert_code(&finished, 4);
        let events = events(&finished);
        assert_eq!(events[1]["text"], "x");
        assert_eq!(events[2]["code"], 4002);
        assert_eq!(events[2]["reason"], "as asked");
        server.kill();
    }

    #[test]
    fn it_converses_with_a_server_of_websockets() {
        converses(Server::start(
            Command::new(python()).args(["-c", PYTHON_SERVER]),
        ));
    }

    #[test]
    fn it_converses_with_a_server_of_ws() {
        let modules = common::peer("node/node_modules");
        let mut command = Command::new(node());
        command.args(["-e", NODE_SERVER]).env("NODE_PATH", modules);
        converses(Server::start(&mut command));
    }

    #[test]
    fn a_client_of_websockets_talks_to_it_as_a_server() {
        let mut server = start(&["--listen", "0", "--json", "--keep", "-p", "demo"]);
        let listening: Value = serde_json::from_str(&server.line("")).expect("JSON");
        let url = listening["url"].as_str().expect("a URL").to_owned();
        server.write(b"for whoever comes\n");
        let script = format!(
            "from websockets.sync.client import connect\n\
             with connect({url:?}, subprotocols=['demo']) as ws:\n\
             \x20   assert ws.recv() == 'for whoever comes' and ws.subprotocol == 'demo'\n\
             \x20   ws.send('from python'); ws.send(b'\\1'); ws.close(4003, 'done')\n"
        );
        Process::start(Command::new(python()).args(["-c", &script])).succeed();
        assert!(
            server
                .line_with("python")
                .contains(r#""text":"from python""#)
        );
        let close = server.line_with(r#""close""#);
        let close: Value = serde_json::from_str(&close).expect("JSON");
        assert_eq!(
            (&close["client"], &close["code"]),
            (&1.into(), &4003.into())
        );

        // What is sent goes to all that are there.
        let mut clients: Vec<_> = (0..2).map(|_| start(&["-n", "1", &url])).collect();
        server.line_with(r#""open""#);
        server.line_with(r#""open""#);
        server.write(b"to all\n");
        for mut client in clients.drain(..) {
            assert_eq!(client.line(""), "to all");
            assert_code(&client.finish_within(PATIENCE), 0);
        }
        server.terminate();
        assert_code(&server.finish_within(PATIENCE), 0);
    }

    #[test]
    fn one_client_is_served_once_over_tls() {
        let scratch = Scratch::new();
        let ca = scratch.write("ca.pem", &authority().pem);
        let cert = scratch.write("cert.pem", &good().chain);
        let key = scratch.write("key.pem", &good().key);
        let tls = ["--json", "--cert", &cert, "--key", &key];
        let listen = || {
            let mut args = vec!["--listen", "0", "--once", "--keep"];
            args.extend(tls);
            let mut server = start(&args);
            let listening: Value = serde_json::from_str(&server.line("")).expect("JSON");
            (server, listening["url"].as_str().expect("a URL").to_owned())
        };

        let (server, url) = listen();
        assert!(url.starts_with("wss://"), "{url}");
        assert_code(&run(&["-m", "x", &url], b""), 2);
        assert_code(&run(&["-m", "x", "--ca", &ca, &url], b""), 0);
        let finished = server.finish_within(PATIENCE);
        assert_code(&finished, 0);
        assert_eq!(events(&finished)[2]["text"], "x");

        let (server, url) = listen();
        assert_code(&run(&["-m", "x", "--insecure", &url], b""), 0);
        assert_code(&server.finish_within(PATIENCE), 0);
    }

    #[test]
    fn it_goes_through_a_proxy_and_over_a_unix_socket() {
        let server = Server::example(&[]);
        let port = free_port();
        let mut proxy = Command::new(program("microsocks"));
        proxy.args([
            "-i",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-u",
            "me",
            "-P",
            "pw",
        ]);
        let _proxy = Process::start(&mut proxy);
        until("listening", || {
            TcpStream::connect(("127.0.0.1", port.number)).is_ok()
        });
        let through = |credentials: &str| {
            let proxy = format!("socks5://{credentials}127.0.0.1:{port}");
            run(&["--proxy", &proxy, &server.url], b"through\n")
        };
        assert_says(&through("me:pw@"), &["through"]);
        assert_code(&through(""), 2);
        server.stop();

        let scratch = Scratch::new();
        let path = scratch.path("socket");
        let path = path.to_str().expect("a path in UTF-8");
        let addr = format!("unix:{path}");
        let mut server = start(&["--listen", &addr, "--once", "--json", "--keep"]);
        server.line_with("listening");
        let args = ["--unix", path, "-m", "over there", "ws://localhost/"];
        assert_code(&run(&args, b""), 0);
        let finished = server.finish_within(PATIENCE);
        assert_code(&finished, 0);
        assert_eq!(events(&finished)[2]["text"], "over there");
    }
}

mod at_a_terminal {
    use super::*;

    /// A terminal of 80 columns and 24 rows, in a tmux of its own.
    struct Terminal {
        socket: String,
        scratch: Scratch,
    }

    impl Terminal {
        fn start(arguments: &[&str]) -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let terminal = Self {
                socket: format!("wscat-{}-{count}", process::id()),
                scratch: Scratch::new(),
            };
            let script = terminal.script(arguments);
            let size = ["new-session", "-d", "-x", "80", "-y", "24"];
            terminal.tmux(&[&["-f", "/dev/null"], &size[..], &[&script]].concat());
            terminal
        }

        /// Starts wscat there once more.
        fn again(&self, arguments: &[&str]) {
            self.tmux(&["respawn-pane", "-k", &self.script(arguments)]);
        }

        /// The screen stays when it has ended, with its status.
        fn script(&self, arguments: &[&str]) -> String {
            let words = arguments.iter().map(|word| format!("'{word}'"));
            format!(
                "unset NO_COLOR; XDG_STATE_HOME='{}' '{}' {}; echo \"status $?\"; exec cat",
                self.scratch.dir().display(),
                example("wscat").display(),
                words.collect::<Vec<_>>().join(" ")
            )
        }

        fn tmux(&self, arguments: &[&str]) -> String {
            let mut tmux = Command::new(program("tmux"));
            tmux.args(["-u", "-L", &self.socket]).args(arguments);
            Process::start(&mut tmux).succeed().stdout.join("\n")
        }

        fn press(&self, keys: &[&str]) {
            let mut args = vec!["send-keys"];
            args.extend(keys);
            self.tmux(&args);
        }

        /// The screen, without what is empty at its end.
        fn screen(&self) -> String {
            let screen = self.tmux(&["capture-pane", "-p"]);
            screen.trim_end().to_owned()
        }

        /// Waits until the screen ends in these lines.
        #[track_caller]
        fn ends_in(&self, lines: &str) {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let screen = self.screen();
                if screen.ends_with(lines) {
                    return;
                }
                assert!(
                    Instant::now() < deadline,
                    "not {lines:?} at last:\n{screen}"
                );
            }
        }
    }

    impl Drop for Terminal {
        fn drop(&mut self) {
            let mut tmux = Command::new(program("tmux"));
            let _ = tmux.args(["-L", &self.socket, "kill-server"]).output();
        }
    }

    #[test]
    fn lines_and_commands_show_what_comes_of_them() {
        let server = Server::example(&[]);
        let terminal = Terminal::start(&[&server.url]);
        terminal.ends_in("* /help tells the commands; Ctrl-D closes\n>");
        terminal.press(&["-l", "hello"]);
        terminal.press(&["Enter"]);
        terminal.ends_in("> hello\n< hello\n>");
        terminal.press(&["//slash", "Enter"]);
        terminal.ends_in("> //slash\n< /slash\n>");
        terminal.press(&["/binary 00 ff 7e", "Enter"]);
        let dump = "00000000  00 ff 7e                                          |..~|";
        terminal.ends_in(&format!("< binary, 3 bytes\n  {dump}\n>"));
        terminal.press(&["/ping x", "Enter"]);
        terminal.ends_in(" ms\n>");
        assert!(terminal.screen().contains("* pong \"x\" after "));
        terminal.press(&["/nonsense", "Enter"]);
        until("an error", || {
            terminal.screen().contains("! no such command: /nonsense")
        });
        terminal.press(&["/close 4000 that is all", "Enter"]);
        terminal.ends_in("* closed with code 4000: that is all\nstatus 0");
        server.stop();
    }

    #[test]
    fn a_message_in_mid_edit_leaves_the_line_as_it_was() {
        let (listener, url) = listen();
        let terminal = Terminal::start(&[&url]);
        let mut peer = Raw::accept_open(&listener);
        terminal.ends_in("\n>");
        terminal.press(&["-l", "half a lin"]);
        terminal.press(&["Left", "Left", "Left"]);
        terminal.ends_in("\n> half a lin");
        peer.send(
            raw::TEXT,
            "in between, and long enough for two rows: ".repeat(3),
        );
        peer.send(raw::TEXT, "\x1b[2J\nand another");
        terminal.ends_in("\n< \\u{1b}[2J\n  and another\n> half a lin");
        assert!(terminal.screen().contains("< in between, and long"));
        // The cursor is where it was, too.
        terminal.press(&["-l", "ong "]);
        terminal.press(&["End", "e", "Enter"]);
        assert_eq!(peer.frame().payload, b"half a ong line");
        // Longer than a row.
        terminal.press(&["-l", &"0123456789".repeat(9)]);
        until("the line", || {
            terminal.screen().ends_with("34567\n890123456789")
        });
        peer.send(raw::TEXT, "above");
        until("a message", || {
            terminal.screen().contains("< above\n> 0123456789")
        });
        assert_eq!(terminal.screen().matches("> 0123456789").count(), 1);
        terminal.press(&["Enter"]);
        assert_eq!(peer.frame().payload.len(), 90);
        // Nothing is left of the prompt when the peer ends it.
        peer.send_close(4004, "no more");
        assert_eq!(peer.frame().opcode, raw::CLOSE);
        drop(peer);
        terminal.ends_in("* closed with code 4004: no more\nstatus 4");
    }

    #[test]
    fn earlier_lines_come_back_also_in_the_next_run() {
        let server = Server::example(&[]);
        let terminal = Terminal::start(&[&server.url]);
        terminal.ends_in("\n>");
        terminal.press(&["one", "Enter", "two", "Enter"]);
        until("two echoes", || terminal.screen().contains("< two"));
        terminal.ends_in("\n>");
        terminal.press(&["Up", "Up"]);
        terminal.ends_in("\n> one");
        terminal.press(&["C-u"]);
        terminal.ends_in("\n>");
        terminal.press(&["C-d"]);
        terminal.ends_in("* closed with code 1000\nstatus 0");
        terminal.again(&[&server.url]);
        terminal.ends_in("closes\n>");
        terminal.press(&["Up"]);
        terminal.ends_in("\n> two");
        server.stop();
    }

    #[test]
    fn control_c_closes_cleanly() {
        let server = Server::example(&[]);
        let terminal = Terminal::start(&[&server.url]);
        terminal.ends_in("\n>");
        terminal.press(&["-l", "never sent"]);
        terminal.press(&["C-c"]);
        terminal.ends_in("* closed with code 1000\nstatus 0");
        server.stop();
    }

    #[test]
    fn colours_are_shown_unless_the_environment_asks_for_none() {
        let server = Server::example(&[]);
        let terminal = Terminal::start(&["-m", "x", &server.url]);
        terminal.ends_in("status 0");
        let screen = terminal.tmux(&["capture-pane", "-p", "-e"]);
        assert!(screen.contains("\x1b[32m<\x1b[39m x"), "{screen:?}");
        server.stop();
    }
}

/// One wscat sends to another.
fn pass_on(wscat: &Path, len: u64, split: &str, max_size: &str) {
    let scratch = Scratch::new();
    let path = scratch.path("sent");
    let sent = path.to_str().expect("a path in UTF-8");
    let mut file = File::create(&path).expect("the folder can be written");
    let mut hash = Sha256::new();
    let mut block = random(1 << 20);
    for number in 0..len >> 20 {
        block[..8].copy_from_slice(&number.to_be_bytes());
        hash.update(&block);
        file.write_all(&block).expect("there is room");
    }
    let hash = hash.finalize();

    let kept = scratch.path("kept");
    let mut receive = Command::new(wscat);
    receive
        .args([
            "--listen",
            "0",
            "--once",
            "--keep",
            "--json",
            "--max-size",
            max_size,
            "-o",
        ])
        .arg(&kept);
    let mut receiver = Process::start(&mut receive);
    let listening: Value = serde_json::from_str(&receiver.line("")).expect("JSON");
    let url = listening["url"].as_str().expect("a URL");

    let begun = Instant::now();
    let mut send = Command::new(wscat);
    send.args(["-s", sent, "--split", split, "--progress", url]);
    let sender = Process::start(&mut send).finish_within(Duration::from_secs(600));
    assert_code(&sender, 0);
    let finished = receiver.finish_within(PATIENCE);
    assert_code(&finished, 0);
    let took = begun.elapsed();

    let told: Vec<_> = sender
        .stderr
        .iter()
        .filter(|line| line.contains(" % "))
        .collect();
    assert_eq!(told.len(), 10, "{}", sender.transcript());
    let mut received = Sha256::new();
    let mut file = File::open(&kept).expect("it is there");
    std::io::copy(&mut file, &mut Hashing(&mut received)).expect("it can be read");
    assert_eq!(received.finalize(), hash);
    common::announce(&format!(
        "wscat: {} MiB in messages of {split} at the most in {took:.1?}",
        len >> 20
    ));
}

struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn sixteen_mebibytes_pass_from_one_to_another() {
    pass_on(&example("wscat"), 16 << 20, "1M", "1M");
}

#[test]
#[ignore = "moves 2 GiB through the disk"]
fn a_gibibyte_passes_from_one_to_another() {
    pass_on(&example("wscat"), 1 << 30, "1M", "1M");
    pass_on(&example("wscat"), 1 << 30, "1G", "1G");
}
