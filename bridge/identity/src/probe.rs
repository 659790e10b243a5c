//! What a server shows of itself, for whoever looks for what is wrong.

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    IdentityError, Result, Roots, client_config,
    tunnel::{CONNECT_TIMEOUT, explain, host_and_port},
};

/// Shakes hands with `host:port` and answers with when its certificate expires, microseconds since the Unix epoch.
///
/// # Errors
/// An address that does not read, nobody there, or a certificate that is not to be believed: the reason says which.
pub async fn peer_certificate(address: &str, roots: &Roots) -> Result<i64> {
    let unreachable = |reason: String| IdentityError::Unreachable { address: address.to_owned(), reason };
    let (host, port) = host_and_port(address)?;
    let name = ServerName::try_from(host.clone()).map_err(|_| IdentityError::Address { address: address.to_owned() })?;
    let config = client_config(roots, None)?;
    let late = |what: &str| unreachable(format!("{what} took longer than {CONNECT_TIMEOUT:?}"));
    let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port)));
    let tcp = tcp.await.map_err(|_| late("connecting"))?.map_err(|error| unreachable(error.to_string()))?;
    let shaken = timeout(CONNECT_TIMEOUT, TlsConnector::from(config).connect(name, tcp));
    let stream = shaken.await.map_err(|_| late("the TLS handshake"))?.map_err(|error| unreachable(explain(&error)))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    end_us(shown.ok_or_else(|| unreachable("it shows no certificate".to_owned()))?)
}

/// When the first certificate of a PEM expires, microseconds since the Unix epoch.
///
/// # Errors
/// A PEM without one.
pub fn certificate_end_us(pem: &str) -> Result<i64> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| IdentityError::answer(format!("the certificate: {error}")))?;
    end_us(&der)
}

fn end_us(der: &CertificateDer<'_>) -> Result<i64> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| IdentityError::answer(format!("the certificate: {error}")))?;
    Ok(certificate.validity().not_after.timestamp().saturating_mul(1_000_000))
}
