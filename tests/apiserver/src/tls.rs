//! The server on a socket: TLS by rustls, HTTP/1.1 and HTTP/2, client certificates if offered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::auth::Identity;
use crate::pki::Pair;
use crate::server::{ApiServer, lock};

/// A handshake that takes longer is given up.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Why the server cannot be reached over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the server's certificate or key cannot be used: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("the server's certificate cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("the clients' authority cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("cannot listen on {address}: {source}; is the port in use?")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// What the server shows, and whose certificates it believes.
pub fn config(server: &Pair, client_ca_pem: &str) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(client_ca_pem.as_bytes())?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let chain = CertificateDer::pem_slice_iter(server.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A listening server. It stops when this is dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    /// Listens; port 0 takes a free one.
    pub async fn start(
        server: &ApiServer,
        address: SocketAddr,
        config: ServerConfig,
    ) -> Result<Self, TlsError> {
        let failed = |source| TlsError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let task = tokio::spawn(accept(server.clone(), listener, address, Arc::clone(&config)));
        Ok(Self { address, config, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As clients write it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Shows another certificate from the next connection on.
    pub fn set_config(&self, config: ServerConfig) {
        *lock(&self.config) = Arc::new(config);
    }
}

async fn accept(
    server: ApiServer,
    listener: TcpListener,
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
) {
    let mut live = server.shared.live.subscribe();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let is_down = live.borrow_and_update().is_down;
        if is_down {
            // Gone like a killed process: the port is closed, every connection is reset.
            listener = None;
            connections.abort_all();
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        }
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = next => {
                if let Ok((stream, _)) = accepted {
                    let config = Arc::clone(&lock(&config));
                    connections.spawn(connection(server.clone(), stream, config));
                }
            }
            changed = live.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(server: ApiServer, stream: TcpStream, config: Arc<ServerConfig>) {
    // Small events must not wait for each other.
    let nodelay = stream.set_nodelay(true);
    let handshake = TlsAcceptor::from(config).accept(stream);
    let (Ok(()), Ok(Ok(stream))) = (nodelay, tokio::time::timeout(HANDSHAKE_MAX, handshake).await)
    else {
        return;
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let connection = server.connect(certificate.and_then(|first| identity(first)));
    let service = service_fn(move |request| connection.clone().handle(request));
    // A client that goes away is no news.
    drop(
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// User and groups of a client certificate: CN and O.
fn identity(certificate: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok());
    Some(Identity { user, groups: groups.map(Into::into).collect() })
}
