//! The robot's key: made here, and never anywhere else.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::{IdentityError, Result};

/// A key, and the request to certify it.
pub struct KeyAndRequest {
    /// The private key, PKCS#8 PEM. It does not leave the robot.
    pub key_pem: String,
    /// The certificate request, PKCS#10 PEM.
    pub request_pem: String,
}

/// Makes an ECDSA key on P-256 and a request for `robot`.
///
/// # Errors
/// When the system gives no random bytes.
pub fn make_key(robot: &str) -> Result<KeyAndRequest> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, robot);
    let request = params.serialize_request(&key).map_err(IdentityError::Key)?;
    Ok(KeyAndRequest { key_pem: key.serialize_pem(), request_pem: request.pem().map_err(IdentityError::Key)? })
}
