//! `dynamar health`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::runtime::Builder;

use super::{Global, output};
use crate::{
    config::{Config, TlsConfig},
    server::{
        access::{ClientTls, Identity, Trust},
        health,
    },
};

/// Asks a running server whether it answers calls; the exit code is for probes
///
/// Without --addr the server of the configuration is asked, where it has health.address there. Where it has
/// not, but tls.certificate, it is asked over TLS, whatever certificate it shows; with --tls-ca the server
/// must show one of that authority's, and is asked at server.address.
///
/// Example: dynamar health --addr 127.0.0.1:50051
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The server [default: health.address of the configuration, else server.address]
    #[arg(long, visible_alias = "address", value_name = "HOST:PORT")]
    addr: Option<String>,
    /// How long to wait for an answer
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    timeout_ms: u64,
    /// PEM file with the authority of the server's certificate, which is for the host asked
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file with a certificate to show, where the server wants one (tls.client_ca)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Asks.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let config = match (&args.addr, &args.tls_ca) {
        (Some(_), Some(_)) => None,
        _ => Some(Config::load(global.config.as_deref(), &[])?.config),
    };
    let (address, tls) = match for_probes(args, config.as_ref()) {
        Some(address) => (address.to_string(), None),
        None => {
            let own = config.as_ref().map(|config| config.server.address.to_string());
            let tls = tls(args, config.as_ref().map(|config| &config.tls))?;
            (args.addr.clone().or(own).unwrap_or_default(), tls)
        }
    };
    let patience = Duration::from_millis(args.timeout_ms);
    let runtime = Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    if !runtime.block_on(health::probe_over(&address, tls, patience))? {
        bail!("{address} is NOT_SERVING");
    }
    output::text(&format!("{address} is SERVING\n"))
}

/// Where the server of the configuration answers probes alone, if that is where to ask.
fn for_probes(args: &Args, config: Option<&Config>) -> Option<SocketAddr> {
    let encrypts = args.tls_ca.is_some() || args.tls_cert.is_some();
    config.filter(|_| args.addr.is_none() && !encrypts)?.health.address
}

/// How to encrypt, if at all.
fn tls(args: &Args, config: Option<&TlsConfig>) -> Result<Option<ClientTls>> {
    let own = config.filter(|_| args.addr.is_none()).and_then(|tls| tls.certificate.as_ref());
    let trust = match (&args.tls_ca, own) {
        (Some(authority), _) => Trust::Authority("--tls-ca", authority),
        (None, Some(_)) => Trust::Address,
        (None, None) if args.tls_cert.is_some() => {
            bail!("--tls-cert needs --tls-ca, to know the server by")
        }
        (None, None) => return Ok(None),
    };
    let identity = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    let identity = identity.map(|(certificate, key)| Identity {
        certificate: ("--tls-cert", certificate),
        key: ("--tls-key", key),
    });
    Ok(Some(ClientTls::open(trust, identity)?))
}
