//! The folder that makes a robot who it is.
//!
//! | file | what |
//! | --- | --- |
//! | `robot.pem` | key and certificate, mode 0600; one file, so that a renewal replaces both at once |
//! | `ca.pem` | the control plane's CA |
//! | `documents.json` | public keys that sign documents to this robot |

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{DocumentKey, DocumentKeys, IdentityError, Result, Roots, client_config, key::KeyAndRequest};

/// What the control plane answers to a robot that enrols or renews.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// The robot's name.
    pub name: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The control plane's CA certificate, PEM.
    pub ca: String,
    /// Keys that sign documents to robots.
    pub document_keys: Vec<DocumentKey>,
}

#[derive(Serialize, Deserialize)]
struct Pinned {
    keys: Vec<DocumentKey>,
}

/// A robot's identity on the disk.
#[derive(Debug, Clone)]
pub struct Identity {
    folder: PathBuf,
    robot: String,
    not_after_us: i64,
    documents: DocumentKeys,
}

impl Identity {
    /// Opens the folder that `edgeflow enroll` made.
    ///
    /// # Errors
    /// A file that is missing, is not what it should be, or can be read by others though it holds the key.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("robot.pem");
        let mode = fs::metadata(&path).map_err(IdentityError::file("read", &path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed { path, mode });
        }
        let (robot, not_after_us) = owner(&read(&path)?).map_err(|reason| IdentityError::content(&path, reason))?;
        let pins = folder.join("documents.json");
        let pinned: Pinned = serde_json::from_str(&read(&pins)?).map_err(|error| IdentityError::content(&pins, error))?;
        let documents = DocumentKeys::new(&pinned.keys).map_err(|reason| IdentityError::content(&pins, reason))?;
        let identity = Self { folder: folder.to_owned(), robot, not_after_us, documents };
        identity.client_config()?;
        Ok(identity)
    }

    /// Writes what the control plane answered, after checking that it fits the key. What was there is replaced.
    pub(crate) fn install(folder: &Path, robot: &str, key: &KeyAndRequest, answer: &Answer) -> Result<Self> {
        let pem = format!("{}{}", key.key_pem, answer.certificate);
        let (named, _) = owner(&pem).map_err(IdentityError::answer)?;
        if named != robot || answer.name != robot {
            return Err(IdentityError::answer(format!("the certificate is for {named:?}, not for {robot:?}")));
        }
        // Key and certificate belong together, and the CA is one.
        client_config(&Roots::Ca(answer.ca.clone()), Some(&pem))?;
        DocumentKeys::new(&answer.document_keys).map_err(IdentityError::answer)?;
        let pinned = Pinned { keys: answer.document_keys.clone() };
        let pinned = serde_json::to_vec_pretty(&pinned).map_err(|error| IdentityError::answer(error.to_string()))?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(IdentityError::file("make the folder", folder))?;
        write(&folder.join("ca.pem"), answer.ca.as_bytes(), 0o644)?;
        write(&folder.join("documents.json"), &pinned, 0o644)?;
        write(&folder.join("robot.pem"), pem.as_bytes(), 0o600)?;
        Self::open(folder)
    }

    /// The robot's name, as the certificate has it.
    pub fn robot(&self) -> &str {
        &self.robot
    }

    /// When the certificate expires, microseconds since the Unix epoch.
    pub fn not_after_us(&self) -> i64 {
        self.not_after_us
    }

    /// Keys that sign documents to this robot.
    pub fn documents(&self) -> &DocumentKeys {
        &self.documents
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Key and certificate in one PEM file, for software that wants files.
    pub fn pem(&self) -> PathBuf {
        self.folder.join("robot.pem")
    }

    /// The control plane's CA as a PEM file.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// TLS towards the control plane as this robot, from what is in the folder now.
    ///
    /// # Errors
    /// Files that are not what they should be.
    pub fn client_config(&self) -> Result<Arc<rustls::ClientConfig>> {
        client_config(&Roots::Ca(read(&self.ca())?), Some(&read(&self.pem())?))
    }
}

/// Common name and end of the first certificate in a PEM.
fn owner(pem: &str) -> Result<(String, i64), String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|error| error.to_string())?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = name.ok_or("the certificate names nobody")?.to_owned();
    Ok((name, certificate.validity().not_after.timestamp().saturating_mul(1_000_000)))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(IdentityError::file("read", path))
}

/// Writes a file so that after a power cut it holds either the old or the new content.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(IdentityError::file("write", path))
}
