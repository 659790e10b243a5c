//! Captures on their way to the control plane: the oldest first, in parts, from where the control plane stands, over a link that
//! comes and goes, within the cap on what is sent upwards. A file goes when the control plane has all of it, and never before.

use edgeflow_uplink::{Backoff, Bandwidth, LinkState};
use edgeflow_wire::{CaptureInfo, CaptureProgress, CaptureState, MAX_CAPTURE_PART_BYTES};
use reqwest::{Method, RequestBuilder, StatusCode};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

use super::{Spool, file::digest, tell};
use crate::{Recorder, way::Way};

/// Most bytes of one part.
const PART_BYTES: usize = 256 * 1024;
const _: () = assert!(PART_BYTES <= MAX_CAPTURE_PART_BYTES);
/// After the cap lets something through, what is more valuable may go first.
const COURTESY: Duration = Duration::from_millis(20);
/// How often a file that arrived as another one is sent again.
const ATTEMPTS: u32 = 3;

/// Sends what waits in the spool.
pub(crate) struct Uploader {
    pub(crate) way: Way,
    pub(crate) robot: String,
    pub(crate) spool: Arc<Spool>,
    pub(crate) recorder: Recorder,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) link: watch::Receiver<LinkState>,
}

/// What the control plane says.
enum Answer {
    Progress(CaptureProgress),
    /// No, and why.
    Refused(StatusCode, String),
}

/// Why a capture is not there.
enum Failed {
    /// It may work later.
    Later(String),
    /// It never will.
    Refused(String),
    /// What arrived was not what was sent.
    Mismatch(String),
    /// It had to make room meanwhile.
    Gone,
}

impl Uploader {
    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        let mut waiting = self.spool.waiting();
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let mut mismatches = 0;
        loop {
            waiting.mark_unchanged();
            let spool = Arc::clone(&self.spool);
            let next = tokio::task::spawn_blocking(move || spool.list()).await.ok().and_then(|list| list.into_iter().next());
            let Some(info) = next else {
                if waiting.changed().await.is_err() {
                    return;
                }
                continue;
            };
            // From here on a return of the link counts, also one while the attempt still fails.
            self.link.mark_unchanged();
            let (state, message) = match self.upload(&info).await {
                Ok(()) => (CaptureState::Uploaded, String::new()),
                Err(Failed::Gone) => continue,
                Err(Failed::Refused(reason)) => (CaptureState::Refused, reason),
                Err(Failed::Mismatch(reason)) if mismatches + 1 >= ATTEMPTS => (CaptureState::Refused, reason),
                Err(Failed::Mismatch(reason)) => {
                    mismatches += 1;
                    tracing::warn!(id = info.id, reason, "the capture is sent again");
                    continue;
                }
                Err(Failed::Later(reason)) => {
                    tracing::info!(id = info.id, reason, "the capture is not uploaded yet");
                    tokio::select! {
                        () = tokio::time::sleep(backoff.delay()) => {}
                        () = returned(&mut self.link) => backoff.reset(),
                    }
                    continue;
                }
            };
            (mismatches, backoff) = (0, Backoff::new(Duration::from_millis(500), Duration::from_secs(60)));
            // Told first: cut off in between, it is told twice, and asked for again, which costs nothing.
            tell(&self.recorder, info.clone(), state, &message).await;
            let (spool, id) = (Arc::clone(&self.spool), info.id.clone());
            let removed = tokio::task::spawn_blocking(move || spool.remove(&id)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = removed {
                self.recorder.fault("capture", format!("{} could not be removed: {error}", self.spool.file(&info.id).display())).await;
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    }

    async fn upload(&mut self, info: &CaptureInfo) -> Result<(), Failed> {
        let path = format!("/api/v1/targets/{}/captures", self.robot);
        let offer = self.way.request(Method::POST, &path).json(info);
        let mut progress = match self.send(offer).await? {
            Answer::Progress(progress) => progress,
            // An older control plane may be updated.
            Answer::Refused(StatusCode::NOT_FOUND, said) => {
                return Err(Failed::Later(format!("the control plane takes no captures: {said}")));
            }
            Answer::Refused(_, said) => return Err(Failed::Refused(said)),
        };
        while !progress.stored {
            let part = self.part(info, progress.received_bytes).await?;
            self.wait().await;
            let bytes = part.len();
            let url = format!("{path}/{}/parts/{}", info.id, progress.received_bytes);
            let put = self.way.request(Method::PUT, &url).header(reqwest::header::CONTENT_TYPE, "application/octet-stream").body(part);
            self.bandwidth.spend(bytes, Instant::now());
            progress = match self.send(put).await? {
                Answer::Progress(progress) => progress,
                Answer::Refused(StatusCode::BAD_REQUEST, said) => return Err(self.compared(info, said).await),
                Answer::Refused(StatusCode::CONFLICT | StatusCode::NOT_FOUND, said) => return Err(Failed::Later(said)),
                Answer::Refused(_, said) => return Err(Failed::Refused(said)),
            };
        }
        Ok(())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failed> {
        let response = request.send().await.map_err(|error| Failed::Later(self.way.failure(&error)))?;
        let status = response.status();
        match status {
            StatusCode::OK => {
                let progress = response.json().await.map_err(|error| Failed::Later(self.way.failure(&error)))?;
                Ok(Answer::Progress(progress))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Failed::Later(format!("the control plane refused this robot ({status}): check identity_dir or token_file")))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Failed::Later(format!("the control plane is busy ({status})")))
            }
            status if status.is_client_error() => {
                let body: serde_json::Value = response.json().await.unwrap_or_default();
                let said = body.pointer("/error/message").and_then(serde_json::Value::as_str);
                Ok(Answer::Refused(status, said.map_or_else(|| format!("the control plane does not take it: {status}"), str::to_owned)))
            }
            status => Err(Failed::Later(format!("the control plane answered {status}"))),
        }
    }

    /// Bytes of the file from there on; none at its end.
    async fn part(&self, info: &CaptureInfo, offset: u64) -> Result<Vec<u8>, Failed> {
        let (path, most) = (self.spool.file(&info.id), self.bandwidth.part_bytes().min(PART_BYTES));
        let read =
            tokio::task::spawn_blocking(move || read_part(path, offset, most)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failed::Gone,
            _ => Failed::Later(format!("it could not be read: {error}")),
        })
    }

    /// Waits until the cap lets something through that nothing more valuable takes.
    async fn wait(&mut self) {
        while let Some(due) = self.bandwidth.wait(Instant::now()) {
            tokio::time::sleep_until(due.into()).await;
            tokio::time::sleep(COURTESY).await;
        }
    }

    /// Whether it was damaged here or on its way.
    async fn compared(&self, info: &CaptureInfo, said: String) -> Failed {
        let path = self.spool.file(&info.id);
        let found = tokio::task::spawn_blocking(move || digest(&path)).await;
        match found {
            Ok(Ok(found)) if found == (info.sha256.clone(), info.size_bytes) => Failed::Mismatch(said),
            Ok(Ok(_)) => Failed::Refused("the file was damaged on the robot's disk".to_owned()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Failed::Gone,
            other => Failed::Later(format!("it could not be read: {other:?}")),
        }
    }
}

fn read_part(path: PathBuf, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut part = Vec::with_capacity(most);
    file.take(most as u64).read_to_end(&mut part)?;
    Ok(part)
}

/// Returns when the link comes back, if it does.
async fn returned(link: &mut watch::Receiver<LinkState>) {
    while link.changed().await.is_ok() {
        if link.borrow_and_update().connected {
            return;
        }
    }
    std::future::pending().await
}
