//! The C library, built and installed once for a test program, and C and C++ programs built against it.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::common::{Process, program, root};

/// Builds and runs a program of `tests/c` or `tests/cpp`.
pub(crate) fn plain(source: &str, standard: &str, arguments: &[&str]) {
    let built = build(&format!("plain-{standard}"), source, standard, &["-O2"]);
    Process::start(staged(&built).args(arguments)).succeed_within(LONG);
}

/// Builds and runs one with what finds errors that do not show. (Optimising the wrapper's templates besides takes
/// the compiler four times as long.)
pub(crate) fn sanitized(source: &str, standard: &str, arguments: &[&str]) {
    let flags = [
        if source.ends_with(".c") { "-O1" } else { "-O0" },
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ];
    let built = build("sanitized", source, standard, &flags);
    let mut command = staged(&built);
    command.args(arguments).env(
        "ASAN_OPTIONS",
        "detect_leaks=1:detect_stack_use_after_return=1",
    );
    Process::start(&mut command).succeed_within(LONG);
}

/// Builds a program of `tests/c` or `tests/cpp` against the shared library.
pub(crate) fn build(variant: &str, source: &str, standard: &str, flags: &[&str]) -> PathBuf {
    let (stem, extension) = source.split_once('.').expect("a source has an extension");
    let language = if extension == "c" {
        Language::C
    } else {
        Language::Cpp
    };
    let built = scratch(variant).join(stem);
    let mut command = language.compiler(standard);
    command
        .args(["-g", "-pthread"])
        .args(flags)
        .arg(root().join("tests").join(extension).join(source))
        .arg("-o")
        .arg(&built)
        .args(libraries());
    compile(&mut command, &built);
    built
}

/// Runs a compiler of C or C++, unless it has run so before and nothing has changed of what it read then: a C++ program
/// with all of the wrapper's templates takes ten seconds. `made` is what it makes, or only names what it checks.
pub(crate) fn compile(command: &mut Command, made: &Path) {
    let read = beside(made, "d");
    command.arg("-MD").arg("-MF").arg(&read);
    let compiler = PathBuf::from(command.get_program());
    once(command, made, || {
        let read = fs::read_to_string(&read).ok()?;
        let (_, files) = read.split_once(": ")?;
        let files = files.split_whitespace().filter(|word| *word != "\\");
        Some(files.map(PathBuf::from).chain([compiler.clone()]).collect())
    });
}

/// Runs a command that makes something, unless it has run so before and none of the files that it reads has changed.
pub(crate) fn once(command: &mut Command, made: &Path, reads: impl Fn() -> Option<Vec<PathBuf>>) {
    let stamp = beside(made, "stamp");
    let told = format!("{command:?}");
    let is_there = made.is_file() || command.get_args().all(|argument| argument != made);
    let fingerprint = || {
        let mut hasher = DefaultHasher::new();
        told.hash(&mut hasher);
        for file in reads()? {
            fs::read(file).ok()?.hash(&mut hasher);
        }
        Some(format!("{:x}", hasher.finish()))
    };
    let then = fs::read_to_string(&stamp).ok();
    if is_there && then.is_some() && then == fingerprint() {
        return;
    }
    let _ = fs::remove_file(&stamp);
    Process::start(command).succeed_within(LONG);
    let now = fingerprint().expect("what was read is there");
    fs::write(stamp, now).expect("target/ can be written to");
}

fn beside(made: &Path, extension: &str) -> PathBuf {
    PathBuf::from(format!("{}.{extension}", made.display()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Cpp,
}

impl Language {
    pub(crate) fn compiler(self, standard: &str) -> Command {
        let mut command = Command::new(program(match self {
            Self::C => "cc",
            Self::Cpp => "c++",
        }));
        command.args([
            &format!("-std={standard}"),
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
        ]);
        command
    }
}

/// Where `ffi/install.sh` has installed the library, once for all tests.
pub(crate) fn prefix() -> &'static Path {
    static STAGED: OnceLock<PathBuf> = OnceLock::new();
    STAGED.get_or_init(|| install("prefix", &[]))
}

/// Cargo's directory, where the last variant of the library that was built lies: hold `BUILDING` until it is copied.
pub(crate) fn target() -> &'static Path {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().expect("target/tmp")
}

pub(crate) static BUILDING: Mutex<()> = Mutex::new(());

/// Builds the library with these options of cargo, and installs it.
pub(crate) fn install(name: &str, options: &[&str]) -> PathBuf {
    let _building = BUILDING.lock();
    let prefix = scratch(name);
    let _ = fs::remove_dir_all(&prefix);
    let mut install = Command::new(root().join("ffi/install.sh"));
    install
        .arg(&prefix)
        .arg("dev")
        .args(options)
        .env("CARGO_TARGET_DIR", target())
        .env_remove("DESTDIR");
    Process::start(&mut install).succeed_within(LONG);
    prefix
}

/// A command whose program finds the shared library there.
pub(crate) fn staged(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", prefix().join("lib"));
    command
}

/// The built C example `name`, one of those that talk to others.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let directory = scratch("examples");
        for name in ["echo_client", "echo_server", "poll_loop"] {
            let source = root().join("examples/c").join(name).with_extension("c");
            let mut command = Language::C.compiler("c11");
            let built = directory.join(name);
            command.arg(source).arg("-o").arg(&built).args(libraries());
            compile(&mut command, &built);
        }
        directory
    });
    directory.join(name)
}

/// What a program needs to be built with the shared library.
pub(crate) fn libraries() -> Vec<String> {
    pkg_config(&["--cflags", "--libs"])
}

pub(crate) fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new(program("pkg-config"));
    command
        .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
        .args(arguments)
        .arg("wstrand");
    output(&mut command)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it says nothing but text")
}

/// A directory for what one test builds.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(env!("CARGO_CRATE_NAME"))
        .join(name);
    fs::create_dir_all(&directory).expect("target/ can be written to");
    directory
}

/// For what has much to do, or to build.
pub(crate) const LONG: Duration = Duration::from_secs(600);
