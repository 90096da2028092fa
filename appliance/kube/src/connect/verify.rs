//! Who the other side of a connection is: always asked, never skipped.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

/// The certificate is signed by nobody but itself.
#[derive(Debug, thiserror::Error)]
#[error("certificate is self-signed")]
pub(crate) struct SelfSigned;

/// Verifies by the cluster's CA, or by the system's when the kubeconfig names none. Adds nothing to what is
/// accepted; only says of a refused certificate that it is self-signed, which rustls does not.
#[derive(Debug)]
pub(crate) struct Verifier(Arc<dyn ServerCertVerifier>);

impl Verifier {
    pub(crate) fn new(
        ca: Option<&[Vec<u8>]>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let Some(ca) = ca else {
            let system = rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| format!("cannot load the system's CAs: {error}"))?;
            return Ok(Self(Arc::new(system)));
        };
        let mut roots = RootCertStore::empty();
        for certificate in ca {
            roots
                .add(CertificateDer::from(certificate.clone()))
                .map_err(|error| format!("cannot use the CA certificate: {error}"))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| format!("cannot use the CA: {error}"))?;
        Ok(Self(verifier))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| explain(error, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Nobody we trust signed it. Did it sign itself? `Other` is how webpki says "a CA used as a server", which
/// is what `openssl req -x509` makes.
fn explain(error: Error, end_entity: &CertificateDer<'_>) -> Error {
    let is_unsigned = matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
    );
    let is_own_issuer = webpki::EndEntityCert::try_from(end_entity)
        .is_ok_and(|certificate| certificate.issuer() == certificate.subject());
    if is_unsigned && is_own_issuer {
        return Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
            SelfSigned,
        ))));
    }
    error
}
