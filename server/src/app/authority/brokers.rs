//! Certificates around an external broker: the broker's own, ours towards it, and those with which we take a robot's place there.

use edgeflow_core::identity::CLOCK_TOLERANCE_S;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Authority, Issued, crypto, fingerprint, requested_key};
use crate::app::AppError;

/// Our name at an external broker. No robot can have it: a dot is in none of theirs.
pub const CONTROL_PLANE: &str = "edgeflow.control-plane";
/// How long a broker's certificate lives.
const BROKER_LIFETIME_US: i64 = 365 * 24 * 3_600_000_000;
/// How long one lives that is made for a connection of our own: longer than its handshake.
const OWN_LIFETIME_US: i64 = 3_600_000_000;
/// Clocks of brokers are behind by no more than this.
const TOLERANCE_US: i64 = CLOCK_TOLERANCE_S as i64 * 1_000_000;

/// What a client shows of itself. It is never written anywhere.
pub(crate) struct ClientIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    /// Signs the request of a broker (PKCS#10, PEM, ECDSA on P-256) for its names and addresses; also until when it is good.
    pub(crate) fn certify_broker(&self, names: &[String], request_pem: &str, now_us: i64) -> Result<(Issued, i64), AppError> {
        let key = requested_key(request_pem)?;
        let until_us = now_us.saturating_add(BROKER_LIFETIME_US);
        let common = names.first().map_or("broker", String::as_str);
        let period = (now_us.saturating_sub(TOLERANCE_US), until_us);
        let (made, serial) = self.certify(common, names, ExtendedKeyUsagePurpose::ServerAuth, &key, period)?;
        Ok((Issued { pem: made.pem(), fingerprint: fingerprint(made.der()), serial }, until_us))
    }

    /// A key and certificate of this name, for one connection of ours.
    pub(crate) fn client_identity(&self, name: &str, now_us: i64) -> Result<ClientIdentity, AppError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
        let (from_us, until_us) = (now_us.saturating_sub(TOLERANCE_US), now_us.saturating_add(OWN_LIFETIME_US));
        let (made, _) = self.certify(name, &[], ExtendedKeyUsagePurpose::ClientAuth, &key, (from_us, until_us))?;
        let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(|reason| crypto(std::io::Error::other(reason)))?;
        Ok(ClientIdentity { chain: vec![made.der().clone()], key: der })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_core::TargetName;
    use x509_parser::parse_x509_certificate;

    const NOW_US: i64 = 1_800_000_000_000_000;

    #[test]
    fn a_broker_is_a_server_under_its_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let names = ["broker.example".to_owned(), "10.1.2.3".to_owned()];
        let (issued, until_us) = authority.certify_broker(&names, &request, NOW_US).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(issued.pem.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let text = format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value);
        assert!(text.contains("broker.example") && text.contains("[10, 1, 2, 3]"), "{text}");
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth);
        assert_eq!(certificate.validity().not_after.timestamp() * 1_000_000, until_us);
        assert!(authority.certify_broker(&names, "no request", NOW_US).is_err());
    }

    #[test]
    fn our_own_name_is_no_robots() {
        assert!(TargetName::new(CONTROL_PLANE).is_err());
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let identity = authority.client_identity(CONTROL_PLANE, NOW_US).unwrap();
        let (_, certificate) = parse_x509_certificate(&identity.chain[0]).unwrap();
        assert_eq!(certificate.subject().to_string(), format!("CN={CONTROL_PLANE}"));
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
    }
}
