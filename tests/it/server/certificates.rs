//! Certificates for a test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// An authority that signs, and where its files lie.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    home: PathBuf,
}

/// A certificate and its key, in PEM, and the files that hold them.
pub struct Signed {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// In DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// A new one, whose files go to `home`.
    pub fn new(home: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        let authority = Self { issuer: Issuer::new(params, key), pem, home: home.join(name) };
        fs::create_dir(&authority.home).expect("made");
        fs::write(authority.path(), &authority.pem).expect("written");
        authority
    }

    pub fn path(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    /// A certificate with these DNS names, and for 127.0.0.1.
    pub fn sign(&self, file: &str, names: &[&str]) -> Signed {
        self.sign_with(file, names, |_| {})
    }

    /// One that was valid once.
    pub fn sign_expired(&self, file: &str) -> Signed {
        self.sign_with(file, &[], |params| {
            (params.not_before, params.not_after) =
                (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        })
    }

    fn sign_with(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        change(&mut params);
        let pair = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&pair, &self.issuer).expect("signed");
        let place = |end: &str| self.home.join(format!("{file}.{end}"));
        let (certificate, key) = (place("pem"), place("key"));
        fs::write(&certificate, signed.pem()).expect("written");
        fs::write(&key, pair.serialize_pem()).expect("written");
        Signed { certificate, key, der: signed.der().to_vec() }
    }

    /// For clients of servers with a certificate of this authority.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem))
    }
}

impl Signed {
    /// For a client that shows this certificate.
    pub fn identity(&self) -> Identity {
        let read = |path: &Path| fs::read(path).expect("read");
        Identity::from_pem(read(&self.certificate), read(&self.key))
    }
}
