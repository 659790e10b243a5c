//! What a client believes of a server, and what it shows of itself.

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use crate::{IdentityError, Result};

/// What makes a server the control plane.
#[derive(Debug, Clone)]
pub enum Roots {
    /// This CA signed its certificate, PEM.
    Ca(String),
    /// A CA signed it whose certificate has this SHA-256 and comes along in the handshake: all a robot knows before it enrols.
    Fingerprint([u8; 32]),
}

/// TLS towards the control plane; `identity` is a PEM with the robot's key and certificate.
///
/// # Errors
/// PEM that does not read, or a key and a certificate that do not belong together.
pub fn client_config(roots: &Roots, identity: Option<&str>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Roots::Ca(pem) => {
            let ca = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| IdentityError::answer(format!("the CA: {error}")))?;
            verifier(&ca, &provider)?
        }
        Roots::Fingerprint(sha256) => Arc::new(ByFingerprint { sha256: *sha256, provider: provider.clone() }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(IdentityError::Tls)?
        .dangerous() // rustls' word for a verifier of one's own; both of ours check the chain and the name
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(pem) => {
            let unreadable = |error: rustls::pki_types::pem::Error| IdentityError::answer(format!("key and certificate: {error}"));
            let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(unreadable)?;
            builder.with_client_auth_cert(chain, key).map_err(IdentityError::Tls)?
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// SHA-256 of a certificate in PEM.
///
/// # Errors
/// PEM that does not read.
pub fn fingerprint(pem: &str) -> Result<[u8; 32]> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| IdentityError::answer(format!("the CA: {error}")))?;
    Ok(Sha256::digest(&der).into())
}

fn verifier(ca: &CertificateDer<'_>, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned()).map_err(IdentityError::Tls)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().map_err(IdentityError::Roots)
}

/// Believes a chain that ends in the CA with this fingerprint, and then checks it like any other.
#[derive(Debug)]
struct ByFingerprint {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = |certificate: &&CertificateDer<'_>| <[u8; 32]>::from(Sha256::digest(certificate)) == self.sha256;
        let ca = intermediates.iter().find(pinned).ok_or(CertificateError::UnknownIssuer)?;
        let verifier = verifier(ca, &self.provider).map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
