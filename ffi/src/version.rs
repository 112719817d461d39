//! Which library this is.

use std::ffi::{CStr, c_char, c_int};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// Tells the version of the library that the program runs with, such as "0.1.0".
///
/// The macros WSTRAND_VERSION_MAJOR, _MINOR and _PATCH are that of the header it was compiled with.
///
/// Threads: any.
///
/// @return Static text.
#[unsafe(no_mangle)]
pub extern "C" fn wstrand_version() -> *const c_char {
    CStr::from_bytes_with_nul(VERSION.as_bytes()).map_or(c"".as_ptr(), CStr::as_ptr)
}

/// Tells the ABI version of the library that the program runs with.
///
/// A program that loads the library by itself compares it with WSTRAND_ABI_VERSION; others are kept
/// from a wrong one by its name, libwstrand.so.N.
///
/// Threads: any.
///
/// @return The number.
#[unsafe(no_mangle)]
pub extern "C" fn wstrand_abi_version() -> c_int {
    ABI_VERSION
}

const ABI_VERSION: c_int = match c_int::from_str_radix(env!("WSTRAND_ABI_VERSION"), 10) {
    Ok(version) => version,
    Err(_) => panic!("build.rs sets a number"),
};
