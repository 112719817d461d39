//! Programs out of Markdown, and how to build them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::c_library::{LONG, Language, compile, libraries, once, scratch};
use crate::common::{Process, root, target_directory};

pub(crate) struct Program {
    /// Of a file, such as "client.c".
    pub(crate) name: String,
    pub(crate) text: String,
    /// Where it stands, for names of directories.
    document: String,
}

/// The programs of a document: the blocks in one of our languages, all of which have a name in the line that begins
/// them, such as "c client.c".
pub(crate) fn programs(document: &str) -> Vec<Program> {
    let markdown = fs::read_to_string(root().join(document)).expect("the document can be read");
    let mut lines = markdown.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, name) = info.split_once(' ').unwrap_or((info, ""));
        let extension = match language.split(',').next() {
            // What the README has of Rust without a name, rustdoc compiles and runs.
            Some("rust") if name.is_empty() && document == "README.md" => continue,
            Some("c") => "c",
            Some("cpp") => "cpp",
            Some("rust") => "rs",
            _ => continue,
        };
        assert_eq!(
            Path::new(name).extension().and_then(|name| name.to_str()),
            Some(extension),
            "{document}: a block in {language} is called {name:?}"
        );
        found.push(Program {
            name: name.to_owned(),
            text: text.join("\n") + "\n",
            document: document.to_owned(),
        });
    }
    found
}

impl Program {
    /// A file of the repository.
    pub(crate) fn read(path: &str) -> Self {
        let (document, name) = path.rsplit_once('/').expect("it lies in a directory");
        Self {
            name: name.to_owned(),
            text: fs::read_to_string(root().join(path)).expect("the program can be read"),
            document: document.to_owned(),
        }
    }

    pub(crate) fn stem(&self) -> &str {
        self.name.split_once('.').expect("it has an extension").0
    }

    /// Builds the program as it stands there.
    pub(crate) fn build(&self) -> PathBuf {
        self.compile(&self.text)
    }

    /// Builds the program with this address in place of the one that is written in it. It is compiled with one that is as
    /// long as any, so that it need not be again when only that is another.
    pub(crate) fn build_for(&self, address: SocketAddr) -> PathBuf {
        let ip = address.ip();
        let (any, this) = (format!("{ip}:99999"), format!("{ip}:{:05}", address.port()));
        let general = self.compile(&self.text.replace(WRITTEN, &any));
        let built = general.with_extension("built");
        // By a program of its own: what this one writes may be open in a child of another test's, and cannot be run then.
        let mut sed = Command::new("sh");
        sed.args(["-c", r#"cp "$1" "$2" && sed -i "s/$3/$4/g" "$2""#, "sh"])
            .args([&general, &built])
            .args([&any, &this])
            .env("LC_ALL", "C");
        Process::start(&mut sed).succeed();
        built
    }

    fn compile(&self, text: &str) -> PathBuf {
        let directory = scratch(&self.document.replace(['/', '.'], "-"));
        let source = directory.join(&self.name);
        let built = directory.join(self.name.replace('.', "-"));
        if fs::read_to_string(&source).ok().as_deref() != Some(text) {
            fs::write(&source, text).expect("target/ can be written to");
        }
        let mut command = if self.name.ends_with(".rs") {
            rust()
        } else if self.name.ends_with(".c") {
            Language::C.compiler("c11")
        } else {
            Language::Cpp.compiler("c++17")
        };
        command.arg(&source).arg("-o").arg(&built);
        if self.name.ends_with(".rs") {
            let reads = || Some(vec![source.clone(), rust_library()]);
            once(&mut command, &built, reads);
        } else {
            command.arg("-pthread").args(libraries());
            compile(&mut command, &built);
        }
        built
    }
}

/// The Rust compiler, told of the library.
fn rust() -> Command {
    let library = rust_library();
    let dependencies = library.with_file_name("deps");
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command
        .args(["--edition", "2024", "-D", "warnings", "--extern"])
        .arg(format!("wstrand={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()));
    command
}

fn rust_library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let target = target_directory();
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(root())
            .args(["build", "--quiet", "--locked", "-p", "wstrand", "--lib"])
            .arg("--target-dir")
            .arg(&target);
        Process::start(&mut cargo).succeed_within(LONG);
        target.join("debug/libwstrand.rlib")
    });
    library.clone()
}

const WRITTEN: &str = "127.0.0.1:9001";
