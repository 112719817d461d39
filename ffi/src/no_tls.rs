//! Stands in for the types of TLS in a build without it, so that every build has the same functions. Those refuse
//! whatever they are asked for before they come here.

use crate::guard::Failure;

/// Stands in for `wstrand::ClientTls`.
pub(crate) struct ClientTls;

/// Stands in for `wstrand::Identity`.
#[derive(Clone)]
pub(crate) struct Identity;

/// Stands in for `wstrand::TlsVersion`.
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

type Result<T> = std::result::Result<T, Failure>;

impl ClientTls {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn add_roots_pem(&mut self, _: &[u8]) -> Result<&mut Self> {
        Ok(self)
    }

    pub(crate) fn only_added_roots(&mut self, _: bool) {}

    pub(crate) fn identity(&mut self, _: Identity) {}

    pub(crate) fn min_version(&mut self, _: TlsVersion) {}

    pub(crate) fn sni(&mut self, _: bool) {}

    pub(crate) fn pin_certificate(&mut self, _: [u8; 32]) {}

    pub(crate) fn danger_accept_invalid_certs(&mut self, _: bool) {}

    pub(crate) fn danger_accept_invalid_hostnames(&mut self, _: bool) {}
}

impl Identity {
    pub(crate) fn from_pem(_: &[u8], _: &[u8]) -> Result<Self> {
        Ok(Self)
    }

    pub(crate) fn from_pkcs12(_: &[u8], _: &str) -> Result<Self> {
        Ok(Self)
    }
}
