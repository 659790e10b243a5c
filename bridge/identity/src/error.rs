//! What can be wrong with an identity.

use std::path::{Path, PathBuf};

/// Result of this crate's operations.
pub type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// Why a robot cannot prove who it is, or does not believe what it hears.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file or folder could not be used.
    #[error("could not {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {reason}: enrol the robot again with `edgeflow enroll`")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Others can read the key.
    #[error("{path} can be read by others (mode {mode:o}): `chmod 600` it, and enrol the robot again if somebody may have read it")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is an identity already.
    #[error("{path} is there already: a robot that enrols anew needs an empty folder, or --force to replace what it was")]
    Taken {
        /// Which file.
        path: PathBuf,
    },
    /// A bootstrap token that is none.
    #[error("the bootstrap token cannot be used: {reason}; make one with `edgeflow targets bootstrap`")]
    Token {
        /// What is wrong with it.
        reason: String,
    },
    /// An address that cannot be reached over TLS.
    #[error("bad address {address:?}: use https://host:port, for instance https://fleet.example:5000")]
    Address {
        /// As given.
        address: String,
    },
    /// A key could not be made, or a request for it.
    #[error("could not make a key")]
    Key(#[source] rcgen::Error),
    /// Certificates that rustls does not take.
    #[error("the certificates cannot be used")]
    Tls(#[source] rustls::Error),
    /// No verifier can be made of the CA.
    #[error("the control plane's CA cannot be used")]
    Roots(#[source] rustls::server::VerifierBuilderError),
    /// The control plane does not answer.
    #[error("no answer from {address}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// Why.
        reason: String,
    },
    /// The control plane refused.
    #[error("the control plane says: {message} ({status})")]
    Refused {
        /// Its words.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// The control plane answered something that must not be believed.
    #[error("the control plane's answer is not to be believed: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
}

impl IdentityError {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn content(path: &Path, reason: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn answer(reason: impl ToString) -> Self {
        Self::Answer { reason: reason.to_string() }
    }
}
