//! Addresses that open one artifact for a while, for whoever has them: programs that fetch parts of a file with bare requests.

use edgeflow_bundle::Digest;
use edgeflow_core::{
    Principal,
    artifact::{ArtifactFile, ArtifactPath},
    principal::{Action, Resource},
};
use ring::{hmac, rand::SystemRandom};
use std::ops::Range;

use crate::app::{App, AppError, ArtifactBytes, bundle_view::bundle_at};

/// How long an address opens: clients ask for another when one has expired.
const VALID_US: i64 = 300_000_000;

/// What addresses are signed with. It is made when the control plane starts: no address is worth more than its five minutes.
pub(crate) struct Key(hmac::Key);

impl Key {
    pub(crate) fn new() -> Result<Self, AppError> {
        let made = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let failed = AppError::artifact("asking the system for random bytes");
        made.map(Self).map_err(|error| failed(std::io::Error::other(error.to_string())))
    }
}

/// One artifact, open for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    /// Its bytes.
    pub sha256: Digest,
    /// How many.
    pub size_bytes: u64,
    /// Until when, microseconds since the Unix epoch.
    pub until_us: i64,
}

impl Presigned {
    fn signed(&self) -> Vec<u8> {
        format!("artifact {} {} {}", self.sha256.hex(), self.size_bytes, self.until_us).into_bytes()
    }
}

impl App {
    /// What opens the file under a path for five minutes, with its signature.
    pub async fn presign(&self, principal: &Principal, path: &ArtifactPath) -> Result<(Presigned, String), AppError> {
        self.permit(principal, Action::ReadArtifactPath, Resource::Organisation).await?;
        let file = match bundle_at(path) {
            Some((digest, Some(name))) => self.bundle_content(&principal.organisation, (&digest, name), path).await?,
            _ => self.stores.artifacts.artifact_file(&principal.organisation, path).await?,
        };
        let missing = || AppError::NotFound { what: "artifact", name: path.to_string() };
        let ArtifactFile { sha256, size_bytes, .. } = file.ok_or_else(missing)?;
        let presigned = Presigned { sha256, size_bytes, until_us: self.now_us() + VALID_US };
        let signature = hmac::sign(&self.presigning.0, &presigned.signed());
        Ok((presigned, hex::encode(signature)))
    }

    /// The bytes that an address opens; `None` when it is not one of ours, or has expired.
    pub async fn presigned_artifact(
        &self,
        presigned: &Presigned,
        signature: &str,
        range: impl FnOnce(u64) -> Result<Option<Range<u64>>, AppError>,
    ) -> Result<Option<ArtifactBytes>, AppError> {
        let signature = hex::decode(signature).unwrap_or_default();
        if hmac::verify(&self.presigning.0, &presigned.signed(), &signature).is_err() || presigned.until_us < self.now_us() {
            return Ok(None);
        }
        let range = range(presigned.size_bytes)?;
        self.artifacts.read(&presigned.sha256.hex(), presigned.size_bytes, range).await.map(Some)
    }
}
