//! What the integration tests share: child processes with a deadline on every wait, the examples that they run, and
//! the third-party peers that `tests/setup.sh` installs.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what takes milliseconds: generous, for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A child process. Its output is read all the time, so that it never blocks on a full pipe; dropped, it is killed.
pub(crate) struct Process {
    name: String,
    child: Option<Child>,
    output: Receiver<(Stream, String)>,
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// How many lines of `stdout` the test has looked at.
    seen: usize,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// What a process that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Process {
    /// Starts `command` with its standard input held open until the process is dropped.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (sender, output) = mpsc::channel();
        forward(
            child.stdout.take().expect("stdout is piped"),
            Stream::Out,
            sender.clone(),
        );
        forward(
            child.stderr.take().expect("stderr is piped"),
            Stream::Err,
            sender,
        );
        Self {
            name,
            child: Some(child),
            output,
            stdout: Vec::new(),
            stderr: Vec::new(),
            seen: 0,
        }
    }

    /// Waits for the next line on standard output that begins with `prefix`, and returns what follows.
    pub(crate) fn line(&mut self, prefix: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(line) = self.stdout.get(self.seen) {
                self.seen += 1;
                if let Some(rest) = line.strip_prefix(prefix) {
                    return rest.to_owned();
                }
            }
            if let Err(why) = self.read_until(deadline) {
                panic!(
                    "no line {prefix:?} ({why}) from {}\n{}",
                    self.name,
                    self.transcript()
                );
            }
        }
    }

    /// Waits for the next line on standard output that has `part` in it, and returns all of it.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(line) = self.stdout.get(self.seen) {
                self.seen += 1;
                if line.contains(part) {
                    return line.clone();
                }
            }
            if let Err(why) = self.read_until(deadline) {
                panic!(
                    "no line with {part:?} ({why}) from {}\n{}",
                    self.name,
                    self.transcript()
                );
            }
        }
    }

    /// What it has printed on standard output, up to the last line that was waited for and perhaps beyond.
    pub(crate) fn all_so_far(&self) -> &[String] {
        &self.stdout
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn finish_within(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let why = loop {
            match self.read_until(deadline) {
                Ok(()) => {}
                Err(why) => break why,
            }
        };
        assert!(
            why == RecvTimeoutError::Disconnected,
            "not done after {limit:?}: {}\n{}",
            self.name,
            self.transcript()
        );
        let status = self.reap(deadline);
        Finished {
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
        }
    }

    /// Waits until the process has ended with status 0.
    pub(crate) fn succeed(self) -> Finished {
        self.succeed_within(PATIENCE)
    }

    /// As `succeed`, for what takes longer.
    pub(crate) fn succeed_within(self, limit: Duration) -> Finished {
        let name = self.name.clone();
        let finished = self.finish_within(limit);
        assert!(
            finished.status.success(),
            "{}: {name}\n{}",
            finished.status,
            finished.transcript()
        );
        finished
    }

    /// Asks the process to stop, with SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Ends the process at once: nothing of it can say goodbye.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().expect("not reaped yet");
        child.kill().expect("an own child can be killed");
        child.wait().expect("an own child can be waited for");
    }

    /// Writes a line to the process's standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self
            .child
            .as_mut()
            .and_then(|child| child.stdin.as_mut())
            .expect("stdin is piped");
        writeln!(stdin, "{line}")
            .unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// Writes bytes to the process's standard input, at once.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self
            .child
            .as_mut()
            .and_then(|child| child.stdin.as_mut())
            .expect("stdin is piped");
        stdin
            .write_all(bytes)
            .unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// Closes the process's standard input.
    pub(crate) fn end_of_input(&mut self) {
        drop(self.child.as_mut().and_then(|child| child.stdin.take()));
    }

    fn signal(&self, signal: &str) {
        // The child is not reaped before `reap` or `drop`, so its id cannot have passed to another process.
        let id = self.child.as_ref().expect("not reaped yet").id();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {id}")])
            .status()
            .expect("sh starts");
        assert!(
            sent.success(),
            "{} is gone already\n{}",
            self.name,
            self.transcript()
        );
    }

    fn read_until(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let (stream, line) = self.output.recv_timeout(left)?;
        match stream {
            Stream::Out => self.stdout.push(line),
            Stream::Err => self.stderr.push(line),
        }
        Ok(())
    }

    /// Waits for a process whose output has ended; it may still be busy with its own end.
    fn reap(&mut self, deadline: Instant) -> ExitStatus {
        let mut child = self.child.take().expect("not reaped yet");
        let id = child.id();
        let (sender, reaped) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait()));
        match reaped.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(status) => status.expect("an own child can be waited for"),
            Err(_) => {
                let _ = Command::new("sh")
                    .args(["-c", &format!("kill -KILL {id}")])
                    .status();
                panic!(
                    "closed its output but did not end: {}\n{}",
                    self.name,
                    self.transcript()
                );
            }
        }
    }

    fn transcript(&self) -> String {
        transcript(&self.stdout, &self.stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Finished {
    pub(crate) fn transcript(&self) -> String {
        transcript(&self.stdout, &self.stderr)
    }
}

/// A running echo server.
pub(crate) struct Server {
    process: Process,
    /// `ws://127.0.0.1:PORT/`
    pub(crate) url: String,
}

impl Server {
    /// Starts a program that prints `listening on URL` once it is bound.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let url = process.line("listening on ");
        Self { process, url }
    }

    /// Starts the example `echo_server` on a free port.
    pub(crate) fn example(arguments: &[&str]) -> Self {
        Self::start(
            Command::new(example("echo_server"))
                .args(arguments)
                .arg("0"),
        )
    }

    /// Asks the server to stop and demands that it ends well.
    pub(crate) fn stop(self) {
        self.process.terminate();
        self.process.succeed();
    }

    /// Asks the server to stop; it may go on for as long as connections close.
    pub(crate) fn terminate(&self) {
        self.process.terminate();
    }

    /// Waits for the end of a server that was asked to stop, or that ends by itself.
    pub(crate) fn succeed(self) {
        self.finished();
    }

    /// As `succeed`, and hands out what it has printed.
    pub(crate) fn finished(self) -> Finished {
        self.process.succeed()
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

/// The built example `name`, in the same profile as this test. `cargo test --test one` builds no examples, so this
/// sees to it: a stale example would prove nothing.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    let target = target_directory();
    let (profile, options): (_, &[_]) = match cfg!(debug_assertions) {
        true => ("debug", &[]),
        false => ("release", &["--release"]),
    };
    BUILT.call_once(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(root())
            .args(["build", "--quiet", "--workspace", "--examples"])
            .args(options)
            .arg("--target-dir")
            .arg(&target);
        let status = cargo.stdin(Stdio::null()).status().expect("cargo starts");
        assert!(status.success(), "the examples do not build");
    });
    let path = target.join(profile).join("examples").join(name);
    assert!(
        path.is_file(),
        "there is no example {name}: {}",
        path.display()
    );
    path
}

/// The Python of the environment with the package `websockets`.
pub(crate) fn python() -> PathBuf {
    peer("python/bin/python")
}

/// A file below `target/peers`, where `tests/setup.sh` installs the peers.
pub(crate) fn peer(path: &str) -> PathBuf {
    let path = root().join("target/peers").join(path);
    assert!(
        path.exists(),
        "{} is missing: run `tests/setup.sh test`",
        path.display()
    );
    path
}

/// Node.js, with the package `ws` installed for it.
pub(crate) fn node() -> PathBuf {
    peer("node/node_modules/ws/package.json");
    program("node")
}

/// A program found in PATH.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: run `tests/setup.sh test`"))
}

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Tells the person who runs the tests something, past the capture that holds back what passing tests print.
pub(crate) fn announce(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// This test is `TARGET/PROFILE/deps/NAME-HASH`.
pub(crate) fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    test.ancestors()
        .nth(3)
        .expect("a test lies three levels below the target directory")
        .to_owned()
}

fn forward(stream: impl Read + Send + 'static, which: Stream, sender: Sender<(Stream, String)>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            if sender.send((which, text)).is_err() {
                break;
            }
            line.clear();
        }
    });
}

fn transcript(stdout: &[String], stderr: &[String]) -> String {
    format!(
        "--- stdout\n{}\n--- stderr\n{}",
        stdout.join("\n"),
        stderr.join("\n")
    )
}
