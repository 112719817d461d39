//! Certificates, made with the `openssl` command while the tests run.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::process::Command;
use std::sync::OnceLock;

use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslConnector, SslMethod, SslVersion};
use openssl::x509::X509;
use wstrand::{ClientTls, Identity};

use crate::common::program;
use crate::scratch::Scratch;

/// A certification authority.
pub(crate) struct Authority {
    /// Its own certificate.
    pub(crate) pem: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate and its key, both in PEM (the key in PKCS#8).
#[derive(Clone)]
pub(crate) struct Cert {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What a certificate is to be.
pub(crate) struct Wish<'a> {
    pub(crate) common_name: &'a str,
    /// As the openssl command has it: `DNS:localhost,IP:127.0.0.1`. None if it is empty.
    pub(crate) names: &'a str,
    /// Years, from and to.
    pub(crate) valid: (u16, u16),
    pub(crate) key: Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Ec,
    Rsa,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            common_name: "wstrand test",
            names: "DNS:localhost,IP:127.0.0.1,IP:::1",
            valid: (2020, 2120),
            key: Key::Ec,
        }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Scratch::new();
        folder.write("ca.cnf", CONFIG);
        openssl(
            &folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 \
                 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
                 -config ca.cnf"
            ),
        );
        Self {
            pem: folder.read("ca.pem"),
            key: folder.read("ca.key"),
        }
    }

    /// Certifies whatever is wished for.
    pub(crate) fn certify(&self, wish: &Wish<'_>) -> Cert {
        let folder = Scratch::new();
        folder.write("ca.cnf", CONFIG);
        folder.write("ca.pem", &self.pem);
        folder.write("ca.key", &self.key);
        folder.write("index.txt", ""); // the command keeps accounts
        let Wish {
            common_name, names, ..
        } = wish;
        let key = key_options(wish.key);
        let mut extensions = "basicConstraints=critical,CA:FALSE\n".to_owned();
        if !names.is_empty() {
            extensions += &format!("subjectAltName={names}\n");
        }
        folder.write("extensions.cnf", extensions);
        openssl(
            &folder,
            &format!(
                "req -new {key} -nodes -keyout leaf.key -out leaf.csr -config ca.cnf -subj /CN={}",
                common_name.replace(' ', "_")
            ),
        );
        let (from, to) = wish.valid;
        openssl(
            &folder,
            &format!(
                "ca -batch -notext -config ca.cnf -in leaf.csr -out leaf.pem -extfile extensions.cnf \
                 -startdate {from}0101000000Z -enddate {to}0101000000Z"
            ),
        );
        Cert {
            chain: folder.read("leaf.pem"),
            key: folder.read("leaf.key"),
        }
    }

    /// A client's TLS that trusts this authority alone.
    pub(crate) fn trusted(&self) -> ClientTls {
        let mut tls = ClientTls::new();
        tls.add_roots_pem(&self.pem).expect("a good certificate");
        tls.only_added_roots(true);
        tls
    }
}

impl Cert {
    /// A certificate that vouches for itself.
    pub(crate) fn self_signed() -> Self {
        let folder = Scratch::new();
        folder.write("ca.cnf", CONFIG);
        openssl(
            &folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.pem -days 3650 \
             -subj /CN=localhost -addext subjectAltName=DNS:localhost -config ca.cnf",
        );
        Self {
            chain: folder.read("leaf.pem"),
            key: folder.read("leaf.key"),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain, &self.key).expect("a good certificate and its key")
    }

    /// For a raw peer, that speaks this version or the best there is.
    pub(crate) fn acceptor(&self, version: Option<SslVersion>) -> SslAcceptor {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())
            .expect("OpenSSL is new enough");
        builder.set_max_proto_version(version).expect("a version");
        let certificate = X509::from_pem(&self.chain).expect("a good certificate");
        builder
            .set_certificate(&certificate)
            .expect("a good certificate");
        let key = PKey::private_key_from_pem(&self.key).expect("a good key");
        builder
            .set_private_key(&key)
            .expect("the certificate's key");
        builder.build()
    }

    /// The key in another form: `arguments` of the openssl command, which reads `in.pem` and writes `out.pem`.
    pub(crate) fn key_by(&self, arguments: &str) -> Vec<u8> {
        let folder = Scratch::new();
        folder.write("in.pem", &self.key);
        folder.write("chain.pem", &self.chain);
        openssl(&folder, arguments);
        folder.read("out.pem")
    }

    /// The SHA-256 digest of the certificate in DER.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let folder = Scratch::new();
        folder.write("in.pem", &self.chain);
        let told = openssl(&folder, "x509 -in in.pem -noout -fingerprint -sha256");
        let (_, digits) = told.trim().split_once('=').expect("NAME=AA:BB:…");
        let bytes = digits
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"));
        bytes.collect::<Vec<_>>().try_into().expect("32 bytes")
    }
}

/// For a raw peer that trusts [`authority`], and speaks this version or the best there is.
pub(crate) fn connector(version: Option<SslVersion>) -> SslConnector {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a good OpenSSL");
    builder.set_max_proto_version(version).expect("a version");
    let root = X509::from_pem(&authority().pem).expect("a good certificate");
    builder.cert_store_mut().add_cert(root).expect("a root");
    builder.build()
}

/// The authority that the tests trust.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("wstrand_test_authority"))
}

/// A certificate for localhost, 127.0.0.1 and ::1 that [`authority`] has signed.
pub(crate) fn good() -> &'static Cert {
    static GOOD: OnceLock<Cert> = OnceLock::new();
    GOOD.get_or_init(|| authority().certify(&Wish::default()))
}

/// Runs the openssl command, and returns what it printed.
pub(crate) fn openssl(folder: &Scratch, arguments: &str) -> String {
    let output = Command::new(program("openssl"))
        .current_dir(folder.dir())
        .args(arguments.split_whitespace())
        .output()
        .expect("openssl starts");
    assert!(
        output.status.success(),
        "openssl {arguments}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn key_options(key: Key) -> &'static str {
    match key {
        Key::Ec => "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
        Key::Rsa => "-newkey rsa:2048",
    }
}

/// The system's own configuration is not asked: its additions would be in the certificates.
const CONFIG: &str = "\
[req]
distinguished_name = name
[name]
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
rand_serial = yes
default_md = sha256
default_days = 1
policy = anything
[anything]
commonName = supplied
";
