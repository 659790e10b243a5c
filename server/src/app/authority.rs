//! The control plane's own certificate authority: who robots are, who we are to them, and what we say to them.
//!
//! Made at first start in `authority/` of the data folder. Whoever reads that folder can be any robot and steer the fleet;
//! its keys are readable by this user only. The certificate of our own listeners is made anew at each start and before it
//! expires, so nothing of it has to be kept.

mod brokers;
mod revoked;

pub use brokers::CONTROL_PLANE;
pub(crate) use brokers::ClientIdentity;
pub(crate) use revoked::plain;

use base64::{Engine, engine::general_purpose::STANDARD};
use edgeflow_core::identity::{Certificate, Fingerprint};
use edgeflow_wire::{DocumentKind, Envelope, Signature, WIRE_VERSION};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use rustls::{
    pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use time::OffsetDateTime;
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::app::{AppError, auth::random_bytes};

/// How long the certificate of our listeners lives.
const SERVER_LIFETIME_US: i64 = 90 * 24 * 3_600_000_000;
/// Names under which this machine always reaches itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Robots without a clock begin at some year; our own certificates are older than any of them.
const LONG_AGO_US: i64 = 0;
/// As long as a machine may stand.
const CA_UNTIL_US: i64 = 4_102_444_800_000_000;

/// Where the material lies as PEM, for software that wants files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The certificate of our listeners; written anew when it changes.
    pub server_certificate: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
}

/// A public key that signs documents to robots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentKey {
    /// The first 16 hex digits of its SHA-256.
    pub key_id: String,
    /// The Ed25519 public key, base64.
    pub public_key: String,
}

/// A certificate that was just made.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) serial: String,
}

/// Makes certificates and signs documents.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    ca_pem: String,
    names: Vec<String>,
    server: RwLock<Served>,
    /// The key that signs documents.
    documents: DocumentSigner,
    /// The one that will, so that robots know it when it does.
    next_documents: DocumentSigner,
    /// Revoked certificates, so that a handshake can refuse them without asking the store. The store decides.
    revoked: RwLock<HashSet<Fingerprint>>,
    /// The list of them for others, PEM.
    revoked_pem: RwLock<String>,
}

struct DocumentSigner {
    pair: Ed25519KeyPair,
    public: DocumentKey,
}

impl DocumentSigner {
    /// The key in a file; made when there is none.
    fn open(path: &Path) -> Result<Self, AppError> {
        let key = key_file(path, || Ok(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| no_random())?.as_ref().to_vec()))?;
        let pair = Ed25519KeyPair::from_pkcs8(&key)
            .map_err(|error| AppError::artifact("reading the key that signs documents")(std::io::Error::other(error.to_string())))?;
        let public = pair.public_key().as_ref();
        let public = DocumentKey { key_id: hex::encode(&Sha256::digest(public)[..8]), public_key: STANDARD.encode(public) };
        Ok(Self { pair, public })
    }
}

struct Served {
    key: Arc<CertifiedKey>,
    renew_at_us: i64,
}

impl Authority {
    /// Opens the authority of a data folder; makes it at first. Our listeners' certificate gets the loopback names and `names`.
    /// `rotate` puts the next key that signs documents in the place of the present one.
    pub(crate) fn open(data_dir: &Path, names: &[String], rotate: bool, now_us: i64) -> Result<Self, AppError> {
        let folder = data_dir.join("authority");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(AppError::artifact("making the authority's folder"))?;
        let key = key_file(&folder.join("ca.key"), || Ok(KeyPair::generate().map_err(crypto)?.serialize_pem().into_bytes()))?;
        let key = String::from_utf8(key).map_err(AppError::artifact("reading the authority's key"))?;
        let key = KeyPair::from_pem(&key).map_err(crypto)?;
        let params = ca_params()?;
        let path = folder.join("ca.pem");
        let ca_pem = match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let pem = params.self_signed(&key).map_err(crypto)?.pem();
                write(&path, pem.as_bytes(), 0o644)?;
                pem
            }
            Err(error) => return Err(AppError::artifact("reading the authority's certificate")(error)),
        };
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(AppError::artifact("reading the authority's certificate"))?;
        let issuer = Issuer::new(params, key);
        let (present, next) = (folder.join("documents.key"), folder.join("documents.next.key"));
        if rotate && next.exists() {
            fs::rename(&next, &present).map_err(AppError::artifact("rotating the key that signs documents"))?;
        }
        let (documents, next_documents) = (DocumentSigner::open(&present)?, DocumentSigner::open(&next)?);
        let names = LOOPBACK.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned()).collect::<Vec<_>>();
        let server = RwLock::new(serve(&folder, &issuer, &ca, &names, now_us)?);
        Ok(Self {
            folder,
            issuer,
            ca,
            ca_pem,
            names,
            server,
            documents,
            next_documents,
            revoked: RwLock::default(),
            revoked_pem: RwLock::default(),
        })
    }

    /// SHA-256 of the authority's certificate: what a robot pins before it first speaks to us.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.ca)
    }

    /// The authority's certificate.
    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// The authority's certificate as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Keys that sign documents to robots: the one in use, and the one that follows it.
    pub fn document_keys(&self) -> Vec<DocumentKey> {
        vec![self.documents.public.clone(), self.next_documents.public.clone()]
    }

    /// Where the material lies as PEM.
    pub fn files(&self) -> AuthorityFiles {
        AuthorityFiles {
            ca: self.folder.join("ca.pem"),
            server_certificate: self.folder.join("server.pem"),
            server_key: self.folder.join("server.key"),
        }
    }

    /// Certificate chain and key of our listeners.
    pub(crate) fn served(&self) -> Arc<CertifiedKey> {
        self.server.read().unwrap_or_else(PoisonError::into_inner).key.clone()
    }

    /// Makes the certificate of our listeners anew when it has lived two thirds of its time. Whether it did.
    pub(crate) fn refresh(&self, now_us: i64) -> Result<bool, AppError> {
        if self.server.read().unwrap_or_else(PoisonError::into_inner).renew_at_us > now_us {
            return Ok(false);
        }
        let served = serve(&self.folder, &self.issuer, &self.ca, &self.names, now_us)?;
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(true)
    }

    /// Signs a robot's request (PKCS#10, PEM, ECDSA on P-256). The name is ours to give: what the request says is not read.
    pub(crate) fn issue(&self, name: &str, request_pem: &str, from_us: i64, until_us: i64) -> Result<Issued, AppError> {
        let key = requested_key(request_pem)?;
        let (certificate, serial) = self.certify(name, &[], ExtendedKeyUsagePurpose::ClientAuth, &key, (from_us, until_us))?;
        Ok(Issued { pem: certificate.pem(), fingerprint: fingerprint(certificate.der()), serial })
    }

    /// A certificate for a key, and its serial number: whose, under which names and addresses, what for, from when until when.
    fn certify(
        &self,
        name: &str,
        names: &[String],
        purpose: ExtendedKeyUsagePurpose,
        key: &impl PublicKeyData,
        (from_us, until_us): (i64, i64),
    ) -> Result<(rcgen::Certificate, String), AppError> {
        let mut params = CertificateParams::new(names)
            .map_err(|error| AppError::Invalid(format!("{names:?} cannot stand in a certificate: {error}")))?;
        params.distinguished_name = common_name(name);
        (params.not_before, params.not_after) = (at(from_us)?, at(until_us)?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        Ok((params.signed_by(key, &self.issuer).map_err(crypto)?, hex::encode(serial)))
    }

    /// An envelope around a document, signed.
    pub fn envelope(&self, kind: DocumentKind, payload: String) -> Envelope {
        let signature = self.documents.pair.sign(&Envelope::signed_bytes(kind, &payload));
        let signature = Signature { key_id: self.documents.public.key_id.clone(), signature: STANDARD.encode(signature.as_ref()) };
        Envelope { v: WIRE_VERSION, payload, signatures: vec![signature] }
    }

    /// Whether this certificate is known to be revoked.
    pub(crate) fn is_revoked(&self, fingerprint: Fingerprint) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains(&fingerprint)
    }

    /// From now on handshakes refuse these.
    pub(crate) fn revoke(&self, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).extend(fingerprints);
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("folder", &self.folder).field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// What is put on record of an issued certificate.
pub(crate) fn record(issued: &Issued, target: edgeflow_core::RobotId, issued_at_us: i64, not_after_us: i64) -> Certificate {
    Certificate { fingerprint: issued.fingerprint, target, serial: issued.serial.clone(), issued_at_us, not_after_us, revoked_at_us: None }
}

/// SHA-256 of a certificate.
pub(crate) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(certificate).into())
}

fn ca_params() -> Result<CertificateParams, AppError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Edgeflow control plane");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (at(LONG_AGO_US)?, at(CA_UNTIL_US)?);
    Ok(params)
}

fn serve(
    folder: &Path,
    issuer: &Issuer<'static, KeyPair>,
    ca: &CertificateDer<'static>,
    names: &[String],
    now_us: i64,
) -> Result<Served, AppError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)?;
    let mut params =
        CertificateParams::new(names).map_err(|error| AppError::Invalid(format!("tls_names {names:?} cannot be used: {error}")))?;
    params.distinguished_name = common_name("Edgeflow control plane, listeners");
    (params.not_before, params.not_after) = (at(LONG_AGO_US)?, at(now_us.saturating_add(SERVER_LIFETIME_US))?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from_slice(&serial()?));
    let certificate = params.signed_by(&key, issuer).map_err(crypto)?;
    write(&folder.join("server.pem"), certificate.pem().as_bytes(), 0o644)?;
    write(&folder.join("server.key"), key.serialize_pem().as_bytes(), 0o600)?;
    let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(|reason| crypto(std::io::Error::other(reason)))?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&der).map_err(crypto)?;
    // The authority goes along, so that a robot which knows no more than its fingerprint can check the chain.
    let chain = vec![certificate.der().clone(), ca.clone()];
    Ok(Served { key: Arc::new(CertifiedKey::new(chain, signing)), renew_at_us: now_us.saturating_add(SERVER_LIFETIME_US / 3 * 2) })
}

/// The public key of a request whose own signature is right.
fn requested_key(request_pem: &str) -> Result<RequestedKey, AppError> {
    let bad = |reason: &str| AppError::Invalid(format!("the certificate request cannot be used: {reason}"));
    let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes()).map_err(|error| bad(&error.to_string()))?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|error| bad(&error.to_string()))?;
    let info = &request.certification_request_info;
    let key = info.subject_pki.subject_public_key.data.to_vec();
    let unsigned = || bad("it is not signed by its own key, an ECDSA key on P-256 with SHA-256");
    if !rest.is_empty() || key.len() != 65 {
        return Err(unsigned());
    }
    let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key);
    verifier.verify(info.raw, &request.signature_value.data).map_err(|_| unsigned())?;
    Ok(RequestedKey(key))
}

/// A point on P-256.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn at(us: i64) -> Result<OffsetDateTime, AppError> {
    OffsetDateTime::from_unix_timestamp(us / 1_000_000).map_err(AppError::artifact("dating a certificate"))
}

/// 127 random bits: positive, and never the same.
fn serial() -> Result<[u8; 16], AppError> {
    let mut serial: [u8; 16] = random_bytes()?;
    serial[0] &= 0x7f;
    Ok(serial)
}

/// The key in a file; made at first, readable by this user only.
fn key_file(path: &Path, make: impl FnOnce() -> Result<Vec<u8>, AppError>) -> Result<Vec<u8>, AppError> {
    match fs::read(path) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = make()?;
            write(path, &key, 0o600)?;
            Ok(key)
        }
        Err(error) => Err(AppError::artifact("reading a key of the authority")(error)),
    }
}

/// Writes a file so that after a power cut it holds either the old or the new content.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), AppError> {
    let fresh = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(AppError::artifact("writing a file of the authority"))
}

fn crypto<E: std::error::Error + Send + Sync + 'static>(error: E) -> AppError {
    AppError::artifact("making a certificate")(error)
}

fn no_random() -> AppError {
    AppError::artifact("asking the system for random bytes")(std::io::Error::other("none were given"))
}

/// Whether a configured name can stand in a certificate: an address, or a host name.
pub fn well_formed_name(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
        || (!name.is_empty()
            && name.len() <= 253
            && name.split('.').all(|label| {
                !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use x509_parser::parse_x509_certificate;

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn request(alg: &'static SignatureAlgorithm) -> String {
        let key = KeyPair::generate_for(alg).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("administrator");
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn the_authority_is_made_once_and_its_keys_are_for_this_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let (fingerprint, keys) = (first.fingerprint(), first.document_keys());
        drop(first);
        let again = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        assert_eq!((again.fingerprint(), again.document_keys()), (fingerprint, keys));
        for name in ["ca.key", "server.key", "documents.key", "documents.next.key"] {
            let mode = fs::metadata(folder.path().join("authority").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let mode = fs::metadata(folder.path().join("authority")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_robot_gets_a_certificate_in_the_name_we_give_it() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let issued = authority.issue("robot-1", &request(&PKCS_ECDSA_P256_SHA256), NOW_US, NOW_US + 3_600_000_000).unwrap();
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        assert_eq!(fingerprint(&der), issued.fingerprint);
        let (_, certificate) = parse_x509_certificate(&der).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=robot-1");
        assert_eq!(certificate.issuer().to_string(), "CN=Edgeflow control plane");
        assert_eq!(certificate.validity().not_after.timestamp() * 1_000_000, NOW_US + 3_600_000_000);
        assert_eq!(hex::encode(certificate.raw_serial()).trim_start_matches('0'), issued.serial.trim_start_matches('0'));
    }

    #[test]
    fn requests_that_prove_nothing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let good = request(&PKCS_ECDSA_P256_SHA256);
        let body: String = good.lines().filter(|line| !line.starts_with("-----")).collect();
        let mut der = STANDARD.decode(body).unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        let forged = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(der));
        let other = request(&rcgen::PKCS_ED25519);
        for bad in ["", "no pem", &forged, &other, authority.ca_pem()] {
            let error = authority.issue("robot-1", bad, 0, 1).err().unwrap();
            assert!(matches!(error, AppError::Invalid(_)), "{error}");
        }
    }

    #[test]
    fn our_own_certificate_has_the_configured_names_and_is_renewed_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["fleet.example".to_owned(), "10.1.2.3".to_owned()];
        let authority = Authority::open(folder.path(), &names, false, NOW_US).unwrap();
        let chain = authority.served();
        let (_, certificate) = parse_x509_certificate(chain.cert.first().unwrap()).unwrap();
        let text = format!("{:?}", certificate.subject_alternative_name().unwrap().unwrap().value);
        assert!(text.contains("fleet.example") && text.contains("localhost") && text.contains("[10, 1, 2, 3]"), "{text}");
        assert!(!authority.refresh(NOW_US + SERVER_LIFETIME_US / 2).unwrap());
        assert!(authority.refresh(NOW_US + SERVER_LIFETIME_US - 1).unwrap());
        assert_ne!(authority.served().cert.first(), chain.cert.first());
    }

    #[test]
    fn envelopes_are_signed_for_what_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let envelope = authority.envelope(DocumentKind::DesiredState, "{}".into());
        let public = STANDARD.decode(&authority.document_keys()[0].public_key).unwrap();
        let signature = STANDARD.decode(&envelope.signatures[0].signature).unwrap();
        let key = UnparsedPublicKey::new(&ring::signature::ED25519, public);
        assert!(key.verify(&Envelope::signed_bytes(DocumentKind::DesiredState, "{}"), &signature).is_ok());
        assert!(key.verify(&Envelope::signed_bytes(DocumentKind::Command, "{}"), &signature).is_err());
    }

    #[test]
    fn a_rotated_key_is_one_that_robots_have_pinned_already() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Authority::open(folder.path(), &[], false, NOW_US).unwrap().document_keys();
        let [present, next] = keys.as_slice() else { panic!("{keys:?}") };
        assert_ne!(present, next);
        let rotated = Authority::open(folder.path(), &[], true, NOW_US).unwrap();
        assert_eq!(rotated.envelope(DocumentKind::DesiredState, "{}".into()).signatures[0].key_id, next.key_id);
        let later = rotated.document_keys();
        assert!(later[0] == *next && !keys.contains(&later[1]), "another one follows");
        let again = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        assert_eq!(again.document_keys(), later, "and it stays so");
    }

    #[test]
    fn names_in_a_certificate_are_hosts_or_addresses() {
        for name in ["fleet.example", "10.0.0.1", "::1", "a"] {
            assert!(well_formed_name(name), "{name}");
        }
        for name in ["", "a b", "a..b", "*.example", "http://x", "é"] {
            assert!(!well_formed_name(name), "{name}");
        }
    }
}
