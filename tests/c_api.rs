//! The C library as it is installed: what it exports, its headers under every standard, C and C++ programs built
//! against it in every way, the examples with peers that others wrote, and the programs of `tests/c` and
//! `tests/cpp`, also under the sanitizers and valgrind.

#[path = "common/c_library.rs"]
mod c_library;
mod common;
#[path = "common/deflate_peers.rs"]
mod deflate_peers;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use c_library::{
    LONG, Language, build, compile, example, libraries, output, pkg_config, plain, prefix,
    sanitized, scratch, staged,
};
use common::{Process, Server, node, program, python, root};

mod library {
    use super::*;

    #[test]
    fn exports_the_functions_of_the_header_and_nothing_else() {
        let nm = output(
            Command::new(program("nm"))
                .args(["-D", "--defined-only"])
                .arg(shared_library()),
        );
        // Beside the functions, the version itself is a symbol.
        let exported: Vec<&str> = nm
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2))
            .filter(|name| *name != "WSTRAND_1")
            .collect();
        let versioned = exported
            .iter()
            .map(|name| name.strip_suffix("@@WSTRAND_1").unwrap_or(""));
        let exported: BTreeSet<&str> = versioned.collect();
        let header = header();
        let declared = functions(&header);
        assert!(
            declared.len() > 50,
            "the header was not understood: {declared:?}"
        );
        assert_eq!(exported, declared);
    }

    #[test]
    fn every_function_is_given_bad_arguments() {
        let header = header();
        let tested = fs::read_to_string(root().join("tests/c/arguments.c"))
            .expect("arguments.c can be read");
        let untested: Vec<&str> = functions(&header)
            .into_iter()
            .filter(|name| {
                !tested.contains(&format!("{name}(")) && !tested.contains(&format!("{name},"))
            })
            .collect();
        assert!(untested.is_empty(), "not in arguments.c: {untested:?}");
    }

    #[test]
    fn is_named_after_its_abi_version() {
        let header = header();
        let abi = macro_value(&header, "WSTRAND_ABI_VERSION");
        let readelf = output(
            Command::new(program("readelf"))
                .arg("-d")
                .arg(shared_library()),
        );
        let soname = readelf.lines().find(|line| line.contains("(SONAME)"));
        let soname = soname.unwrap_or_else(|| panic!("no SONAME\n{readelf}"));
        assert!(
            soname.contains(&format!("[libwstrand.so.{abi}]")),
            "{soname}"
        );
        assert!(prefix().join(format!("lib/libwstrand.so.{abi}")).is_file());
    }

    #[test]
    fn has_the_version_of_the_crate_everywhere() {
        let header = header();
        let version = ["MAJOR", "MINOR", "PATCH"]
            .map(|part| macro_value(&header, &format!("WSTRAND_VERSION_{part}")).to_owned())
            .join(".");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_eq!(pkg_config(&["--modversion"]), [version]);
    }

    fn shared_library() -> PathBuf {
        prefix().join("lib/libwstrand.so")
    }

    fn header() -> String {
        let header = fs::read_to_string(prefix().join("include/wstrand.h"))
            .expect("the header is installed");
        without_comments(&header)
    }

    fn without_comments(mut source: &str) -> String {
        let mut code = String::new();
        while let Some((before, rest)) = source.split_once("/*") {
            code.push_str(before);
            source = rest.split_once("*/").expect("comments end").1;
        }
        code + source
    }

    /// The names that a parenthesis follows.
    fn functions(header: &str) -> BTreeSet<&str> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = |before: &'_ str| before.len() - before.trim_end_matches(is_name).len();
        header
            .match_indices('(')
            .map(|(at, _)| &header[..at])
            .map(|before| &before[before.len() - name(before)..])
            .filter(|name| name.starts_with("wstrand_"))
            .collect()
    }

    fn macro_value<'a>(header: &'a str, name: &str) -> &'a str {
        let define = format!("#define {name} ");
        let value = header.lines().find_map(|line| line.strip_prefix(&define));
        value.unwrap_or_else(|| panic!("no {name}"))
    }
}

mod headers {
    use super::*;

    const STRICT: &[&str] = &["-Wconversion", "-Wundef", "-Wshadow"];

    #[test]
    fn wstrand_h_compiles_alone_as_every_c() {
        for standard in ["c99", "c11", "c17", "c2x"] {
            let source = source(&format!("{standard}.c"), TWICE);
            compiles(Language::C, standard, &source, STRICT);
        }
    }

    #[test]
    fn wstrand_h_compiles_alone_as_cpp() {
        for standard in ["c++17", "c++20", "c++2b"] {
            let source = source(&format!("h-{standard}.cpp"), TWICE);
            compiles(Language::Cpp, standard, &source, STRICT);
        }
    }

    #[test]
    fn wstrand_hpp_compiles_alone_with_and_without_exceptions() {
        let source = source("hpp.cpp", &TWICE.replace(".h>", ".hpp>"));
        for standard in ["c++17", "c++20", "c++2b"] {
            compiles(Language::Cpp, standard, &source, STRICT);
            let flags = [STRICT, &["-fno-exceptions", "-fno-rtti"]].concat();
            compiles(Language::Cpp, standard, &source, &flags);
        }
    }

    const WITHOUT_EXCEPTIONS: &[&str] = &["-fno-exceptions", "-fno-rtti"];

    #[test]
    fn wstrand_hpp_compiles_with_both_compilers_and_all_standards() {
        wrapper_compiles("g++", "c++2b", &[]);
        wrapper_compiles("g++", "c++17", WITHOUT_EXCEPTIONS);
        wrapper_compiles("clang++", "c++20", &[]);
        wrapper_compiles("clang++", "c++17", WITHOUT_EXCEPTIONS);
    }

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn wstrand_hpp_compiles_with_every_compiler_standard_and_set_of_flags() {
        for compiler in ["g++", "clang++"] {
            for standard in ["c++17", "c++20", "c++2b"] {
                for flags in [&[], WITHOUT_EXCEPTIONS] {
                    wrapper_compiles(compiler, standard, flags);
                }
            }
        }
    }

    /// The whole wrapper, with all of its templates.
    fn wrapper_compiles(compiler: &str, standard: &str, flags: &[&str]) {
        let mut command = Command::new(program(compiler));
        command
            .arg(format!("-std={standard}"))
            .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .args(STRICT)
            .args(flags)
            .arg(format!("-I{}", prefix().join("include").display()))
            .arg(root().join("tests/cpp/wrapper.cpp"));
        let name = format!("{compiler}-{standard}-{}", flags.len());
        compile(&mut command, &scratch("wrapper").join(name));
    }

    /// Those of the manual and the README are run, by `tests/guide.rs`.
    #[test]
    fn the_programs_in_their_opening_comments_compile() {
        let read = |path: &str| fs::read_to_string(root().join(path)).expect("it can be read");
        for (language, standard, name, header) in [
            (Language::C, "c11", "preface.c", "include/wstrand.h"),
            (Language::Cpp, "c++17", "preface.cpp", "include/wstrand.hpp"),
        ] {
            let program = indented(&read(header));
            compiles(language, standard, &source(name, &program), &[]);
        }
    }

    const TWICE: &str =
        "#include <wstrand.h>\n#include <wstrand.h>\nint main(void) { return 0; }\n";

    fn source(name: &str, text: &str) -> PathBuf {
        let path = scratch("headers").join(name);
        fs::write(&path, text).expect("the scratch directory can be written to");
        path
    }

    /// Includes by <> would not be warned about, but that ours are not the system's.
    fn compiles(language: Language, standard: &str, source: &Path, flags: &[&str]) {
        let include = format!("-I{}", prefix().join("include").display());
        let mut command = language.compiler(standard);
        command
            .args(flags)
            .args(["-fsyntax-only", &include])
            .arg(source);
        let name = format!("{}-{standard}-{}", source.display(), flags.len());
        compile(&mut command, Path::new(&name));
    }

    /// The first program in a header's opening comment.
    fn indented(header: &str) -> String {
        let lines = header
            .lines()
            .skip_while(|line| !line.starts_with(" *     #include"));
        let lines = lines.map_while(|line| {
            (line == " *")
                .then_some("")
                .or_else(|| line.strip_prefix(" *     "))
        });
        let program: Vec<&str> = lines
            .take_while(|line| !line.contains("pkg-config"))
            .collect();
        program.join("\n")
    }
}

/// Programs of somebody else's, built in every way that the README tells of.
mod built {
    use super::*;

    #[derive(Clone, Copy)]
    pub(super) enum Way {
        PkgConfig(Link),
        Cmake(Link),
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Link {
        Shared,
        Static,
    }

    #[test]
    fn through_pkg_config_shared() {
        talk(Way::PkgConfig(Link::Shared));
    }

    #[test]
    fn through_pkg_config_static() {
        talk(Way::PkgConfig(Link::Static));
    }

    #[test]
    fn through_find_package_shared() {
        talk(Way::Cmake(Link::Shared));
    }

    #[test]
    fn through_find_package_static() {
        talk(Way::Cmake(Link::Static));
    }

    /// Hello from C and from C++, to an echo server of the same library and to one that others wrote.
    fn talk(way: Way) {
        let programs = way.build();
        for hello in ["hello", "hello_cpp"] {
            let server = Server::start(way.command(&programs.join("echo_server")).args([
                "--subprotocol",
                "demo",
                "0",
            ]));
            let hello = programs.join(hello);
            let told = Process::start(way.command(&hello).args([&server.url, "demo"]))
                .succeed()
                .stdout;
            assert_eq!(
                told,
                [
                    "open subprotocol=demo",
                    "message text 13 bytes: Hello, world!",
                    "message binary 4 bytes",
                    "message binary 1048576 bytes",
                    "close 1000 bye clean"
                ]
            );
            server.stop();

            let server = Server::start(
                Command::new(python()).arg(root().join("tests/peers/demo_server.py")),
            );
            let told = Process::start(way.command(&hello).args([&server.url, "demo"]))
                .succeed()
                .stdout;
            let starts = [
                "open subprotocol=demo",
                "message text 13 bytes: Hello, world!",
                "message text 1048577 bytes: wstrand, wstrand, ",
                "message binary 1048577 bytes",
                "message binary 5 bytes",
                "close 1000 goodbye clean",
            ];
            assert_eq!(told.len(), starts.len(), "{told:?}");
            for (line, start) in told.iter().zip(starts) {
                assert!(line.starts_with(start), "{told:?}");
            }
            server.succeed();

            let lost = Process::start(way.command(&hello).arg("ws://127.0.0.1:1/"))
                .finish_within(common::PATIENCE);
            assert_eq!(lost.status.code(), Some(1), "{}", lost.transcript());
            assert!(
                lost.stderr[0].starts_with("hello: connect: "),
                "{}",
                lost.transcript()
            );
        }
    }

    impl Way {
        /// Builds the examples; returns the directory that they are in.
        fn build(self) -> PathBuf {
            let directory = match self {
                Self::PkgConfig(link) => with_pkg_config(link),
                Self::Cmake(link) => with_cmake(link),
            };
            let readelf = output(
                Command::new(program("readelf"))
                    .arg("-d")
                    .arg(directory.join("hello")),
            );
            let (Self::PkgConfig(link) | Self::Cmake(link)) = self;
            assert_eq!(
                readelf.contains("libwstrand.so"),
                link == Link::Shared,
                "{readelf}"
            );
            directory
        }

        /// CMake's own programs find the library by themselves.
        fn command(self, program: &Path) -> Command {
            match self {
                Self::PkgConfig(Link::Shared) => staged(program),
                _ => Command::new(program),
            }
        }
    }

    fn with_pkg_config(link: Link) -> PathBuf {
        let (directory, libraries) = match link {
            Link::Shared => (scratch("pkg-config-shared"), libraries()),
            Link::Static => {
                let mut flags = pkg_config(&["--cflags", "--libs", "--static"]);
                for flag in &mut flags {
                    // The linker would take the shared library, which lies beside it.
                    if flag == "-lwstrand" {
                        *flag = "-l:libwstrand.a".to_owned();
                    }
                }
                (scratch("pkg-config-static"), flags)
            }
        };
        for (language, source, name) in [
            (Language::C, "examples/c/hello.c", "hello"),
            (Language::C, "examples/c/echo_server.c", "echo_server"),
            (Language::Cpp, "examples/cpp/hello.cpp", "hello_cpp"),
        ] {
            let mut command = language.compiler(if language == Language::C {
                "c11"
            } else {
                "c++17"
            });
            command
                .arg(root().join(source))
                .arg("-o")
                .arg(directory.join(name))
                .args(&libraries);
            Process::start(&mut command).succeed();
        }
        directory
    }

    fn with_cmake(link: Link) -> PathBuf {
        let (directory, option) = match link {
            Link::Shared => (scratch("cmake-shared"), "-DWSTRAND_STATIC=OFF"),
            Link::Static => (scratch("cmake-static"), "-DWSTRAND_STATIC=ON"),
        };
        let mut configure = Command::new(program("cmake"));
        configure
            .arg("-S")
            .arg(root().join("tests/c"))
            .arg("-B")
            .arg(&directory);
        configure
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()))
            .arg(option);
        Process::start(&mut configure).succeed();
        Process::start(
            Command::new(program("cmake"))
                .arg("--build")
                .arg(&directory),
        )
        .succeed();
        directory
    }
}

/// The C examples and peers that others wrote; `tests/interop.rs` says what the scenarios are.
mod examples {
    use super::*;

    #[derive(Clone, Copy)]
    enum Peer {
        Websockets,
        Ws,
    }

    const ANY: &[&str] = &[
        "text",
        "binary",
        "empty",
        "large",
        "huge",
        "fragmented",
        "ping",
        "sequence",
        "pipelined",
    ];

    #[test]
    fn websockets_talks_to_the_echo_server() {
        let own = [
            "subprotocol",
            "no_subprotocol",
            "close_here",
            "close_there",
            "drop",
            "text",
        ];
        their_client(Peer::Websockets, &[ANY, &own].concat());
    }

    #[test]
    fn ws_talks_to_the_echo_server() {
        let own = [
            "subprotocol",
            "close_here",
            "close_without_code",
            "close_there",
            "drop",
            "text",
        ];
        their_client(Peer::Ws, &[ANY, &own].concat());
    }

    #[test]
    fn the_echo_client_talks_to_websockets() {
        their_server(Peer::Websockets, ANY, "", "closed 1000 done");
        their_server(
            Peer::Websockets,
            &["subprotocol"],
            "demo",
            "closed 1000 done",
        );
        their_server(
            Peer::Websockets,
            &["no_subprotocol"],
            "",
            "closed 1000 done",
        );
        their_server(
            Peer::Websockets,
            &["close_here"],
            "",
            "closed 4003 this side is done ✓",
        );
        a_lost_connection(Peer::Websockets);
    }

    #[test]
    fn the_echo_client_talks_to_ws() {
        their_server(Peer::Ws, ANY, "", "closed 1000 done");
        their_server(Peer::Ws, &["subprotocol"], "demo", "closed 1000 done");
        their_server(
            Peer::Ws,
            &["close_here"],
            "",
            "closed 4003 this side is done ✓",
        );
        their_server(Peer::Ws, &["close_without_code"], "", "closed 1005");
        a_lost_connection(Peer::Ws);
    }

    #[test]
    fn the_echo_server_says_1001_when_it_stops() {
        for peer in [Peer::Websockets, Peer::Ws] {
            let server = Server::start(staged(&example("echo_server")).arg("0"));
            let mut client =
                Process::start(peer.command().args(["client", &server.url, "going_away"]));
            client.line("connected");
            server.terminate();
            client.succeed();
            server.succeed();
        }
    }

    #[test]
    fn one_loop_has_the_input_and_a_connection() {
        let server = Server::start(staged(&example("echo_server")).arg("0"));
        let mut client = Process::start(staged(&example("poll_loop")).arg(&server.url));
        client.tell("first");
        client.line("first");
        client.write(b"second\nthird, in ");
        client.line("second");
        client.write(b"two parts\n");
        client.line("third, in two parts");
        client.write(b"the last, without an end");
        client.end_of_input();
        client.line("the last, without an end");
        client.line("closed 1000 bye clean");
        client.succeed();

        let mut client = Process::start(staged(&example("poll_loop")).arg(&server.url));
        client.tell("/close 4001 as told");
        client.line("closed 4001 as told clean");
        client.succeed();
        server.stop();
    }

    #[test]
    fn python_uses_the_library_by_ctypes() {
        let server = Server::start(staged(&example("echo_server")).arg("0"));
        let mut client = Command::new(program("python3"));
        client
            .arg(root().join("tests/peers/ctypes_client.py"))
            .arg(prefix().join("lib/libwstrand.so"))
            .arg(&server.url);
        let told = Process::start(&mut client).succeed().stdout;
        assert_eq!(told, ["all well"]);
        server.stop();
    }

    #[test]
    fn with_deflate_the_echo_server_compresses() {
        let mut server = staged(&example("echo_server"));
        deflate_peers::a_server_compresses(server.args(["--deflate", "0"]));
    }

    #[test]
    fn with_deflate_the_echo_client_compresses() {
        deflate_peers::a_client_compresses(|| {
            let mut client = staged(&example("echo_client"));
            client.arg("--deflate");
            client
        });
    }

    fn their_client(peer: Peer, scenarios: &[&str]) {
        let mut command = staged(&example("echo_server"));
        let server = Server::start(command.args(OFFER).arg("0"));
        for scenario in scenarios {
            Process::start(peer.command().args(["client", &server.url, scenario])).succeed();
        }
        server.stop();
    }

    fn their_server(peer: Peer, scenarios: &[&str], subprotocol: &str, end: &str) {
        for scenario in scenarios {
            let server = Server::start(peer.command().args(["server", scenario]));
            let mut command = staged(&example("echo_client"));
            if scenario.contains("subprotocol") {
                command.args(OFFER);
            }
            let told = Process::start(command.arg(&server.url)).succeed().stdout;
            let told: Vec<&str> = told.iter().map(|line| line.trim_end()).collect();
            assert_eq!(
                told,
                [format!("open subprotocol={subprotocol}").as_str(), end],
                "{scenario}"
            );
            server.succeed();
        }
    }

    fn a_lost_connection(peer: Peer) {
        let server = Server::start(peer.command().args(["server", "drop"]));
        let client = Process::start(staged(&example("echo_client")).arg(&server.url))
            .finish_within(common::PATIENCE);
        assert_eq!(client.status.code(), Some(1), "{}", client.transcript());
        assert!(!client.stderr.is_empty(), "{}", client.transcript());
        assert_eq!(
            client.stdout.last().map(|line| line.trim_end()),
            Some("closed 1006")
        );
        server.succeed();
    }

    impl Peer {
        fn command(self) -> Command {
            let (interpreter, script) = match self {
                Self::Websockets => (python(), "tests/peers/websockets_peer.py"),
                Self::Ws => (node(), "tests/peers/ws_peer.js"),
            };
            let mut command = Command::new(interpreter);
            command.arg(root().join(script));
            command
        }
    }

    const OFFER: &[&str] = &["--subprotocol", "other", "--subprotocol", "demo"];
}

/// The programs of `tests/c` and `tests/cpp`, as they are and under what finds the errors that do not show.
macro_rules! programs {
    ($($name:ident)*) => {
        mod plain {
            $(#[test]
            fn $name() {
                super::plain(concat!(stringify!($name), ".c"), "c11", &[]);
            })*
        }
        mod sanitized {
            $(#[test]
            fn $name() {
                super::sanitized(concat!(stringify!($name), ".c"), "c11", &[]);
            })*
        }
        mod valgrind {
            $(#[test]
            fn $name() {
                super::under_valgrind(concat!(stringify!($name), ".c"), "c11");
            })*
        }
    };
}

programs! { arguments deflate dispatch duplex group lifetime logger pull reconnect server signals sigpipe }

/// Ends that no leak check survives: a process that ends in the middle, one that forks, a library that goes.
mod ends {
    use super::*;

    #[test]
    fn a_process_exits_with_live_connections() {
        plain("exit.c", "c11", &[]);
    }

    #[test]
    fn a_process_exits_with_live_connections_under_the_sanitizers() {
        let built = build(
            "sanitized",
            "exit.c",
            "c11",
            &["-O1", "-fsanitize=address,undefined"],
        );
        let mut command = staged(&built);
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        Process::start(&mut command).succeed();
    }

    #[test]
    fn a_forked_child_is_refused_and_an_executed_one_inherits_nothing() {
        plain("fork.c", "c11", &[]);
    }

    #[test]
    fn a_forked_child_is_refused_and_an_executed_one_inherits_nothing_under_the_sanitizers() {
        sanitized("fork.c", "c11", &["light"]);
    }

    #[test]
    fn the_library_is_loaded_used_and_unloaded_a_hundred_times() {
        let built = scratch("unload").join("unload");
        let include = format!("-I{}", prefix().join("include").display());
        let mut command = Language::C.compiler("c11");
        command
            .args(["-O1", "-pthread", &include])
            .arg(root().join("tests/c/unload.c"))
            .arg("-o")
            .arg(&built)
            .arg("-ldl");
        Process::start(&mut command).succeed();
        let library = prefix().join("lib/libwstrand.so");
        Process::start(Command::new(&built).arg(library)).succeed_within(LONG);
    }
}

/// Connections that are freed at every stage of their lives; a round is four of them.
mod freeing {
    #[test]
    fn two_thousand_connections() {
        super::sanitized("lifetimes.c", "c11", &["500"]);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn a_hundred_thousand_connections() {
        super::plain("lifetimes.c", "c11", &["20000"]);
        super::sanitized("lifetimes.c", "c11", &["5000"]);
    }
}

/// `tests/c_reach.rs` runs it under the sanitizers, with TLS besides.
mod wrapper {
    use super::*;

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn as_cpp20() {
        super::plain("wrapper.cpp", "c++20", &[]);
    }

    #[test]
    fn without_exceptions() {
        let built = build(
            "without-exceptions",
            "wrapper.cpp",
            "c++17",
            &["-fno-exceptions", "-fno-rtti"],
        );
        Process::start(&mut staged(&built)).succeed();
    }

    /// The linker takes the first of two functions of one name: those without exceptions come first, and nothing is
    /// inlined.
    #[test]
    fn with_and_without_exceptions_in_one_program() {
        let directory = scratch("mixed");
        let object = |name: &str, flags: &[&str]| {
            let built = directory.join(name);
            let mut command = Language::Cpp.compiler("c++17");
            command
                .args(["-g", "-O0", "-pthread", "-c"])
                .args(flags)
                .arg(root().join("tests/cpp/mixed.cpp"))
                .arg("-o")
                .arg(&built)
                .args(pkg_config(&["--cflags"]));
            compile(&mut command, &built);
            built
        };
        let without = object("without.o", &["-fno-exceptions", "-fno-rtti"]);
        let with = object("with.o", &[]);
        let built = directory.join("mixed");
        let mut link = Language::Cpp.compiler("c++17");
        link.arg("-pthread")
            .args([&without, &with])
            .arg("-o")
            .arg(&built)
            .args(libraries());
        Process::start(&mut link).succeed();
        Process::start(&mut staged(&built)).succeed();
    }

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn under_valgrind() {
        super::under_valgrind("wrapper.cpp", "c++17");
    }
}

fn under_valgrind(source: &str, standard: &str) {
    let finished = valgrind(source, standard, &["light"]).succeed_within(LONG);
    let left = left_open(&finished.stderr);
    assert!(left.is_empty(), "{left:#?} {}", finished.transcript());
}

fn valgrind(source: &str, standard: &str, arguments: &[&str]) -> Process {
    let built = build("valgrind", source, standard, &["-O1"]);
    let mut command = staged(&program("valgrind"));
    command
        .args([
            "--quiet",
            "--leak-check=full",
            "--track-fds=yes",
            "--error-exitcode=99",
            "--num-callers=40",
        ])
        .arg(format!(
            "--suppressions={}",
            root().join("tests/c/valgrind.supp").display()
        ))
        .arg(built)
        .args(arguments);
    Process::start(&mut command)
}

/// The descriptors that valgrind says a program has opened and left open. Before 3.21 those are no errors of valgrind's.
fn left_open(said: &[String]) -> Vec<String> {
    let words: Vec<&str> = said
        .iter()
        .filter_map(|line| Some(line.strip_prefix("==")?.split_once("==")?.1.trim()))
        .collect();
    words
        .windows(2)
        .filter(|lines| lines[0].starts_with("Open ") && !lines[1].starts_with("<inherited"))
        .map(|lines| lines.join(" "))
        .collect()
}

#[test]
fn valgrind_finds_descriptors_that_are_left_open() {
    // It ends with live connections.
    let finished = valgrind("exit.c", "c11", &["light"]).finish_within(LONG);
    let left = left_open(&finished.stderr);
    let sockets = left.iter().filter(|open| open.contains("socket")).count();
    assert!(sockets > 0, "{}", finished.transcript());
}
