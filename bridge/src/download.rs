//! Bundles come by digest, file by file, over a link that comes and goes: what is already here is not fetched again, and
//! nothing that does not match its digest ever gets a place in the cache.

use edgeflow_bundle::{BundleFile, Digest, bundle_digest};
use edgeflow_uplink::{Backoff, LinkState};
use edgeflow_wire::SlotSpec;
use futures::StreamExt;
use reqwest::{Method, StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read},
    path::{Component, Path, PathBuf},
    time::Duration,
};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt,
    sync::watch,
};

use crate::{
    BridgeError, Result, Secret, Secure,
    desired::sync_parent,
    way::{Way, innermost},
};

/// Why a bundle is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Trying again would not help.
    #[error("{reason}")]
    Refused {
        /// What is wrong and what to do.
        reason: String,
    },
    /// It may work later.
    #[error("{reason}")]
    Later {
        /// What is in the way.
        reason: String,
    },
}

fn refused(reason: impl Into<String>) -> FetchError {
    FetchError::Refused { reason: reason.into() }
}

fn later(reason: impl Into<String>) -> FetchError {
    FetchError::Later { reason: reason.into() }
}

/// Fetches bundles into `data_dir/bundles/<digest>/`.
#[derive(Debug, Clone)]
pub struct Downloader {
    way: Way,
    bundles: PathBuf,
    parts: PathBuf,
    retry: Backoff,
}

impl Downloader {
    /// Fetches from the control plane at `base`, for instance `http://127.0.0.1:5000`, or through the robot's own way to it.
    ///
    /// # Errors
    /// A data folder that cannot be used.
    pub fn new(base: &str, token: Secret, secure: Option<&Secure>, data_dir: &Path) -> Result<Self> {
        let (bundles, parts) = (data_dir.join("bundles"), data_dir.join("parts"));
        for folder in [&bundles, &parts] {
            std::fs::create_dir_all(folder).map_err(BridgeError::file("create the folder", folder))?;
        }
        let way = Way::new(base, token, secure, Duration::from_secs(5))?;
        let retry = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        Ok(Self { way, bundles, parts, retry })
    }

    /// Folder of a bundle, whether or not it is there.
    pub fn folder(&self, digest: &Digest) -> PathBuf {
        self.bundles.join(digest.hex())
    }

    /// Whether the bundle is in the cache. [`Downloader::verify`] says whether it is still whole.
    pub fn has(&self, digest: &Digest) -> bool {
        self.folder(digest).is_dir()
    }

    /// Fetches a bundle, waiting out the times without a link: as soon as the link is back it tries at once.
    /// Dropping the future stops it, and what has come so far is kept.
    ///
    /// # Errors
    /// Only what trying again would not mend.
    pub async fn fetch(&self, wanted: &Wanted, link: watch::Receiver<LinkState>) -> Result<PathBuf, FetchError> {
        self.fetch_first(std::slice::from_ref(wanted), link).await.1
    }

    /// Fetches bundles in turns, as [`Downloader::fetch`] does one, until one is here or is refused, and says which: one that the
    /// control plane does not have keeps none of the others waiting.
    pub(crate) async fn fetch_first(
        &self,
        wanted: &[Wanted],
        mut link: watch::Receiver<LinkState>,
    ) -> (Digest, Result<PathBuf, FetchError>) {
        let mut backoff = self.retry.clone();
        loop {
            // From here on a return of the link counts, also one while the attempt still fails.
            link.mark_unchanged();
            for wanted in wanted {
                match self.fetch_once(wanted).await {
                    Err(FetchError::Later { reason }) => tracing::info!(reason, digest = %wanted.digest, "the bundle is not complete yet"),
                    done => return (wanted.digest, done),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.delay()) => {}
                Some(()) = returned(&mut link) => backoff.reset(),
            }
        }
    }

    async fn fetch_once(&self, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        let folder = self.folder(&wanted.digest);
        if folder.is_dir() {
            return Ok(folder);
        }
        for file in &wanted.files {
            self.fetch_file(file).await?;
        }
        let disk = |error: std::io::Error| later(format!("could not put the bundle into {}: {error}", folder.display()));
        let staging = self.staging(wanted);
        remove_folder(&staging).await.map_err(disk)?;
        fs::create_dir_all(&staging).await.map_err(disk)?;
        // Two files of a bundle may have the same content: copies, then the parts go.
        for file in &wanted.files {
            let path = staging.join(&file.path);
            fs::copy(self.done(file), &path).await.map_err(disk)?;
            File::open(&path).await.map_err(disk)?.sync_all().await.map_err(disk)?;
        }
        fs::rename(&staging, &folder).await.map_err(disk)?;
        sync_parent(&folder).map_err(disk)?;
        for file in &wanted.files {
            remove_file(&self.done(file)).await.map_err(disk)?;
        }
        Ok(folder)
    }

    fn staging(&self, wanted: &Wanted) -> PathBuf {
        self.bundles.join(format!(".{}", wanted.digest.hex()))
    }

    fn part(&self, file: &BundleFile) -> PathBuf {
        self.parts.join(format!("{}.part", file.sha256.hex()))
    }

    fn done(&self, file: &BundleFile) -> PathBuf {
        self.parts.join(file.sha256.hex())
    }

    /// One file, continued where an earlier attempt ended. Only a file that matches its digest gets its final name.
    async fn fetch_file(&self, file: &BundleFile) -> Result<(), FetchError> {
        if fs::try_exists(self.done(file)).await.unwrap_or(false) {
            return Ok(());
        }
        let part = self.part(file);
        let disk = |error: std::io::Error| later(format!("could not write {}: {error}", part.display()));
        let (mut hasher, mut have) = hash_part(&part).await.map_err(disk)?;
        if have > file.size_bytes {
            remove_file(&part).await.map_err(disk)?;
            (hasher, have) = (Sha256::new(), 0);
        }
        let mut continued = have > 0;
        if have < file.size_bytes || file.size_bytes == 0 {
            let response = self.request(file, have).await?;
            let mut out = OpenOptions::new().create(true).append(true).open(&part).await.map_err(disk)?;
            if have > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                out.set_len(0).await.map_err(disk)?;
                (hasher, have, continued) = (Sha256::new(), 0, false);
            }
            let mut body = response.bytes_stream();
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|error| later(format!("the download of {} was cut: {}", file.path, innermost(&error))))?;
                have += chunk.len() as u64;
                if have > file.size_bytes {
                    break;
                }
                hasher.update(&chunk);
                out.write_all(&chunk).await.map_err(disk)?;
                out.flush().await.map_err(disk)?;
            }
            out.sync_all().await.map_err(disk)?;
        }
        if have < file.size_bytes {
            return Err(later(format!("the download of {} ended after {have} of {} bytes", file.path, file.size_bytes)));
        }
        let got = Digest::from(<[u8; 32]>::from(hasher.finalize()));
        if have != file.size_bytes || got != file.sha256 {
            remove_file(&part).await.map_err(disk)?;
            if continued {
                // What an earlier attempt left may have suffered on this disk, by a power cut for one.
                return Err(later(format!("{} does not match after it was continued: it is fetched anew", file.path)));
            }
            return Err(refused(format!(
                "{} does not match: expected {} bytes with {}, got {} with {got}; register the model version again",
                file.path,
                file.size_bytes,
                file.sha256,
                if have > file.size_bytes { "more".to_owned() } else { have.to_string() },
            )));
        }
        fs::rename(&part, self.done(file)).await.map_err(disk)
    }

    async fn request(&self, file: &BundleFile, have: u64) -> Result<reqwest::Response, FetchError> {
        let mut request = self.way.request(Method::GET, &format!("/api/v1/artifacts/{}", file.sha256.hex()));
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(|error| later(self.way.failure(&error)))?;
        let status = response.status();
        match status {
            StatusCode::OK => Ok(response),
            // Another range than asked for would not be this file.
            StatusCode::PARTIAL_CONTENT if begins_at(&response, have) => Ok(response),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                let part = self.part(file);
                remove_file(&part).await.map_err(|error| later(format!("could not remove {}: {error}", part.display())))?;
                Err(later(format!("the control plane has another range of {} than asked for", file.path)))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(later(format!("the control plane is busy ({status})"))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(refused(format!("the control plane refused this robot for {} ({status}): check identity_dir or token_file", file.path)))
            }
            StatusCode::NOT_FOUND => {
                Err(refused(format!("the control plane has no artifact {} ({}): register the model version again", file.sha256, file.path)))
            }
            status if status.is_client_error() => Err(refused(format!("the control plane refused {}: {status}", file.path))),
            status => Err(later(format!("the control plane answered {status} for {}", file.path))),
        }
    }

    /// Reads a cached bundle again and compares; one that rotted is removed.
    ///
    /// # Errors
    /// [`FetchError::Later`] when it is not whole: fetch it again.
    pub async fn verify(&self, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        let folder = self.folder(&wanted.digest);
        for file in &wanted.files {
            let path = folder.join(&file.path);
            let read = tokio::task::spawn_blocking(move || Digest::of_reader(std::fs::File::open(path)?)).await;
            let whole = matches!(read, Ok(Ok((digest, size))) if digest == file.sha256 && size == file.size_bytes);
            if !whole {
                remove_folder(&folder).await.map_err(|error| later(format!("could not remove {}: {error}", folder.display())))?;
                return Err(later(format!("{} of the cached bundle {} is damaged: it is fetched again", file.path, wanted.digest)));
            }
        }
        Ok(folder)
    }

    /// Removes every bundle but these, and parts of downloads that nobody finishes: `coming` are under way.
    pub async fn prune(&self, keep: &[Digest], coming: &[Wanted]) {
        let staged =
            coming.iter().map(|wanted| self.staging(wanted)).filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let names: BTreeSet<String> =
            keep.iter().chain(coming.iter().map(|wanted| &wanted.digest)).map(Digest::hex).chain(staged).collect();
        let unfinished: BTreeSet<PathBuf> =
            coming.iter().flat_map(|wanted| &wanted.files).flat_map(|file| [self.part(file), self.done(file)]).collect();
        let Ok(mut entries) = fs::read_dir(&self.bundles).await else { return };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if !names.contains(entry.file_name().to_string_lossy().as_ref())
                && let Err(error) = remove_folder(&entry.path()).await
            {
                tracing::warn!(path = %entry.path().display(), %error, "could not remove an old bundle");
            }
        }
        let Ok(mut parts) = fs::read_dir(&self.parts).await else { return };
        while let Ok(Some(entry)) = parts.next_entry().await {
            if !unfinished.contains(&entry.path())
                && let Err(error) = remove_file(&entry.path()).await
            {
                tracing::warn!(path = %entry.path().display(), %error, "could not remove an old download");
            }
        }
    }
}

/// A bundle that was asked for, checked as far as words go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its identity.
    pub digest: Digest,
    /// Its files.
    pub files: Vec<BundleFile>,
}

impl Wanted {
    /// Reads a slot's specification: the digest must be that of the list, and every path a plain file name.
    ///
    /// # Errors
    /// [`FetchError::Refused`] says what does not fit.
    pub fn new(spec: &SlotSpec) -> Result<Self, FetchError> {
        let digest: Digest = spec.digest.parse().map_err(|error| refused(format!("the slot's digest cannot be used: {error}")))?;
        let mut files: Vec<BundleFile> = Vec::with_capacity(spec.files.len());
        for file in &spec.files {
            let mut components = Path::new(&file.path).components();
            if !matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == file.path.as_str()) {
                return Err(refused(format!("{:?} is no name of a bundle's file", file.path)));
            }
            if files.iter().any(|known| known.path == file.path) {
                return Err(refused(format!("the bundle names {:?} twice", file.path)));
            }
            let sha256 = Digest::from_hex(&file.sha256).map_err(|error| refused(format!("{}: {error}", file.path)))?;
            files.push(BundleFile { path: file.path.clone(), size_bytes: file.size_bytes, sha256 });
        }
        let listed = bundle_digest(&files);
        if listed != digest {
            return Err(refused(format!(
                "the list of files has the digest {listed}, but {digest} was asked for: deploy the version again"
            )));
        }
        Ok(Self { digest, files })
    }
}

/// Waits until the link comes back; nothing when it never will.
async fn returned(link: &mut watch::Receiver<LinkState>) -> Option<()> {
    loop {
        link.changed().await.ok()?;
        if link.borrow_and_update().connected {
            return Some(());
        }
    }
}

async fn hash_part(path: &Path) -> std::io::Result<(Sha256, u64)> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let (mut hasher, mut total) = (Sha256::new(), 0);
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((hasher, 0)),
            Err(error) => return Err(error),
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((hasher, total)),
                read => {
                    hasher.update(buffer.get(..read).unwrap_or_default());
                    total += read as u64;
                }
            }
        }
    });
    read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

fn begins_at(response: &reqwest::Response, have: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")).and_then(|range| range.split('-').next()) == Some(have.to_string().as_str())
}

async fn remove_file(path: &Path) -> std::io::Result<()> {
    absent_is_fine(fs::remove_file(path).await)
}

async fn remove_folder(path: &Path) -> std::io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path).await)
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    result.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests;
