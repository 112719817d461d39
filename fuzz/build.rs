//! Tells the C library's sources the number that their own build script tells them.

fn main() {
    println!("cargo::rustc-env=WSTRAND_ABI_VERSION=0");
}
