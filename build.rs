//! Build script of the C library, the package in ffi/. The Rust library has none.
//!
//! 1. Gives the shared library its SONAME, and tells the sources its number.
//! 2. Keeps include/wstrand.h in step with the sources of ffi/ (feature `header`).

use std::{env, path::Path};

/// The number after `.so.`: raised by every release that breaks the C ABI.
const ABI_VERSION: u32 = 0;

fn main() {
    let ffi = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let root = Path::new(&ffi)
        .parent()
        .expect("ffi/ lies in the repository");
    // An absolute path: a relative one would be looked up in ffi/, and a
    // missing file makes cargo rebuild every time.
    println!(
        "cargo::rerun-if-changed={}",
        root.join("build.rs").display()
    );

    println!("cargo::rustc-env=WSTRAND_ABI_VERSION={ABI_VERSION}");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwstrand.so.{ABI_VERSION}");
        // Its watchdog thread never ends: dlclose must not take the code away.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }

    #[cfg(feature = "header")]
    header::refresh(Path::new(&ffi), &root.join("include/wstrand.h"));
}

#[cfg(feature = "header")]
mod header {
    use std::{env, fs, path::Path};

    /// Rewrites `header` if it differs from what the sources in `ffi` say.
    /// Where `CI` is set, a difference is an error: the commit lacks it.
    pub(super) fn refresh(ffi: &Path, header: &Path) {
        for input in ["src", "cbindgen.toml", "preface.h"] {
            println!("cargo::rerun-if-changed={}", ffi.join(input).display());
        }
        println!("cargo::rerun-if-changed={}", header.display());
        println!("cargo::rerun-if-env-changed=CI");

        let mut config =
            cbindgen::Config::from_file(ffi.join("cbindgen.toml")).expect("cbindgen.toml is valid");
        let preface = fs::read_to_string(ffi.join("preface.h")).expect("preface.h can be read");
        config.header = Some(preface.trim_end().to_owned());
        config.after_includes = Some(prelude());
        let builder = cbindgen::Builder::new().with_crate(ffi).with_config(config);
        let Ok(bindings) = builder.generate() else {
            return; // A syntax error, which rustc reports better.
        };
        let mut fresh = Vec::new();
        bindings.write(&mut fresh);

        if fs::read(header).ok().as_deref() == Some(&fresh) {
            return;
        }
        if env::var_os("CI").is_some() {
            println!("cargo::error=include/wstrand.h is stale: run `cargo build` and commit it");
            return;
        }
        fs::write(header, fresh).expect("include/ is writable");
        println!("cargo::warning=include/wstrand.h was stale; regenerated: commit it");
    }

    /// Version numbers and attribute macros, from the one version in Cargo.toml.
    fn prelude() -> String {
        format!(
            r#"
/** The version of this header, its first number; `wstrand_version` tells that of the library. */
#define WSTRAND_VERSION_MAJOR {major}
/** The second number. */
#define WSTRAND_VERSION_MINOR {minor}
/** The third number. */
#define WSTRAND_VERSION_PATCH {patch}

/** The number in the shared library's name: raised by what old programs could not run with. */
#define WSTRAND_ABI_VERSION {abi}

/** @def WSTRAND_NODISCARD
 * The compiler warns where the result of the function is ignored. */
#if (defined(__cplusplus) && __cplusplus >= 201703L) \
    || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
# define WSTRAND_NODISCARD [[nodiscard]]
#elif defined(__GNUC__)
# define WSTRAND_NODISCARD __attribute__((warn_unused_result))
#else
# define WSTRAND_NODISCARD
#endif
"#,
            major = env!("CARGO_PKG_VERSION_MAJOR"),
            minor = env!("CARGO_PKG_VERSION_MINOR"),
            patch = env!("CARGO_PKG_VERSION_PATCH"),
            abi = super::ABI_VERSION,
        )
    }
}
