//! Stage 0 of rollouts: recorded frames through the candidate beside what robots run now, in a process of its own (`replay_model` of
//! edgeflow_inference) that may take neither the control plane with it nor longer than it is given.
//!
//! What came of it is kept in memory: a server that starts again replays again, and the same frames say the same.

use edgeflow_core::{
    ModelName, OrganisationId, TargetName,
    artifact::ArtifactPath,
    rollout::{GateResult, Release, ReleaseKind, Replay, Rollout, Verdict, gate},
};
use edgeflow_wire::SlotSpec;
use futures::StreamExt;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use crate::app::{
    App, AppError, ArtifactBytes,
    model_check::{MEMORY, in_memory},
};

/// How long a replay may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// Most frames that are replayed.
const MOST_FRAMES: u64 = 20_000;
/// What is read of the program's answer, and of why not.
const MOST_ANSWER: u64 = 1 << 20;
const MOST_WORDS: u64 = 4096;
/// What the program may know of our environment: where libraries are.
const KEPT: [&str; 5] = ["ORT_DYLIB_PATH", "AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PATH", "TMPDIR"];
/// Replays that are remembered.
const REMEMBERED: usize = 64;

/// For how long a result is used, microseconds. Who asks later wants to know whether it is still so: what was missing may have come.
const USED_US: i64 = 60_000_000;

/// Replays that run or ran, by rollout; `None` while it runs.
pub(crate) struct Replays {
    results: Mutex<BTreeMap<i64, Option<GateResult>>>,
    /// One at a time: each may take all the memory that a program which loads models is given.
    turn: tokio::sync::Semaphore,
}

impl Default for Replays {
    fn default() -> Self {
        Self { results: Mutex::default(), turn: tokio::sync::Semaphore::new(1) }
    }
}

/// While it lives, frames of a rollout are replayed: however that ends, they can be replayed again.
struct Replaying {
    app: Arc<App>,
    id: i64,
    result: Option<GateResult>,
}

impl Drop for Replaying {
    fn drop(&mut self) {
        let mut results = self.app.replays.results.lock().unwrap_or_else(PoisonError::into_inner);
        match self.result.take() {
            Some(result) => drop(results.insert(self.id, Some(result))),
            None => drop(results.remove(&self.id)),
        }
    }
}

impl Replays {
    /// What came of it; begins it by `begin` when nobody did.
    fn result(&self, id: i64, now_us: i64, begin: impl FnOnce()) -> Option<GateResult> {
        let mut replays = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        match replays.get(&id) {
            Some(Some(known)) if now_us < known.at_us.saturating_add(USED_US) => return Some(known.clone()),
            Some(None) => return None,
            _ => {}
        }
        while replays.len() >= REMEMBERED
            && let Some(old) = replays.iter().find(|(_, result)| result.is_some()).map(|(id, _)| *id)
        {
            replays.remove(&old);
        }
        replays.insert(id, None);
        begin();
        None
    }
}

impl App {
    /// What stage 0 of a rollout says; `None` while frames are replayed, which the first call begins. `targets` are robots of the
    /// rollout: what most of them serve is what the candidate is held against, unless the rollout names it.
    pub(crate) fn rollout_replay(
        self: &Arc<Self>,
        organisation: &OrganisationId,
        rollout: &Rollout,
        targets: &[TargetName],
    ) -> Option<GateResult> {
        let Some(replay) = &rollout.spec.replay else {
            return Some(gate::not_replayed("no frames are named to be replayed".to_owned(), Verdict::Pass, self.now_us()));
        };
        let task = {
            let (app, organisation, rollout, replay, targets) =
                (Arc::clone(self), organisation.clone(), rollout.clone(), replay.clone(), targets.to_vec());
            async move {
                let mut replaying = Replaying { app: Arc::clone(&app), id: rollout.id, result: None };
                // It is never closed.
                let _turn = app.replays.turn.acquire().await;
                let folder = app.data_dir.join("replays").join(rollout.id.to_string());
                let result = app.replay_in(&folder, &organisation, &rollout, &replay, &targets).await;
                if let Err(error) = tokio::fs::remove_dir_all(&folder).await
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, folder = %folder.display(), "what was replayed was not removed");
                }
                let result = result.unwrap_or_else(|error| {
                    tracing::warn!(%error, rollout.id, "frames were not replayed");
                    gate::not_replayed(format!("frames were not replayed: {error}"), Verdict::Inconclusive, app.now_us())
                });
                replaying.result = Some(result);
            }
        };
        self.replays.result(rollout.id, self.now_us(), || drop(tokio::spawn(task)))
    }

    async fn replay_in(
        &self,
        folder: &Path,
        organisation: &OrganisationId,
        rollout: &Rollout,
        replay: &Replay,
        targets: &[TargetName],
    ) -> Result<GateResult, AppError> {
        let candidate = match (&rollout.release, rollout.spec.release.kind) {
            (Release::Slot { spec }, ReleaseKind::Model) => spec,
            _ => return Err(AppError::Invalid("only models are replayed".to_owned())),
        };
        let program = self.replay_program().ok_or_else(|| AppError::Invalid("this server has no replay_model program".to_owned()))?;
        let current = self.replayed_against(organisation, rollout, replay, targets).await?;
        let io = AppError::artifact("putting together what is replayed");
        if tokio::fs::try_exists(folder).await.map_err(&io)? {
            tokio::fs::remove_dir_all(folder).await.map_err(&io)?;
        }
        let recording = folder.join("recording.mcap");
        for (name, spec) in [("candidate", candidate), ("current", &current)] {
            self.put_bundle(&folder.join(name), spec).await?;
        }
        let bytes = self.recorded(organisation, &replay.recording).await?;
        put(&recording, bytes).await?;
        let answer = replay_with(&program, self.model_memory_bytes, folder, &recording, replay).await?;
        let numbers: gate::ReplayNumbers = serde_json::from_str(&answer)
            .map_err(|error| AppError::Invalid(format!("the program that replays frames gave no answer that reads: {error}")))?;
        let mut result = gate::judge_replay(replay, &numbers, self.now_us());
        result.reason = format!("against {}/{}: {}", current.model, current.version, result.reason);
        Ok(result)
    }

    /// The program `replay_model` beside the one that checks models, or beside this one.
    fn replay_program(&self) -> Option<PathBuf> {
        let beside = self.model_check.clone().or_else(|| std::env::current_exe().ok())?.with_file_name("replay_model");
        beside.is_file().then_some(beside)
    }

    /// What the candidate is held against: the version that is named, else what most of the robots serve.
    async fn replayed_against(
        &self,
        organisation: &OrganisationId,
        rollout: &Rollout,
        replay: &Replay,
        targets: &[TargetName],
    ) -> Result<SlotSpec, AppError> {
        let named = |name: &str| ModelName::new(name).map_err(AppError::from);
        if let Some(version) = &replay.against {
            let name = rollout.spec.release.name.as_deref().unwrap_or_default();
            return Ok(self.find_version(organisation, &named(name)?, version).await?.slot_spec()?);
        }
        let attested = self.stores.entries.attested(organisation, targets).await?;
        let mut served: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for now in attested.values().filter_map(|attested| attested.slots.get(&rollout.spec.slot)) {
            if !now.state.digest.is_empty() && !now.state.model.is_empty() {
                *served.entry((&now.state.model, &now.state.version)).or_default() += 1;
            }
        }
        let ((model, version), _) = served.into_iter().max_by_key(|(_, robots)| *robots).ok_or_else(|| {
            AppError::Invalid("no robot serves anything to hold it against: name a version in `replay.against`".to_owned())
        })?;
        Ok(self.find_version(organisation, &named(model)?, version).await?.slot_spec()?)
    }

    async fn put_bundle(&self, folder: &Path, spec: &SlotSpec) -> Result<(), AppError> {
        for file in &spec.files {
            // Paths in bundles were checked when the version was registered: relative, and nowhere up.
            put(&folder.join(&file.path), self.artifacts.read(&file.sha256, file.size_bytes, None).await?).await?;
        }
        Ok(())
    }

    /// A capture of that id, of any robot, or the file under that path.
    async fn recorded(&self, organisation: &OrganisationId, recording: &str) -> Result<ArtifactBytes, AppError> {
        let here = self.stores.captures.captures_here().await?;
        let whole = here.iter().find(|one| {
            one.robot.organisation == *organisation && one.info.id == recording && one.stored_us.is_some() && one.gone.is_none()
        });
        if let Some(capture) = whole {
            return self.artifacts.read_capture(capture, None).await;
        }
        let missing = || AppError::NotFound { what: "capture or artifact to replay", name: recording.to_owned() };
        let path: ArtifactPath = recording.parse().map_err(|_| missing())?;
        let file = self.stores.artifacts.artifact_file(organisation, &path).await?.ok_or_else(missing)?;
        self.artifacts.read(&file.sha256.hex(), file.size_bytes, None).await
    }
}

/// Writes what is read into a file, and makes its folder.
async fn put(path: &Path, mut bytes: ArtifactBytes) -> Result<(), AppError> {
    let io = AppError::artifact("putting together what is replayed");
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(&io)?;
    }
    let mut file = tokio::fs::File::create(path).await.map_err(&io)?;
    while let Some(chunk) = bytes.stream.next().await {
        file.write_all(&chunk.map_err(&io)?).await.map_err(&io)?;
    }
    file.flush().await.map_err(&io)
}

/// The program's answer.
async fn replay_with(program: &Path, memory_bytes: u64, folder: &Path, recording: &Path, replay: &Replay) -> Result<String, AppError> {
    let io = AppError::artifact("replaying frames");
    let kept = KEPT.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
    let mut child = Command::new(program)
        .arg(folder.join("candidate"))
        .arg(folder.join("current"))
        .arg(recording)
        .arg(replay.topic.as_deref().unwrap_or_default())
        .arg(replay.tolerance.to_string())
        .arg(MOST_FRAMES.to_string())
        .env_clear()
        .envs(kept)
        .env(MEMORY, memory_bytes.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(&io)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = timeout(PATIENCE, async {
        // Both at once: a program that waits for one to be read must not wait for the other.
        let (answer, words) = tokio::join!(head(stdout, MOST_ANSWER), head(stderr, MOST_WORDS));
        Ok::<_, std::io::Error>((answer?, words?, child.wait().await?))
    });
    let Ok(ended) = ended.await else {
        child.kill().await.map_err(&io)?;
        return Err(AppError::Invalid(format!("it took longer than {} s", PATIENCE.as_secs())));
    };
    let (answer, words, status) = ended.map_err(&io)?;
    match (status.success(), words.is_empty()) {
        (true, _) => Ok(answer),
        (false, true) => Err(AppError::Invalid(status.to_string())),
        (false, false) => Err(AppError::Invalid(in_memory(&words, memory_bytes))),
    }
}

/// The beginning of what a program says; the rest is read, too, so that it need not wait.
async fn head(from: Option<impl tokio::io::AsyncRead + Unpin>, most: u64) -> std::io::Result<String> {
    let Some(from) = from else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    let mut head = from.take(most);
    head.read_to_end(&mut bytes).await?;
    tokio::io::copy(head.get_mut(), &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
