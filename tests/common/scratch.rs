//! A folder of a test's own, and ports that nobody has.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, fs};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// A new folder below the target directory, removed when it is dropped.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch-{}-{count}", process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // A process of the same number may have been killed here.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the target directory can be written");
        Self { path }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file, and returns its path as text, for a command line.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("the folder can be written");
        path.into_os_string()
            .into_string()
            .expect("a path in UTF-8")
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A port of 127.0.0.1 where nobody listens, for programs that cannot find one by themselves. While this lives the
/// system gives it to nobody, but who asks for it, and reuses addresses as servers do, may listen there.
pub(crate) struct Port {
    pub(crate) number: u16,
    _held: OwnedFd,
}

pub(crate) fn free_port() -> Port {
    let flags = SocketFlags::CLOEXEC;
    let held = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    sockopt::set_socket_reuseaddr(&held, true).expect("it is new");
    bind(&held, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let addr = getsockname(&held).expect("it is bound");
    let addr = SocketAddr::try_from(addr).expect("an internet address");
    Port {
        number: addr.port(),
        _held: held,
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}
