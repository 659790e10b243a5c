//! Files that come in parts: each part is kept as it comes, the file is put together at the end.

use bytes::Bytes;
use edgeflow_core::{
    Principal,
    artifact::{ArtifactFile, ArtifactPath},
    multipart::{KeptPart, MultipartUpload, NamedPart},
    principal::{Action, Resource},
};
use edgeflow_store::StoreError;
use futures::Stream;

use crate::app::{App, AppError, auth::random_hex, bundle_view::refuse_bundle};

/// How long an upload stays that nobody sends anything to.
const STALE_US: i64 = 24 * 3_600_000_000;
/// Uploads given up in one go.
const GIVEN_UP_AT_ONCE: u32 = 256;

impl App {
    /// Begins the upload of a file in parts. Whoever knows the upload's id may send them: nobody guesses it.
    pub async fn begin_multipart(&self, principal: &Principal, path: ArtifactPath, parts: i64) -> Result<MultipartUpload, AppError> {
        self.permit(principal, Action::WriteArtifactPath, Resource::Organisation).await?;
        refuse_bundle(&path)?;
        let organisation = principal.organisation.clone();
        let parts = MultipartUpload::check_count(parts)?;
        let upload = MultipartUpload { id: random_hex()?, organisation, path, parts, completed: false, kept: Vec::new() };
        self.stores.multiparts.open_multipart(&upload, self.now_us()).await?;
        Ok(upload)
    }

    /// Keeps a part, in the place of an earlier one of its number. On disk when this returns.
    pub async fn put_part<S, E>(&self, id: &str, number: u32, body: S) -> Result<KeptPart, AppError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let upload = self.stores.multiparts.multipart(id).await?.filter(|upload| !upload.completed).ok_or_else(no_upload)?;
        upload.check_number(number)?;
        let incoming = self.artifacts.receive(body).await?;
        let part = KeptPart { number, sha256: incoming.sha256, size_bytes: incoming.size_bytes };
        self.artifacts.place_part(&incoming, &upload.id, &part).await?;
        match self.stores.multiparts.keep_part(&upload.id, &part, self.now_us()).await {
            Ok(()) => Ok(part),
            // It was completed or given up meanwhile.
            Err(StoreError::Missing { .. }) => {
                self.artifacts.remove_parts(&upload.id).await?;
                Err(no_upload())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the file together and keeps it under its path. Asked again, it says the same.
    pub async fn complete_multipart(
        &self,
        principal: &Principal,
        path: &ArtifactPath,
        id: &str,
        named: &[NamedPart],
    ) -> Result<ArtifactFile, AppError> {
        self.permit(principal, Action::WriteArtifactPath, Resource::Organisation).await?;
        let _alone = self.joining.lock().await;
        let upload = self.upload_of(principal, path, id).await?;
        if upload.completed {
            let file = self.stores.artifacts.artifact_file(&principal.organisation, path).await?;
            return file.ok_or_else(|| AppError::NotFound { what: "artifact", name: path.to_string() });
        }
        upload.check_whole(named)?;
        let incoming = self.artifacts.receive(self.artifacts.read_parts(id, upload.kept)).await?;
        let file = self.keep_incoming(principal, path.clone(), incoming).await?;
        self.stores.multiparts.complete_multipart(id, self.now_us()).await?;
        self.artifacts.remove_parts(id).await?;
        Ok(file)
    }

    /// Gives an upload up: its parts go.
    pub async fn abort_multipart(&self, principal: &Principal, path: &ArtifactPath, id: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteArtifactPath, Resource::Organisation).await?;
        let _alone = self.joining.lock().await;
        let upload = self.upload_of(principal, path, id).await?;
        if upload.completed {
            return Err(no_upload());
        }
        self.give_up(&upload.id).await
    }

    async fn upload_of(&self, principal: &Principal, path: &ArtifactPath, id: &str) -> Result<MultipartUpload, AppError> {
        let found = self.stores.multiparts.multipart(id).await?;
        found.filter(|upload| upload.organisation == principal.organisation && upload.path == *path).ok_or_else(no_upload)
    }

    /// Gives up what nobody went on with for a day, and forgets what was completed then. Answers how many went.
    pub async fn collect_multiparts(&self) -> Result<u64, AppError> {
        let mut gone = 0;
        loop {
            let stale = self.stores.multiparts.stale_multiparts(self.now_us() - STALE_US, GIVEN_UP_AT_ONCE).await?;
            if stale.is_empty() {
                return Ok(gone);
            }
            for id in &stale {
                let _alone = self.joining.lock().await;
                self.give_up(id).await?;
            }
            gone += stale.len() as u64;
        }
    }

    /// The parts first: while its row is there, they are found again.
    async fn give_up(&self, id: &str) -> Result<(), AppError> {
        self.artifacts.remove_parts(id).await?;
        self.stores.multiparts.abort_multipart(id).await.map(drop).map_err(AppError::from)
    }
}

/// Without its id, which opens it.
fn no_upload() -> AppError {
    AppError::NotFound { what: "upload", name: "of that id and path".to_owned() }
}
