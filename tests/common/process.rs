//! What the system says of this process: its threads, descriptors, memory and processor time.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The library's threads by their numbers, but for the one that stays.
fn tasks() -> impl Iterator<Item = (String, fs::DirEntry)> {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    tasks.flatten().filter_map(|task| {
        // It may have ended meanwhile.
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let name = name.trim().to_owned();
        (name.starts_with("wstrand") && name != "wstrand-watch").then_some((name, task))
    })
}

/// How many threads of the library's there are, but for the one that stays.
pub(crate) fn threads() -> usize {
    tasks().count()
}

/// How many of them have this name.
pub(crate) fn threads_called(wanted: &str) -> usize {
    tasks().filter(|(name, _)| name == wanted).count()
}

/// How much processor time each of the library's threads has used so far.
pub(crate) fn thread_times() -> BTreeMap<String, Duration> {
    tasks()
        .filter_map(|(name, task)| {
            let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanoseconds = times.split(' ').next()?.parse().ok()?;
            let number = task.file_name().into_string().ok()?;
            Some((
                format!("{name} {number}"),
                Duration::from_nanos(nanoseconds),
            ))
        })
        .collect()
}

/// How much processor time the process has used.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it goes forwards")
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("this is Linux")
        .count()
}

/// A line of `/proc/self/status`, in its own unit.
pub(crate) fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}

/// Lets the process have as many descriptors as it may, which must be `wanted`.
pub(crate) fn allow_descriptors(wanted: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum is allowed");
    assert!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "{wanted} descriptors are needed and {} allowed: `ulimit -Hn {wanted}` as root, or `prlimit --pid $$ --nofile={wanted}`",
        limit.maximum.unwrap_or_default()
    );
}
