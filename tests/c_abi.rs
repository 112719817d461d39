//! Programs that were built with an older header go on running: docs/ABI.md says what that rests on.

#[path = "common/c_library.rs"]
mod c_library;
mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use c_library::{Language, plain, prefix, sanitized, scratch};
use common::{Process, program, root};

#[test]
fn a_program_of_the_first_header_runs() {
    plain("first_abi.c", "c11", &[]);
}

#[test]
fn a_program_of_the_first_header_runs_under_the_sanitizers() {
    sanitized("first_abi.c", "c11", &[]);
}

/// The compiler compares every constant and every declaration that both have.
#[test]
fn todays_header_says_what_the_first_one_said() {
    agree(&header());
}

#[test]
#[should_panic = "redefined"]
fn a_constant_that_changes_is_noticed() {
    let changed = header().replace("#define WSTRAND_BUSY 8", "#define WSTRAND_BUSY 88");
    agree(&changed);
}

#[test]
fn abidiff_finds_nothing_that_breaks() {
    let told = abidiff(&header());
    assert!(told.is_empty(), "{told}");
}

#[test]
fn abidiff_allows_for_what_is_new_and_notices_what_changes() {
    let added = header().replace(
        "int wstrand_abi_version(void);",
        "int wstrand_abi_version(void);\nint wstrand_something_new(void);",
    );
    assert_eq!(abidiff(&added), "");
    let changed = header().replace(
        "int wstrand_abi_version(void);",
        "long wstrand_abi_version(void);",
    );
    assert!(abidiff(&changed).contains("wstrand_abi_version"));
    let missing = header().replace("int wstrand_abi_version(void);", "");
    assert!(abidiff(&missing).contains("wstrand_abi_version"));
}

fn header() -> String {
    fs::read_to_string(prefix().join("include/wstrand.h")).expect("the header is installed")
}

fn agree(header: &str) {
    let directory = scratch("agree");
    let today = directory.join(format!("today-{}.h", header.len()));
    fs::write(&today, header).expect("the scratch directory can be written to");
    let source = today.with_extension("c");
    // The version may change, and the guard is in the way.
    let may_differ = [
        "WSTRAND_H",
        "WSTRAND_NODISCARD",
        "WSTRAND_VERSION_MAJOR",
        "WSTRAND_VERSION_MINOR",
        "WSTRAND_VERSION_PATCH",
    ];
    let undefine: String = may_differ.map(|name| format!("#undef {name}\n")).concat();
    let first = root().join("tests/abi/first.h");
    let text = format!(
        "#include {first:?}\n{undefine}#include {today:?}\nint main(void) {{ return 0; }}\n"
    );
    fs::write(&source, text).expect("the scratch directory can be written to");
    let mut command = Language::C.compiler("c11");
    Process::start(command.arg("-fsyntax-only").arg(&source)).succeed();
}

/// What differs from the record, but for what is only added.
fn abidiff(header: &str) -> String {
    let directory = scratch("abidiff");
    let own = directory.join(format!("{}.h", header.len()));
    fs::write(&own, header).expect("the scratch directory can be written to");
    let recorded = root().join("tests/abi/wstrand.abi");
    let now = own.with_extension("abi");
    record(&own, &now);
    let output = Command::new(program("abidiff"))
        .args(["--no-added-syms", "--no-unreferenced-symbols"])
        .args([&recorded, &now])
        .output()
        .expect("abidiff starts");
    // 4 is for a change, 8 for one that is certain to break; less is for abidiff's own failures.
    let status = output.status.code().expect("it exits");
    assert_eq!(status & 3, 0, "{output:?}");
    match status {
        0 => String::new(),
        _ => String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

fn record(header: &Path, to: &Path) {
    let mut command = Command::new(root().join("tests/abi/record.sh"));
    Process::start(command.arg(header).arg(to)).succeed();
}
