//! Captures: recordings that robots send in parts, which may be cut anywhere and go on where they were.
//!
//! A part is appended to a file of its own and is on the disk when it is acknowledged; when all of them are there and the digest
//! is the one that was offered, the file becomes an artifact, and only then it can be seen and read. Captures age, and the oldest
//! make room; their rows stay.

use bytes::Bytes;
use edgeflow_core::{
    Page, Principal, RobotId, TargetName,
    capture::{self, CaptureView, Gone, Keeping, Offered},
    principal::Action,
};
use edgeflow_wire::{CaptureInfo, CaptureProgress};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::app::{App, AppError, ArtifactBytes};

const BUFFER_BYTES: usize = 256 * 1024;

/// Captures on their way, and what is kept of those that arrived.
pub(crate) struct Captures {
    folder: PathBuf,
    keeping: Keeping,
    /// Those of which a part is being taken.
    busy: Mutex<HashSet<i64>>,
}

/// One at a time may add to a capture.
struct Turn<'a> {
    captures: &'a Captures,
    number: i64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.captures.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Captures {
    pub(crate) fn open(data_dir: &Path, keeping: Keeping) -> Result<Self, AppError> {
        let folder = data_dir.join("captures");
        fs::create_dir_all(&folder).map_err(AppError::artifact("making a folder for captures"))?;
        Ok(Self { folder, keeping, busy: Mutex::default() })
    }

    /// Where the parts of a capture are put together.
    fn part(&self, number: i64) -> PathBuf {
        self.folder.join(format!("{number}.part"))
    }

    fn turn(&self, number: i64) -> Result<Turn<'_>, AppError> {
        let free = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        if free {
            Ok(Turn { captures: self, number })
        } else {
            Err(AppError::Conflict("another part of this capture is being taken".to_owned()))
        }
    }

    fn received(&self, number: i64) -> Result<u64, AppError> {
        match fs::metadata(self.part(number)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(AppError::artifact("looking at a capture")(error)),
        }
    }
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

fn remove(path: &Path) -> Result<(), AppError> {
    fs::remove_file(path)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .map_err(AppError::artifact("removing a capture"))
}

async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(AppError::artifact(operation))?;
    done.map_err(AppError::artifact(operation))
}

impl App {
    /// Takes note of what a robot has, and says how much of it is here. Asked again it says so again.
    pub async fn offer_capture(&self, principal: &Principal, name: &TargetName, info: CaptureInfo) -> Result<CaptureProgress, AppError> {
        let robot = self.robot_itself(principal, name).await?;
        capture::check(&info, &self.captures.keeping)?;
        let offered = self.stores.captures.offer_capture(&robot, &info, self.now_us()).await?;
        self.progress(&offered)
    }

    fn progress(&self, offered: &Offered) -> Result<CaptureProgress, AppError> {
        // It arrived, whatever became of it since.
        if offered.stored_us.is_some() {
            return Ok(CaptureProgress { received_bytes: offered.info.size_bytes, stored: true });
        }
        Ok(CaptureProgress { received_bytes: self.captures.received(offered.number)?, stored: false })
    }

    /// Takes a part of a capture, which begins at `offset`. What is here already may come again; a gap may not be.
    pub async fn take_capture_part(
        &self,
        principal: &Principal,
        name: &TargetName,
        id: &str,
        offset: u64,
        part: Bytes,
    ) -> Result<CaptureProgress, AppError> {
        let robot = self.robot_itself(principal, name).await?;
        let offered = self.offered(&robot, id).await?;
        if offered.stored_us.is_some() {
            return self.progress(&offered);
        }
        if offered.gone.is_some() {
            return Err(AppError::Conflict(format!("capture {id} was given up: offer it again")));
        }
        let _turn = self.captures.turn(offered.number)?;
        let received = self.captures.received(offered.number)?;
        if offset > received {
            return Err(AppError::Conflict(format!("capture {id} has {received} bytes so far: send from there")));
        }
        let known = usize::try_from(received - offset).unwrap_or(usize::MAX).min(part.len());
        let fresh = part.slice(known..);
        let size = offered.info.size_bytes;
        if received + fresh.len() as u64 > size {
            self.forget(&offered, Gone::Mismatch).await?;
            return Err(AppError::Invalid(format!("capture {id}: more came than the {size} bytes that were offered: it was removed")));
        }
        let path = self.captures.part(offered.number);
        let (appended, received) = (path.clone(), received + fresh.len() as u64);
        blocking("keeping a part of a capture", move || append(&appended, &fresh)).await?;
        self.stores.captures.touch_capture(offered.number, self.now_us()).await?;
        if received < size {
            return Ok(CaptureProgress { received_bytes: received, stored: false });
        }
        let hashed = path.clone();
        let found = blocking("checking a capture", move || digest(&hashed)).await?;
        if found != offered.info.sha256 {
            self.forget(&offered, Gone::Mismatch).await?;
            let wanted = &offered.info.sha256;
            return Err(AppError::Invalid(format!(
                "capture {id}: what came has the SHA-256 {found}, offered was {wanted}: it was removed"
            )));
        }
        self.artifacts.keep_capture(&path, &offered).await?;
        self.stores.captures.store_capture(offered.number, self.now_us()).await?;
        remove(&path)?;
        tracing::info!(robot.name = robot.as_str(), capture.id = id, capture.bytes = size, "capture stored");
        let detail = serde_json::json!({ "capture": id, "sha256": found, "size_bytes": size });
        self.record(principal, Action::WriteLog, &format!("target/{name}"), detail).await;
        self.presence.touch(&robot);
        self.retain_captures().await?;
        Ok(CaptureProgress { received_bytes: size, stored: true })
    }

    async fn offered(&self, robot: &RobotId, id: &str) -> Result<Offered, AppError> {
        capture::check_id(id)?;
        let found = self.stores.captures.capture(robot, id).await?;
        found.ok_or_else(|| AppError::NotFound { what: "capture", name: id.to_owned() })
    }

    /// Removes a capture's bytes; its row says since when and why.
    async fn forget(&self, offered: &Offered, why: Gone) -> Result<(), AppError> {
        // The row last: cut off in between, it is done again.
        remove(&self.captures.part(offered.number))?;
        self.artifacts.remove_capture(offered).await?;
        self.stores.captures.drop_capture(offered.number, why, self.now_us()).await?;
        tracing::info!(robot.name = offered.robot.as_str(), capture.id = offered.info.id, why = why.as_str(), "capture removed");
        Ok(())
    }

    /// Captures of a robot, newest first.
    pub async fn captures(
        &self,
        principal: &Principal,
        name: &TargetName,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<CaptureView>, AppError> {
        let robot = self.readable(principal, name).await?;
        let found = self.stores.captures.captures(&robot, after, limit + 1).await?;
        let view = |offered: Offered| {
            let received = self.captures.received(offered.number).unwrap_or_default();
            capture::view(offered, received)
        };
        Ok(Page::cut(found, limit, |offered| offered.number.to_string()).map(view))
    }

    /// A capture's file: `range` picks a part out of its size, `None` takes all. Also its digest. Who reads one is on record.
    pub async fn capture_bytes(
        &self,
        principal: &Principal,
        name: &TargetName,
        id: &str,
        range: impl FnOnce(u64) -> Result<Option<Range<u64>>, AppError>,
    ) -> Result<(ArtifactBytes, String), AppError> {
        let robot = self.readable(principal, name).await?;
        let offered = self.offered(&robot, id).await?;
        match (offered.stored_us, offered.gone) {
            (Some(_), None) => {}
            (_, Some((_, why))) => {
                return Err(AppError::NotFound {
                    what: "capture here any more (gone: see its reason in the list)",
                    name: format!("{id}, {}", why.as_str()),
                });
            }
            (None, None) => return Err(AppError::Conflict(format!("capture {id} is still on its way from the robot"))),
        }
        let range = range(offered.info.size_bytes)?;
        let begins = range.as_ref().is_none_or(|range| range.start == 0);
        let bytes = self.artifacts.read_capture(&offered, range).await?;
        if begins {
            self.record(principal, Action::ReadTarget, &format!("target/{name}"), serde_json::json!({ "capture": id })).await;
        }
        Ok((bytes, offered.info.sha256))
    }

    /// Removes the captures that are old, were given up by their robots, or have to make room.
    pub async fn retain_captures(&self) -> Result<(), AppError> {
        let here = self.stores.captures.captures_here().await?;
        for (number, why) in capture::due(&here, &self.captures.keeping, self.now_us()) {
            let Some(offered) = here.iter().find(|one| one.number == number) else { continue };
            // One that a part comes of just now is left to the next round.
            let Ok(_turn) = self.captures.turn(number) else { continue };
            self.forget(offered, why).await?;
        }
        Ok(())
    }
}
