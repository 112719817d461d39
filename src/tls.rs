//! What TLS is to verify and to show.

use std::sync::OnceLock;

use native_tls::{Certificate, Protocol, TlsAcceptor, TlsConnector};
use pem::Pem;
use pkcs8::{
    AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfoRef,
    der::{AnyRef, Encode, asn1::OctetStringRef},
};
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    net::{Stream, socket::Wait, tls::TlsSession},
};

/// How a client verifies the server, and what it shows of itself.
///
/// By default the certificate must be signed by one of the system's roots, be valid today, and be for the
/// URL's host; TLS 1.2 or later is spoken.
#[derive(Clone)]
pub struct ClientTls {
    roots: Vec<Certificate>,
    only_added_roots: bool,
    identity: Option<Identity>,
    min_version: TlsVersion,
    sni: bool,
    pins: Vec<[u8; 32]>,
    accept_invalid_certs: bool,
    accept_invalid_hostnames: bool,
    /// Made on first use: reading the system's roots takes a while.
    connector: OnceLock<TlsConnector>,
}

/// A certificate chain and its private key.
#[derive(Clone)]
pub struct Identity(native_tls::Identity);

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl ClientTls {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            roots: Vec::new(),
            only_added_roots: false,
            identity: None,
            min_version: TlsVersion::Tls12,
            sni: true,
            pins: Vec::new(),
            accept_invalid_certs: false,
            accept_invalid_hostnames: false,
            connector: OnceLock::new(),
        }
    }

    /// Trusts these root certificates too, one or more in PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if there is no certificate in it, or a bad one.
    pub fn add_roots_pem(&mut self, pem: &[u8]) -> Result<&mut Self> {
        let roots = Certificate::stack_from_pem(pem).map_err(Error::tls)?;
        if roots.is_empty() {
            return Err(Error::tls("no certificate in the PEM text"));
        }
        self.roots.extend(roots);
        Ok(self.changed())
    }

    /// Trusts only the roots that were added, not the system's.
    pub fn only_added_roots(&mut self, only: bool) -> &mut Self {
        self.only_added_roots = only;
        self.changed()
    }

    /// Shows this certificate to servers that ask for one.
    pub fn identity(&mut self, identity: Identity) -> &mut Self {
        self.identity = Some(identity);
        self.changed()
    }

    /// Sets the lowest version to speak. [`TlsVersion::Tls12`] by default.
    pub fn min_version(&mut self, version: TlsVersion) -> &mut Self {
        self.min_version = version;
        self.changed()
    }

    /// Sets whether the host's name is sent in the clear, for servers with many (SNI). On by default.
    pub fn sni(&mut self, sni: bool) -> &mut Self {
        self.sni = sni;
        self.changed()
    }

    /// Takes only a server whose own certificate, in DER, has this SHA-256 digest, or one of several that
    /// are added. All other checks stay.
    pub fn pin_certificate(&mut self, sha256: [u8; 32]) -> &mut Self {
        self.pins.push(sha256);
        self.changed()
    }

    /// Takes any certificate, so that anyone on the way can read and change everything. For tests only;
    /// each connection logs a warning.
    pub fn danger_accept_invalid_certs(&mut self, accept: bool) -> &mut Self {
        self.accept_invalid_certs = accept;
        self.changed()
    }

    /// Takes valid certificates of other hosts, so that whoever has one can read and change everything. For
    /// tests only; each connection logs a warning.
    pub fn danger_accept_invalid_hostnames(&mut self, accept: bool) -> &mut Self {
        self.accept_invalid_hostnames = accept;
        self.changed()
    }

    fn changed(&mut self) -> &mut Self {
        self.connector = OnceLock::new();
        self
    }

    /// Shakes hands with `host`.
    pub(crate) fn connect(&self, host: &str, below: Stream, wait: Wait) -> Result<Stream> {
        if self.accept_invalid_certs {
            log::warn!(target: "wstrand", "connecting to {host} without verifying its certificate");
        } else if self.accept_invalid_hostnames {
            log::warn!(target: "wstrand", "connecting to {host} with a certificate that may be another host's");
        }
        let connector = match self.connector.get() {
            Some(connector) => connector,
            None => {
                let connector = self.build()?;
                self.connector.get_or_init(|| connector)
            }
        };
        let session = TlsSession::connect(connector, host, &below, wait)?;
        if !self.pins.is_empty() {
            let certificate = session.peer_certificate().unwrap_or_default();
            let digest: [u8; 32] = Sha256::digest(&certificate).into();
            if !self.pins.contains(&digest) {
                return Err(Error::tls(
                    "the server's certificate is not one of the pinned ones",
                ));
            }
        }
        Ok(Stream::Tls(Box::new(below), session))
    }

    fn build(&self) -> Result<TlsConnector> {
        let mut builder = TlsConnector::builder();
        builder
            .min_protocol_version(Some(self.min_version.into()))
            .disable_built_in_roots(self.only_added_roots)
            .use_sni(self.sni)
            // Some front ends choose HTTP/2 where nothing is asked for, and that has no Upgrade.
            .request_alpns(&["http/1.1"])
            .danger_accept_invalid_certs(self.accept_invalid_certs)
            .danger_accept_invalid_hostnames(self.accept_invalid_hostnames);
        for root in &self.roots {
            builder.add_root_certificate(root.clone());
        }
        if let Some(identity) = &self.identity {
            builder.identity(identity.0.clone());
        }
        builder.build().map_err(Error::tls)
    }
}

impl Default for ClientTls {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads a certificate chain, the end's own certificate first, and its private key, both in PEM. The
    /// key may be in PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`) form, not encrypted.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] that says what is missing or wrong, and where it can be mended the `openssl` command
    /// that does.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let key = pkcs8_pem(key)?;
        native_tls::Identity::from_pkcs8(chain, key.as_bytes())
            .map(Self)
            .map_err(Error::tls)
    }

    /// Reads a PKCS#12 archive (`.p12`, `.pfx`).
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if it cannot be read, or not with this password.
    pub fn from_pkcs12(archive: &[u8], password: &str) -> Result<Self> {
        native_tls::Identity::from_pkcs12(archive, password)
            .map(Self)
            .map_err(Error::tls)
    }

    /// What a server shakes hands with.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor> {
        TlsAcceptor::builder(self.0.clone())
            .min_protocol_version(Some(Protocol::Tlsv12))
            .build()
            .map_err(Error::tls)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl From<TlsVersion> for Protocol {
    fn from(version: TlsVersion) -> Self {
        match version {
            TlsVersion::Tls12 => Self::Tlsv12,
            TlsVersion::Tls13 => Self::Tlsv13,
        }
    }
}

/// The private key of `text`, whatever stands before it, in the one form that every TLS library takes.
fn pkcs8_pem(text: &[u8]) -> Result<String> {
    let blocks =
        pem::parse_many(text).map_err(|error| Error::tls(format!("private key: {error}")))?;
    let key = blocks
        .iter()
        .find(|block| block.tag().ends_with("PRIVATE KEY"))
        .ok_or_else(|| Error::tls("no private key in the PEM text"))?;
    if key.tag() == "ENCRYPTED PRIVATE KEY" || key.headers().get("DEK-Info").is_some() {
        return Err(Error::tls(
            "the private key is encrypted; decrypt it: openssl pkcs8 -topk8 -nocrypt -in KEY -out NEWKEY",
        ));
    }
    let der = match key.tag() {
        "PRIVATE KEY" => return Ok(pem::encode(key)),
        "RSA PRIVATE KEY" => wrap(RSA, AnyRef::NULL, key.contents()),
        "EC PRIVATE KEY" => sec1::EcPrivateKey::try_from(key.contents())
            .ok()
            .and_then(|ec| ec.parameters?.named_curve())
            .and_then(|curve| wrap(EC, AnyRef::from(&curve), key.contents())),
        _ => None,
    };
    let der = der.ok_or_else(|| {
        Error::tls(format!(
            "the private key's form ({}) is not supported; convert it: \
             openssl pkcs8 -topk8 -nocrypt -in KEY -out NEWKEY",
            key.tag()
        ))
    })?;
    Ok(pem::encode(&Pem::new("PRIVATE KEY", der)))
}

/// Puts a key in its algorithm's own form into PKCS#8 (RFC 5208, section 5).
fn wrap(algorithm: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifierRef {
        oid: algorithm,
        parameters: Some(parameters),
    };
    PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(key).ok()?)
        .to_der()
        .ok()
}

/// rsaEncryption (RFC 8017, appendix A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// id-ecPublicKey (RFC 5480, section 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
