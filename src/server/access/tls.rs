//! TLS, and with it clients that show a certificate of their own.

use std::{io, sync::Arc, time::SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        DEFAULT_VERSIONS, Error, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

use super::{
    AccessError,
    certificate::Certificate,
    files::{Kept, Source},
};
use crate::config::TlsConfig;

/// HTTP/2, as clients and servers name it when they agree on it.
pub(super) const HTTP2: &[u8] = b"h2";

/// A connection that is encrypted.
pub(in crate::server) type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Encrypts connections with whatever the files hold at the time.
#[derive(Clone)]
pub(in crate::server) struct Tls(Arc<Kept<Encryption>>);

/// What the files amount to.
pub(super) struct Encryption {
    config: Arc<ServerConfig>,
    /// The certificate's last second, since 1970.
    pub expires_at: i64,
}

impl Tls {
    /// As configured; `None` if it is off.
    pub(super) fn open(config: &TlsConfig) -> Result<Option<Self>, AccessError> {
        let incomplete = |set, missing| Err(AccessError::Incomplete { set, missing });
        let (certificate, key) = match (&config.certificate, &config.private_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => return incomplete("tls.certificate", "tls.private_key"),
            (None, Some(_)) => return incomplete("tls.private_key", "tls.certificate"),
            (None, None) if config.client_ca.is_some() => {
                return incomplete("tls.client_ca", "tls.certificate");
            }
            (None, None) => return Ok(None),
        };
        let mut sources = vec![
            Source { key: "tls.certificate", path: certificate },
            Source { key: "tls.private_key", path: key },
        ];
        let client_ca = config.client_ca.clone();
        sources.extend(client_ca.map(|path| Source { key: "tls.client_ca", path }));
        Kept::open(sources, encryption).map(|kept| Some(Self(Arc::new(kept))))
    }

    pub(super) fn files(&self) -> &Arc<Kept<Encryption>> {
        &self.0
    }

    /// Shakes hands. Returns the names in the client's certificate too; without one there are none.
    pub(in crate::server) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream, Vec<String>)> {
        let config = Arc::clone(&self.0.current().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other("the client does not offer HTTP/2 (ALPN h2)"));
        }
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let read = shown.and_then(|shown| Certificate::read(shown));
        let names = read.map_or_else(Vec::new, |certificate| certificate.names);
        Ok((stream, names))
    }
}

/// What the files amount to: a certificate with its chain, its key, and maybe who signs clients.
fn encryption(sources: &[Source], contents: &[Vec<u8>]) -> Result<Encryption, AccessError> {
    let (chain, key) =
        (certificates(&sources[0], &contents[0])?, private_key(&sources[1], &contents[1])?);
    let first = chain.first().and_then(|first| Certificate::read(first));
    let first = first.ok_or_else(|| sources[0].unfit("holds something that is no certificate"))?;
    if let Some(problem) = first.is_out_of_date(SystemTime::now()) {
        return Err(sources[0].unfit(problem));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| sources[0].unfit(format!("cannot be used: {error}")))?;
    let builder = match sources.get(2).zip(contents.get(2)) {
        None => builder.with_no_client_auth(),
        Some((source, content)) => {
            builder.with_client_cert_verifier(client_verifier(source, content, provider)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            let certificate = sources[0].path.display();
            sources[1].unfit(format!("is not the key of the certificate {certificate}"))
        }
        error => sources[1].unfit(format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(Encryption { config: Arc::new(config), expires_at: *first.validity.end() })
}

fn client_verifier(
    source: &Source,
    content: &[u8],
    provider: Arc<tokio_rustls::rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, AccessError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(source, content)? {
        let added = roots.add(certificate);
        added.map_err(|error| source.unfit(format!("holds no certificate authority: {error}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| source.unfit(format!("cannot be used: {error}")))
}

pub(super) fn certificates(
    source: &Source,
    content: &[u8],
) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let read = read.map_err(|error| source.unfit(format!("is not PEM: {error}")))?;
    match read.is_empty() {
        true => Err(source.unfit("holds no certificate in PEM (BEGIN CERTIFICATE)")),
        false => Ok(read),
    }
}

pub(super) fn private_key(
    source: &Source,
    content: &[u8],
) -> Result<PrivateKeyDer<'static>, AccessError> {
    // The error is not quoted: it must not show what it found.
    PrivateKeyDer::from_pem_slice(content).map_err(|_| {
        source.unfit("holds no private key in PEM that is not encrypted (BEGIN PRIVATE KEY)")
    })
}
