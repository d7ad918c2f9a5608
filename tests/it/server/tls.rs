//! Encrypted connections: who is trusted, and certificates that change.

use std::{fs, path::Path, sync::Arc, time::Duration};

use dynamar::{
    config::Config,
    server::{
        access::{Access, ClientTls, Identity, Trust},
        health,
        proto::inference_client::InferenceClient,
    },
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::{
    certificates::{Authority, Signed},
    stage::{Stage, classify, config, soon, texts},
};

const PATIENCE: Duration = Duration::from_secs(9);

/// The usual configuration with this certificate.
fn config_with(server: &Signed) -> Config {
    let mut config = config();
    config.tls.certificate = Some(server.certificate.clone());
    config.tls.private_key = Some(server.key.clone());
    config.server.reload_interval_ms = 20;
    config
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

async fn is_answered(stage: &Stage) {
    let request = classify("polarity", texts(&["fine"]));
    soon(stage.client().await.classify(request)).await.expect("answered");
}

async fn probe(stage: &Stage, trust: Trust<'_>, identity: Option<Identity<'_>>) -> Option<String> {
    let tls = ClientTls::open(trust, identity).expect("good files");
    let told = soon(health::probe_over(&stage.address.to_string(), Some(tls), PATIENCE)).await;
    told.map(|serving| assert!(serving)).err().map(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_know_the_server_by_its_authority_and_probes_of_their_own_by_its_address() {
    let home = home();
    let (ours, other) = (Authority::new(home.path(), "ours"), Authority::new(home.path(), "other"));
    let server = ours.sign("server", &[]);
    let stage = Stage::ready_for(config_with(&server), Some(ours.client())).await;
    is_answered(&stage).await;
    let wrong = stage.endpoint(Some(other.client()));
    soon(wrong.connect()).await.expect_err("it is not the other's");
    let path = ours.path();
    assert_eq!(probe(&stage, Trust::Authority("--tls-ca", &path), None).await, None);
    assert_eq!(probe(&stage, Trust::Address, None).await, None);
    let path = other.path();
    let error = probe(&stage, Trust::Authority("--tls-ca", &path), None).await.expect("not theirs");
    assert!(error.contains("UnknownIssuer"), "{error}");
    assert!(health::probe(&stage.address.to_string(), PATIENCE).await.is_err());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_a_certificate_of_the_right_authority_are_not_let_in() {
    let home = home();
    let (ours, other) = (Authority::new(home.path(), "ours"), Authority::new(home.path(), "other"));
    let (server, client) = (ours.sign("server", &[]), ours.sign("client", &["client.example"]));
    let mut config = config_with(&server);
    config.tls.client_ca = Some(ours.path());
    let tls = ours.client().identity(client.identity());
    let stage = Stage::ready_for(config, Some(tls)).await;
    is_answered(&stage).await;
    let strangers = other.sign("client", &["client.example"]);
    for tls in [ours.client(), ours.client().identity(strangers.identity())] {
        // The client learns it when it has finished its own part, and so maybe with its first call.
        if let Ok(channel) = soon(stage.endpoint(Some(tls)).connect()).await {
            let mut client = InferenceClient::new(channel);
            let request = classify("polarity", texts(&["fine"]));
            soon(client.classify(request)).await.expect_err("nobody known");
        }
    }
    let path = ours.path();
    let trust = Trust::Authority("--tls-ca", &path);
    let shown = Identity {
        certificate: ("--tls-cert", &client.certificate),
        key: ("--tls-key", &client.key),
    };
    assert_eq!(probe(&stage, trust, Some(shown)).await, None);
    assert!(probe(&stage, trust, None).await.is_some());
    stage.stop().await;
}

/// Connects, offering these protocols; returns the certificate that the server shows.
async fn shown(stage: &Stage, authority: &Authority, protocols: &[&str]) -> Option<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority.path()).expect("a certificate");
    roots.add(authority).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let stream = soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.ok()?;
    let chain = stream.get_ref().1.peer_certificates().expect("shown");
    Some(chain[0].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_than_http2_is_not_spoken() {
    let home = home();
    let ours = Authority::new(home.path(), "ours");
    let stage = Stage::ready_for(config_with(&ours.sign("server", &[])), Some(ours.client())).await;
    assert!(shown(&stage, &ours, &["http/1.1", "h2"]).await.is_some());
    assert!(shown(&stage, &ours, &["http/1.1"]).await.is_none());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_for_new_connections_and_a_broken_one_for_none() {
    let home = home();
    let ours = Authority::new(home.path(), "ours");
    let (old, new) = (ours.sign("server", &[]), ours.sign("new", &[]));
    let stage = Stage::ready_for(config_with(&old), Some(ours.client())).await;
    let mut connected = stage.client().await;
    assert_eq!(shown(&stage, &ours, &["h2"]).await.as_deref(), Some(&old.der[..]));
    let put = |from: &Path, to: &Path| {
        // As one step, so that no half of it is ever seen.
        let beside = home.path().join("beside");
        fs::copy(from, &beside).expect("copied");
        fs::rename(&beside, to).expect("moved");
    };
    // First only one of the two, which does not fit the other: the old pair stays.
    put(&new.certificate, &old.certificate);
    assert_eq!(shown(&stage, &ours, &["h2"]).await.as_deref(), Some(&old.der[..]));
    put(&new.key, &old.key);
    while shown(&stage, &ours, &["h2"]).await.as_deref() != Some(&new.der[..]) {}
    let request = classify("polarity", texts(&["fine"]));
    soon(connected.classify(request)).await.expect("old connections live on");
    stage.stop().await;
}

#[test]
fn what_is_wrong_with_the_files_is_told_in_one_line() {
    let home = home();
    let ours = Authority::new(home.path(), "ours");
    let (server, other) = (ours.sign("server", &[]), ours.sign("other", &[]));
    let check = |change: &dyn Fn(&mut Config), expected: &[&str]| {
        let mut config = config_with(&server);
        change(&mut config);
        let error = Access::open(&config).err().expect("a fault").to_string();
        for part in expected {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("BEGIN") || error.contains("(BEGIN"), "{error}");
    };
    let shown = |path: &Path| path.display().to_string();
    let missing = home.path().join("missing.pem");
    check(
        &|config| config.tls.certificate = Some(missing.clone()),
        &["tls.certificate: cannot read", &shown(&missing), "No such file"],
    );
    check(
        &|config| config.tls.private_key = Some(other.key.clone()),
        &["tls.private_key", &shown(&other.key), "is not the key of the certificate"],
    );
    check(
        &|config| config.tls.private_key = Some(server.certificate.clone()),
        &["tls.private_key", "holds no private key"],
    );
    check(
        &|config| config.tls.certificate = Some(server.key.clone()),
        &["tls.certificate", "holds no certificate"],
    );
    let expired = ours.sign_expired("expired");
    check(
        &|config| {
            config.tls.certificate = Some(expired.certificate.clone());
            config.tls.private_key = Some(expired.key.clone());
        },
        &["tls.certificate", &shown(&expired.certificate), "has expired"],
    );
    check(
        &|config| config.tls.client_ca = Some(server.key.clone()),
        &["tls.client_ca", "holds no certificate"],
    );
    check(&|config| config.tls.private_key = None, &["tls.certificate is set but tls.private_key"]);
    check(&|config| config.tls.certificate = None, &["tls.private_key is set but tls.certificate"]);
}
