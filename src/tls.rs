//! What TLS is to verify and to show.

use std::sync::OnceLock;

use native_tls::{Certificate, Protocol, TlsConnector};
use openssl::{
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    ssl::{SslAcceptor, SslMethod, SslVersion},
    x509::X509,
};
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    net::{Stream, socket::Wait, tls::TlsSession},
};

/// How a client verifies the server, and what it shows of itself.
///
/// By default the certificate must be signed by one of the system's roots, be valid today, and be for the
/// URL's host; TLS 1.2 or later is spoken. By ALPN (RFC 7301) `http/1.1` is asked for, which some servers need
/// to be told.
///
/// The certificate of an `https://` proxy is verified by the same roots, and for the proxy's own name; the
/// lowest version and SNI are the same, too. All else is for the server alone: a proxy is shown no identity,
/// need not be pinned, and no `danger_…` lets it pass.
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
pub struct Identity {
    /// The end's own certificate first.
    chain: Vec<X509>,
    key: PKey<Private>,
}

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

    /// What of this holds for an `https://` proxy: not what makes sure of the server alone, nor what is shown
    /// to it alone. A pin of the proxy's would do for the server as well, and what was allowed because the
    /// server's certificate is a makeshift would hand the proxy's credentials to anyone on the way.
    pub(crate) fn for_proxy(&self) -> Self {
        Self {
            roots: self.roots.clone(),
            only_added_roots: self.only_added_roots,
            min_version: self.min_version,
            sni: self.sni,
            ..Self::new()
        }
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
            builder.identity(identity.native()?);
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
    /// key may be in PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`) form, not encrypted; text
    /// before either does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] that says what is missing or wrong, and where it can be mended the `openssl` command
    /// that does.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let chain = X509::stack_from_pem(chain)
            .map_err(|error| Error::tls(format!("certificate: {error}")))?;
        // Without a callback OpenSSL would ask for a password on the terminal.
        let key = PKey::private_key_from_pem_callback(key, |_| Ok(0)).map_err(|error| {
            let text = String::from_utf8_lossy(key);
            Error::tls(match text.contains("ENCRYPTED") {
                true => "the private key is encrypted; decrypt it: \
                         openssl pkcs8 -topk8 -nocrypt -in KEY -out NEWKEY"
                    .to_owned(),
                false if text.contains("PRIVATE KEY-----") => format!("private key: {error}"),
                false => "no private key in the PEM text".to_owned(),
            })
        })?;
        Self::new(chain, key)
    }

    /// Reads a PKCS#12 archive (`.p12`, `.pfx`).
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if it cannot be read, or not with this password, or has no certificate with its key.
    pub fn from_pkcs12(archive: &[u8], password: &str) -> Result<Self> {
        if password.contains('\0') {
            return Err(Error::tls("the password has a NUL"));
        }
        let archive = Pkcs12::from_der(archive).map_err(Error::tls)?;
        let archive = archive.parse2(password).map_err(Error::tls)?;
        let key = archive
            .pkey
            .ok_or_else(|| Error::tls("no private key in the archive"))?;
        let mut chain: Vec<_> = archive.cert.into_iter().collect();
        chain.extend(archive.ca.into_iter().flatten());
        Self::new(chain, key)
    }

    fn new(chain: Vec<X509>, key: PKey<Private>) -> Result<Self> {
        let own = chain
            .first()
            .ok_or_else(|| Error::tls("no certificate in the PEM text"))?;
        // OpenSSL would drop a key that does not belong to the certificate without a word.
        if !own.public_key().is_ok_and(|public| public.public_eq(&key)) {
            return Err(Error::tls("the private key is not the first certificate's"));
        }
        Ok(Self { chain, key })
    }

    /// What a client shows, in the one form that native-tls takes.
    fn native(&self) -> Result<native_tls::Identity> {
        let mut chain = Vec::new();
        for certificate in &self.chain {
            chain.extend(certificate.to_pem().map_err(Error::tls)?);
        }
        let key = self.key.private_key_to_pem_pkcs8().map_err(Error::tls)?;
        native_tls::Identity::from_pkcs8(&chain, &key).map_err(Error::tls)
    }

    /// What a server shakes hands with. Not native-tls's acceptor, which does not speak TLS 1.3.
    pub(crate) fn acceptor(&self) -> Result<SslAcceptor> {
        let build = || {
            let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
            builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
            builder.set_private_key(&self.key)?;
            for (place, certificate) in self.chain.iter().enumerate() {
                match place {
                    0 => builder.set_certificate(certificate)?,
                    _ => builder.add_extra_chain_cert(certificate.clone())?,
                }
            }
            builder.check_private_key()?;
            Ok::<_, openssl::error::ErrorStack>(builder.build())
        };
        build().map_err(Error::tls)
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
