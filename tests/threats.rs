//! `docs/threats.md` names a test for each threat, and each test that it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: [(char, usize); 7] = [
    ('A', 15),
    ('B', 14),
    ('C', 7),
    ('D', 10),
    ('E', 7),
    ('F', 10),
    ('G', 10),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of each row that has a number.
fn rows(table: &str) -> Vec<[&str; 4]> {
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .filter_map(|line| line.split(" | ").collect::<Vec<_>>().try_into().ok())
        .filter(|[id, ..]: &[&str; 4]| id.chars().any(|c| c.is_ascii_digit()))
        .collect()
}

/// What is wrong with a cell of tests: "`file` name, name; `file`".
fn faults(tests: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    if let Some(reason) = tests.strip_prefix("none: ") {
        return match reason.len() {
            10.. => vec![],
            _ => vec!["no reason".to_owned()],
        };
    }
    let mut faults = vec![];
    for part in tests.split("; ") {
        let named = part.strip_prefix('`').and_then(|part| part.split_once('`'));
        let Some((file, names)) = named else {
            faults.push(format!("no file: {part}"));
            continue;
        };
        let Some(text) = read(file) else {
            faults.push(format!("no such file: {file}"));
            continue;
        };
        let names: Vec<&str> = names
            .split(", ")
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        // A fuzz target is a program by itself.
        if names.is_empty() && file.ends_with(".rs") && !file.starts_with("fuzz/") {
            faults.push(format!("no test: {file}"));
        }
        for name in names {
            // A C program's name is among those of a list of programs.
            let is_there = text.contains(&format!("fn {name}("))
                || text.contains(&format!(" {name}(void)"))
                || text.lines().any(|line| {
                    line.starts_with("programs!") && line.split(' ').any(|word| word == name)
                });
            if !is_there {
                faults.push(format!("no such test: {file} {name}"));
            }
        }
    }
    faults
}

#[test]
fn every_threat_has_a_test_that_is_there_or_a_reason() {
    let table = fs::read_to_string(root().join("docs/threats.md")).expect("it is there");
    let rows = rows(&table);
    let listed: Vec<String> = rows.iter().map(|[id, ..]| (*id).to_owned()).collect();
    let wanted: Vec<String> = ROWS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}{number}")))
        .collect();
    assert_eq!(listed, wanted);
    let read = |file: &str| fs::read_to_string(root().join(file)).ok();
    let faults: Vec<String> = rows
        .iter()
        .flat_map(|[id, _, _, tests]| {
            let faults = faults(tests, read);
            faults
                .into_iter()
                .map(move |fault| format!("{id}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    let read = |file: &str| {
        (file == "tests/a.rs").then(|| "fn it_works() {}\nprograms! { one two }\n".to_owned())
    };
    assert!(faults("`tests/a.rs` it_works, two", read).is_empty());
    assert!(faults("none: nothing of the kind is done", read).is_empty());
    for bad in [
        "",
        "none: ",
        "it_works",
        "`tests/a.rs`",
        "`tests/a.rs` it_work",
        "`tests/a.rs` three",
        "`tests/b.rs` it_works",
    ] {
        assert_eq!(faults(bad, read).len(), 1, "{bad}");
    }
}

/// The sources of a folder, with their texts but for comments.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source can be read");
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            found.push((path, code.join("\n")));
        }
    }
    found
}

fn files_with(word: &str) -> BTreeSet<String> {
    [root().join("src"), root().join("ffi/src")]
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|(_, code)| code.contains(word))
        .filter_map(|(path, _)| Some(path.strip_prefix(root()).ok()?.display().to_string()))
        .collect()
}

#[test]
fn only_for_a_retry_after_that_is_a_date_is_the_time_of_day_asked() {
    assert_eq!(
        files_with("SystemTime::now"),
        BTreeSet::from(["src/reconnect/mod.rs".to_owned()])
    );
}

#[test]
fn threads_are_started_in_one_place_that_blocks_signals() {
    assert_eq!(files_with("thread::Builder"), BTreeSet::new());
    assert_eq!(
        files_with("Builder::new().name("),
        BTreeSet::from(["src/threads.rs".to_owned()])
    );
}
