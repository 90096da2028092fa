//! From a plan to clients, one for each endpoint.
//!
//! The stack is kube's own, except that its connector would take `http://` and has no say in verification:
//! ours is `https_only` and verifies by [`Verifier`].

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::ConfigExt;
use kube::client::middleware::BaseUriLayer;
use rustls::crypto::{CryptoProvider, ring};
use tower::{BoxError, ServiceBuilder};

use crate::connect::access::{AccessError, Plan};
use crate::connect::verify::Verifier;

/// TCP's own probes find a peer that is gone without a word, long before a write would.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A client and the endpoint that it talks to.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: Arc<str>,
    pub(crate) client: Client,
}

/// Builds a client for each endpoint. Blocks while an exec plugin runs.
pub(crate) fn build(plan: &Plan, connect_timeout: Duration) -> Result<Vec<Endpoint>, AccessError> {
    let failed =
        |what, cause: String| AccessError::Credentials { origin: plan.origin.clone(), what, cause };
    let provider = Arc::new(ring::default_provider());
    // kube asks for the process' default. Somebody else having set one is as good.
    let _already = CryptoProvider::install_default(ring::default_provider());
    let config = &plan.config;
    let mut tls = config
        .rustls_client_config()
        .map_err(|error| failed("cannot use the credentials", error.to_string()))?;
    let verifier = Verifier::new(config.root_cert.as_deref(), provider)
        .map_err(|cause| failed("cannot verify the API server", cause))?;
    tls.dangerous().set_certificate_verifier(Arc::new(verifier));
    let mut connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
    if let Some(name) = &config.tls_server_name {
        let name = name.clone().try_into();
        let name = name.map_err(|_| failed("tls-server-name", "it is not a name".to_owned()))?;
        connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    let mut connector = TimeoutConnector::new(connector.enable_http1().wrap_connector(tcp));
    connector.set_connect_timeout(Some(connect_timeout));
    let hyper = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let auth = config
        .auth_layer()
        .map_err(|error| failed("cannot use the credentials", error.to_string()))?;
    let headers = config
        .extra_headers_layer()
        .map_err(|error| failed("cannot use the credentials", error.to_string()))?;
    let service = ServiceBuilder::new()
        .option_layer(auth)
        .layer(headers)
        .map_err(BoxError::from)
        .service(hyper);
    let endpoint = |url: &Uri| {
        let service =
            ServiceBuilder::new().layer(BaseUriLayer::new(url.clone())).service(service.clone());
        Endpoint {
            url: url.to_string().trim_end_matches('/').into(),
            client: Client::new(service, config.default_namespace.clone()),
        }
    };
    Ok(plan.endpoints.iter().map(endpoint).collect())
}
