//! How the C library reaches others: `make install`, manual pages, CMake with the sources, and the packages of
//! `packaging/`. `tests/c_api.rs` builds programs against an installed library.

#[path = "common/c_library.rs"]
mod c_library;
mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use c_library::{BUILDING, LONG, Language, output, prefix, scratch};
use common::{Process, Server, program, root, target_directory};

mod the_manual_pages {
    use super::*;

    #[test]
    fn there_is_one_for_every_function_and_every_type() {
        let header = read(&prefix().join("include/wstrand.h"));
        let declared = declared(&header);
        assert!(declared.len() > 100, "{declared:?}");
        let pages: BTreeSet<String> = pages()
            .iter()
            .map(|page| page.file_stem().expect("a name").to_string_lossy().into())
            .collect();
        let expected: BTreeSet<String> = declared.into_iter().chain(["wstrand".into()]).collect();
        assert_eq!(pages, expected);
    }

    #[test]
    fn mandoc_and_man_warn_of_nothing() {
        let mut mandoc = Command::new(program("mandoc"));
        mandoc.args(["-Tlint", "-Wwarning"]).args(pages());
        let finished = Process::start(&mut mandoc).finish_within(LONG);
        assert!(finished.status.success(), "{}", finished.transcript());

        for page in pages() {
            let mut man = Command::new(program("man"));
            man.args(["--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l"])
                .arg(&page)
                .envs([("LC_ALL", "C.UTF-8"), ("MANWIDTH", "80")]);
            let told = Process::start(&mut man).succeed();
            assert!(
                told.stderr.is_empty(),
                "{}: {:?}",
                page.display(),
                told.stderr
            );
        }
    }

    #[test]
    fn they_say_what_the_header_says() {
        let shown = shown("wstrand_connection_receive.3");
        for part in [
            "wstrand_connection_receive - receives the next message, whole, of a connection",
            "#include <wstrand.h>",
            "int wstrand_connection_receive(wstrand_connection *connection,",
            "int64_t timeout_ms,",
            "PARAMETERS",
            "0 not to wait at all, negative to wait for ever.",
            "RETURN VALUE",
            "WSTRAND_TIMEOUT if no message became whole in time",
            "THREADS",
            "One at a time. Others may send meanwhile.",
            "wstrand_connection_wait_closed(3)",
        ] {
            assert!(shown.contains(part), "no {part:?} in\n{shown}");
        }
        let overview = shown_at("wstrand.3", 200);
        for part in [
            "WSTRAND_TIMEOUT",
            "Who owns what:",
            "(void)kind, (void)userdata;",
            "\"%.*s\\n\"",
        ] {
            assert!(overview.contains(part), "no {part:?} in\n{overview}");
        }
    }

    fn pages() -> Vec<PathBuf> {
        let entries = fs::read_dir(prefix().join("share/man/man3")).expect("they are installed");
        let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("a page").path()).collect();
        pages.sort();
        pages
    }

    fn shown(page: &str) -> String {
        shown_at(page, 200)
    }

    /// As text, with single spaces.
    fn shown_at(page: &str, width: u32) -> String {
        let mut mandoc = Command::new(program("mandoc"));
        mandoc
            .args(["-Tascii", "-O", &format!("width={width}")])
            .arg(prefix().join("share/man/man3").join(page));
        let overstruck = output(&mut mandoc);
        let mut text = String::new();
        for c in overstruck.chars() {
            if c == '\u{8}' {
                text.pop();
            } else {
                text.push(c);
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The functions, handles and callback types: what begins so and is followed by what a declaration is.
    fn declared(header: &str) -> BTreeSet<String> {
        let mut code = String::new();
        let mut rest = header;
        while let Some((before, comment)) = rest.split_once("/*") {
            code.push_str(before);
            rest = comment.split_once("*/").expect("comments end").1;
        }
        code.push_str(rest);
        let mut names = BTreeSet::new();
        for statement in code.split(';') {
            let statement = statement.split('\n').filter(|line| !line.starts_with('#'));
            let statement = statement.collect::<Vec<_>>().join(" ");
            let name = match statement.split_once("(*wstrand_") {
                Some((_, callback)) => callback.split(')').next(),
                None if statement.contains("typedef struct") => {
                    statement.rsplit(" wstrand_").next()
                }
                None => statement
                    .split_once('(')
                    .and_then(|(before, _)| before.rsplit("wstrand_").next()),
            };
            names.extend(
                name.filter(|name| !name.contains(' '))
                    .map(|name| format!("wstrand_{name}")),
            );
        }
        names
    }
}

mod make_install {
    use super::*;

    /// As a packager does it, for a system that keeps its libraries elsewhere.
    #[test]
    fn puts_everything_below_destdir_where_pkg_config_and_cmake_find_it() {
        let stage = fresh("make-install");
        let mut make = Command::new(program("make"));
        make.current_dir(root())
            .args(["install", "PREFIX=/opt/wstrand", "LIBDIR=lib/somewhere"])
            .arg("PROFILE=dev")
            .arg(format!("DESTDIR={}", stage.display()))
            .env("CARGO_TARGET_DIR", target_directory());
        let building = BUILDING.lock();
        Process::start(&mut make).succeed_within(LONG);
        drop(building);

        let version = env!("CARGO_PKG_VERSION");
        let lib = stage.join("opt/wstrand/lib/somewhere");
        for file in [
            &format!("libwstrand.so.{version}"),
            "libwstrand.so",
            "libwstrand.a",
            "cmake/wstrand/wstrand-config.cmake",
            "cmake/wstrand/wstrand-config-version.cmake",
            "../../include/wstrand.h",
            "../../include/wstrand.hpp",
            "../../share/man/man3/wstrand.3",
        ] {
            assert!(lib.join(file).is_file(), "{file}");
        }
        let mut flags = Command::new(program("pkg-config"));
        flags
            .env("PKG_CONFIG_PATH", lib.join("pkgconfig"))
            .args(["--cflags", "--libs", "wstrand"]);
        assert_eq!(
            output(&mut flags).trim(),
            "-I/opt/wstrand/include -L/opt/wstrand/lib/somewhere -lwstrand"
        );

        hello_by_cmake("make-install", "wstrand_DIR", &lib.join("cmake/wstrand"));
    }
}

mod an_installation {
    use super::*;

    /// Cargo's configuration may say where it builds. What an earlier build has left in `target` is not taken for it.
    #[test]
    fn is_of_the_library_that_cargo_has_just_built() {
        let sources = fresh("configured");
        for entry in fs::read_dir(root()).expect("it can be read") {
            let name = entry.expect("a file").file_name();
            if !["target", ".git", ".cargo"]
                .map(OsStr::new)
                .contains(&&*name)
            {
                link(&root().join(&name), &sources.join(&name));
            }
        }
        let configuration = format!("[build]\ntarget-dir = {:?}\n", target_directory());
        write(&sources.join(".cargo/config.toml"), &configuration);
        write(&sources.join("target/debug/libwstrand.a"), "!<arch>\n"); // with nothing in it

        let prefix = fresh("configured-prefix");
        let mut install = Command::new(sources.join("ffi/install.sh"));
        install.arg(&prefix).arg("dev");
        for variable in [
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET_DIR",
            "DESTDIR",
            "LIBDIR",
        ] {
            install.env_remove(variable);
        }
        let building = BUILDING.lock();
        Process::start(&mut install).succeed_within(LONG);
        drop(building);
        for library in ["libwstrand.so", "libwstrand.a"] {
            let mut nm = Command::new(program("nm"));
            nm.args(["--defined-only", "--quiet", "--extern-only"]);
            if library.ends_with(".so") {
                nm.arg("--dynamic");
            }
            let symbols = output(nm.arg(prefix.join("lib").join(library)));
            assert!(symbols.contains(" T wstrand_connect"), "{library}");
        }
    }

    #[test]
    fn is_found_by_cmake_through_links_to_its_directories() {
        // As /lib is one to /usr/lib, and CMake finds /lib first where PATH begins with /bin.
        let merged = fresh("merged");
        link(&prefix().join("lib"), &merged.join("lib"));
        let hello = |found: &Path| {
            let build = hello_by_cmake("links", "CMAKE_PREFIX_PATH", found);
            let cache = read(&build.join("CMakeCache.txt"));
            let found_at = format!("={}/lib/cmake/wstrand\n", found.display());
            assert!(cache.contains(&found_at), "{cache}");
        };
        hello(&merged);

        // Where the libraries lie elsewhere, what they lie beside is not what a link to them lies beside.
        let apart = fresh("apart");
        link(&prefix().join("include"), &apart.join("prefix/include"));
        for entry in fs::read_dir(prefix().join("lib")).expect("it can be read") {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("it has a name");
            link(&path, &apart.join("libraries").join(name));
        }
        link(&apart.join("libraries"), &apart.join("prefix/lib"));
        hello(&apart.join("prefix"));
    }

    fn link(to: &Path, at: &Path) {
        fs::create_dir_all(at.parent().expect("a directory")).expect("it can be made");
        symlink(to, at).expect("links can be made");
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
}

mod cmake_with_the_sources {
    use super::*;

    #[test]
    fn builds_c_and_cpp_programs_with_either_library_and_nothing_twice() {
        let build = fresh("add-subdirectory");
        let mut configure = Command::new(program("cmake"));
        configure
            .arg("-S")
            .arg(root().join("tests/cmake"))
            .arg("-B")
            .arg(&build)
            .arg(format!("-DWSTRAND_SOURCES={}", root().display()))
            .arg("-DWSTRAND_PROFILE=dev")
            .arg(format!(
                "-DWSTRAND_TARGET_DIR={}",
                target_directory().display()
            ));
        Process::start(&mut configure).succeed();
        let make = || {
            let mut make = Command::new(program("cmake"));
            Process::start(make.arg("--build").arg(&build)).succeed_within(LONG)
        };
        let building = BUILDING.lock();
        make();
        let again = make().stdout.join("\n");
        drop(building);
        assert!(!again.contains("Linking"), "{again}");

        for kind in ["shared", "static"] {
            let built = |name: &str| build.join(format!("{name}_{kind}"));
            let readelf = Command::new(program("readelf"))
                .arg("-d")
                .arg(built("hello"))
                .output();
            let needed = String::from_utf8(readelf.expect("readelf starts").stdout);
            let needs_it = needed.expect("text").contains("[libwstrand.so.");
            assert_eq!(needs_it, kind == "shared");
            talk(&built("echo_server"), &[built("hello"), built("hello_cpp")]);
        }
    }
}

mod packages {
    use super::*;

    #[test]
    fn have_the_names_and_versions_that_the_library_has() {
        let version = env!("CARGO_PKG_VERSION");
        let header = read(&root().join("include/wstrand.h"));
        let abi = header
            .lines()
            .find_map(|line| line.strip_prefix("#define WSTRAND_ABI_VERSION "))
            .expect("the header tells");
        let packaging = |path: &str| read(&root().join("packaging").join(path));
        let control = packaging("debian/control");
        assert!(control.contains(&format!("\nPackage: libwstrand{abi}\n")));
        assert!(
            root()
                .join(format!("packaging/debian/libwstrand{abi}.install"))
                .is_file()
        );
        assert!(packaging("debian/changelog").starts_with(&format!("wstrand ({version}-")));
        assert!(packaging("vcpkg/wstrand/vcpkg.json").contains(&format!("\"{version}\"")));
    }

    /// Into a root of their own: nothing of this machine is changed.
    #[test]
    #[ignore = "slow: an optimised build, and lintian"]
    fn debian_s_please_lintian_and_a_program_builds_and_runs_with_them() {
        let build = root().join("packaging/debian/build.sh");
        let mut build = Command::new(build);
        build.env("CARGO_TARGET_DIR", target_directory());
        Process::start(&mut build).succeed_within(LONG);

        let out = target_directory().join("debian");
        let stage = fresh("debian");
        let mut debs = Vec::new();
        for package in ["libwstrand0", "libwstrand-dev"] {
            let found = fs::read_dir(&out)
                .expect("they are there")
                .find_map(|entry| {
                    let path = entry.expect("a file").path();
                    let name = path.file_name()?.to_string_lossy().into_owned();
                    name.starts_with(&format!("{package}_")).then_some(path)
                });
            let deb = found.unwrap_or_else(|| panic!("no {package}"));
            let mut unpack = Command::new(program("dpkg-deb"));
            Process::start(unpack.arg("-x").arg(&deb).arg(&stage)).succeed();
            debs.push(deb);
        }
        let depends = output(
            Command::new(program("dpkg-deb"))
                .arg("-f")
                .args([&debs[0]])
                .arg("Depends"),
        );
        assert!(
            depends.contains("libssl3") && depends.contains("libc6"),
            "{depends}"
        );
        let mut lintian = Command::new(program("lintian"));
        lintian
            .args(["--allow-root", "--fail-on", "error"])
            .args(&debs);
        Process::start(&mut lintian).succeed_within(LONG);

        let pc = Command::new(program("sh"))
            .args(["-c", "dirname \"$1\"/usr/lib/*/pkgconfig/wstrand.pc", "sh"])
            .arg(&stage)
            .output()
            .expect("sh starts");
        let pc = PathBuf::from(String::from_utf8(pc.stdout).expect("a path").trim());
        let mut flags = Command::new(program("pkg-config"));
        flags
            .env("PKG_CONFIG_PATH", &pc)
            .env("PKG_CONFIG_SYSROOT_DIR", &stage)
            .args(["--cflags", "--libs", "wstrand"]);
        let flags = output(&mut flags);
        let built = build_example_of_conan(&stage, flags.split_whitespace());
        let mut run = Command::new(built);
        run.env(
            "LD_LIBRARY_PATH",
            pc.parent().expect("it lies in a directory"),
        );
        let told = Process::start(&mut run).succeed().stdout;
        assert_eq!(
            told,
            [format!("wstrand {}: hello", env!("CARGO_PKG_VERSION"))]
        );
    }

    #[test]
    #[ignore = "slow: optimised builds, and Conan from PyPI"]
    fn conan_creates_both_kinds_and_tests_them() {
        let conan = common::peer("conan/bin/conan");
        let home = fresh("conan-home");
        let run = |arguments: &[&str]| {
            let mut command = Command::new(&conan);
            command
                .current_dir(root())
                .args(arguments)
                .env("CONAN_HOME", &home)
                .env("CARGO_TARGET_DIR", target_directory());
            Process::start(&mut command).succeed_within(LONG)
        };
        run(&["profile", "detect"]);
        // It builds where its sources are.
        let test = fresh("conan-test");
        let mut copy = Command::new(program("cp"));
        copy.arg("-r")
            .arg(root().join("packaging/conan/test_package"))
            .arg(&test);
        Process::start(&mut copy).succeed();
        let test = test.join("test_package");
        let test = test.to_str().expect("a path in UTF-8");
        for shared in ["True", "False"] {
            let option = format!("wstrand/*:shared={shared}");
            let told = run(&["create", "packaging/conan", "-tf", test, "-o", &option]);
            let hello = format!("wstrand {}: hello", env!("CARGO_PKG_VERSION"));
            assert!(
                told.stdout.contains(&hello) || told.stderr.contains(&hello),
                "{}",
                told.transcript()
            );
        }
    }

    fn build_example_of_conan<'a>(into: &Path, flags: impl Iterator<Item = &'a str>) -> PathBuf {
        let built = into.join("echo_with_itself");
        let mut command = Language::C.compiler("c11");
        command
            .arg(root().join("packaging/conan/test_package/echo_with_itself.c"))
            .arg("-o")
            .arg(&built)
            .args(flags);
        Process::start(&mut command).succeed();
        built
    }
}

/// Both say hello to the server.
fn talk(server: &Path, clients: &[PathBuf]) {
    let server = Server::start(Command::new(server).arg("0"));
    for client in clients {
        let told = Process::start(Command::new(client).arg(&server.url)).succeed();
        assert!(
            told.stdout
                .contains(&"message text 13 bytes: Hello, world!".to_owned()),
            "{}",
            told.transcript()
        );
    }
    server.stop();
}

/// Builds hello with CMake, which finds the library by this definition. Returns where it was built.
fn hello_by_cmake(name: &str, definition: &str, path: &Path) -> PathBuf {
    let build = fresh(&format!("{name}-cmake"));
    let mut configure = Command::new(program("cmake"));
    configure
        .arg("-S")
        .arg(root().join("tests/c"))
        .arg("-B")
        .arg(&build)
        .arg(format!("-D{definition}={}", path.display()));
    Process::start(&mut configure).succeed();
    let mut make = Command::new(program("cmake"));
    make.arg("--build").arg(&build).args(["--target", "hello"]);
    Process::start(&mut make).succeed();
    build
}

/// A directory that has nothing in it of an earlier run.
fn fresh(name: &str) -> PathBuf {
    let _ = fs::remove_dir_all(scratch(name));
    scratch(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
