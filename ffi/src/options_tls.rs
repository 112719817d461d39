//! Options of TLS: what is verified, and what is shown.

use std::ffi::{c_char, c_int, c_void};

#[cfg(feature = "tls")]
use wstrand::{Identity, TlsVersion};

#[cfg(not(feature = "tls"))]
use crate::no_tls::{Identity, TlsVersion};
use crate::{
    arguments,
    guard::{self, Failure},
    options::wstrand_options,
    status::WSTRAND_TLS,
};

/// TLS 1.2 (RFC 5246).
pub const WSTRAND_TLS_1_2: c_int = 12;
/// TLS 1.3 (RFC 8446).
pub const WSTRAND_TLS_1_3: c_int = 13;

/// Has a client trust these root certificates too, besides the system's. Servers ignore it.
///
/// Threads: one at a time.
///
/// @param pem One certificate or more in PEM, as in a file of certification authorities.
/// @param size In bytes.
/// @return WSTRAND_OK; WSTRAND_TLS if there is no certificate in it, or a bad one;
/// WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_tls_roots(
    options: *mut wstrand_options,
    pem: *const c_void,
    size: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            // SAFETY: NULL or that many bytes, by the header's contract.
            let pem = unsafe { arguments::bytes(pem, size, "pem") }?;
            options.tls.add_roots_pem(pem)?;
            Ok(())
        })
    })
}

/// Sets whether a client trusts only the roots that were added, and not the system's. Off by default. Servers
/// ignore it.
///
/// Threads: one at a time.
///
/// @param only 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tls_only_added_roots(
    options: *mut wstrand_options,
    only: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            options.tls.only_added_roots(only != 0);
            Ok(())
        })
    })
}

/// Sets the certificate and the private key of this end, in PEM. With it a server speaks TLS (wss://); without, it
/// does not. A client shows it to servers that ask for one.
///
/// The key may be in PKCS#8, PKCS#1 (RSA PRIVATE KEY) or SEC1 (EC PRIVATE KEY) form, not encrypted. Text before the key
/// and the certificates does not matter.
///
/// Threads: one at a time.
///
/// @param chain The end's own certificate first, those that it was signed with after it.
/// @param chain_size In bytes.
/// @param key The first certificate's private key.
/// @param key_size In bytes.
/// @return WSTRAND_OK; WSTRAND_TLS if they cannot be read, or the key is another's;
/// WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tls_identity(
    options: *mut wstrand_options,
    chain: *const c_void,
    chain_size: usize,
    key: *const c_void,
    key_size: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            // SAFETY: NULL or that many bytes, by the header's contract.
            let chain = unsafe { arguments::bytes(chain, chain_size, "chain") }?;
            // SAFETY: NULL or that many bytes, by the header's contract.
            let key = unsafe { arguments::bytes(key, key_size, "key") }?;
            let identity = Identity::from_pem(chain, key)?;
            options.identity = Some(identity.clone());
            options.tls.identity(identity);
            Ok(())
        })
    })
}

/// Sets the certificate and the private key of this end as `wstrand_options_set_tls_identity` does, out of a
/// PKCS#12 archive (a .p12 or .pfx file).
///
/// Threads: one at a time.
///
/// @param size In bytes.
/// @param password NULL for none.
/// @return WSTRAND_OK; WSTRAND_TLS if it cannot be read, or the password is wrong;
/// WSTRAND_INVALID_ARGUMENT for NULL, or if the password is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tls_identity_pkcs12(
    options: *mut wstrand_options,
    archive: *const c_void,
    size: usize,
    password: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            // SAFETY: NULL or that many bytes, by the header's contract.
            let archive = unsafe { arguments::bytes(archive, size, "archive") }?;
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let password = unsafe { arguments::optional_text(password, "password") }?;
            let identity = Identity::from_pkcs12(archive, password.unwrap_or_default())?;
            options.identity = Some(identity.clone());
            options.tls.identity(identity);
            Ok(())
        })
    })
}

/// Sets the lowest version of TLS that a client speaks. WSTRAND_TLS_1_2 by default. Servers ignore it: theirs is
/// always that.
///
/// Threads: one at a time.
///
/// @param version WSTRAND_TLS_1_2 or WSTRAND_TLS_1_3.
/// @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT if it is neither, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tls_min_version(
    options: *mut wstrand_options,
    version: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            let version = match version {
                WSTRAND_TLS_1_2 => TlsVersion::Tls12,
                WSTRAND_TLS_1_3 => TlsVersion::Tls13,
                _ => {
                    return Err(Failure::invalid_argument(
                        "version is neither WSTRAND_TLS_1_2 nor WSTRAND_TLS_1_3",
                    ));
                }
            };
            options.tls.min_version(version);
            Ok(())
        })
    })
}

/// Sets whether a client sends the host's name in the clear, for servers that have many (SNI, RFC 6066). On by
/// default. Servers ignore it.
///
/// Threads: one at a time.
///
/// @param sni 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tls_sni(
    options: *mut wstrand_options,
    sni: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            options.tls.sni(sni != 0);
            Ok(())
        })
    })
}

/// Has a client take only a server whose own certificate, in DER, has this SHA-256 digest, or one of several
/// that are added. All other checks stay. Servers ignore it.
///
/// `openssl x509 -in cert.pem -noout -fingerprint -sha256` tells the digest.
///
/// Threads: one at a time.
///
/// @param sha256 32 bytes, not their digits.
/// @param size 32.
/// @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for another size, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_tls_pin(
    options: *mut wstrand_options,
    sha256: *const c_void,
    size: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            // SAFETY: NULL or that many bytes, by the header's contract.
            let sha256 = unsafe { arguments::bytes(sha256, size, "sha256") }?;
            let sha256 = sha256.try_into().map_err(|_| {
                Failure::invalid_argument(format!("a SHA-256 digest has 32 bytes, not {size}"))
            })?;
            options.tls.pin_certificate(sha256);
            Ok(())
        })
    })
}

/// Has a client take any certificate, so that anyone on the way can read and change everything. For tests only;
/// each connection logs a warning. Servers ignore it.
///
/// Threads: one at a time.
///
/// @param accept 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_danger_accept_invalid_certs(
    options: *mut wstrand_options,
    accept: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            options.tls.danger_accept_invalid_certs(accept != 0);
            Ok(())
        })
    })
}

/// Has a client take valid certificates of other hosts, so that whoever has one can read and change everything. For
/// tests only; each connection logs a warning. Servers ignore it.
///
/// Threads: one at a time.
///
/// @param accept 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_danger_accept_invalid_hostnames(
    options: *mut wstrand_options,
    accept: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        change(options, |options| {
            options.tls.danger_accept_invalid_hostnames(accept != 0);
            Ok(())
        })
    })
}

/// Changes what TLS is told.
fn change(
    options: &mut wstrand_options,
    change: impl FnOnce(&mut wstrand_options) -> Result<(), Failure>,
) -> Result<(), Failure> {
    options.change(|options| {
        if !cfg!(feature = "tls") {
            return Err(Failure::new(
                WSTRAND_TLS,
                "the library was built without TLS",
            ));
        }
        change(options)?;
        #[cfg(feature = "tls")]
        options.client.tls(options.tls.clone());
        Ok(())
    })
}
