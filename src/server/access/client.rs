//! TLS from the other side: for the probe of a server's health.

use std::{io, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DEFAULT_VERSIONS, DigitallySignedStruct, Error, RootCertStore,
        SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{
    AccessError,
    files::Source,
    tls::{HTTP2, certificates, private_key},
};

/// How a client knows that it speaks to the right server.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Its certificate is one of these authorities', for the name by which it is called. With the
    /// key that names the file.
    Authority(&'static str, &'a Path),
    /// By its address alone, whatever certificate it shows: for the server on the same machine, which may
    /// for good reasons show another than the file that its configuration names holds by now.
    Address,
}

/// A client's own certificate, with the keys that name the files.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// PEM file with the certificate and its chain.
    pub certificate: (&'static str, &'a Path),
    /// PEM file with its private key.
    pub key: (&'static str, &'a Path),
}

/// A connection that is encrypted, from the client's side.
pub(in crate::server) type ClientTlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// The client's side of TLS.
pub struct ClientTls(TlsConnector);

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If one is missing or does not hold what it should.
    pub fn open(trust: Trust<'_>, identity: Option<Identity<'_>>) -> Result<Self, AccessError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Address => Arc::new(Anybody { provider: provider.clone() }),
            Trust::Authority(key, path) => {
                let source = Source { key, path: path.to_owned() };
                authorities(&source, provider.clone())?
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(DEFAULT_VERSIONS)
            .map_err(|error| AccessError::Encryption { message: error.to_string() })?
            // Not less strict than usual, unless less was asked for.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let source = |(key, path): (&'static str, &Path)| Source { key, path: path.into() };
                let (certificate, key) = (source(certificate), source(key));
                let chain = certificates(&certificate, &certificate.read()?)?;
                let secret = private_key(&key, &key.read()?)?;
                let with = builder.with_client_auth_cert(chain, secret);
                with.map_err(|error| key.unfit(format!("cannot be used: {error}")))?
            }
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with a server that is called `host`.
    pub(in crate::server) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<ClientTlsStream> {
        // In a URI, IPv6 addresses stand in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        self.0.connect(name, stream).await
    }
}

/// What takes certificates of the authorities in this file.
fn authorities(
    source: &Source,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, AccessError> {
    let unusable = |error: &dyn std::fmt::Display| source.unfit(format!("is of no use: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(source, &source.read()?)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(builder.build().map_err(|error| unusable(&error))?)
}

/// Takes any certificate that the server has the key of.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _shown: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
