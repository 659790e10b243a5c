//! One robot: a bridge, its network, its disk and clock, and a program on it that produces numbered events.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::check::Answer;
use super::machine::{FakeClock, SmallDisk};
use super::process::{Prefix, Process, bound_to_us};
use super::schedule::{Fault, Part, Planned, name_of};
use super::{FaultsError, replay};
use crate::demo::launch::{Doors, Launch, Uplink};
use crate::demo::processes::Program;
use crate::proxy::{Condition, Link, Proxy, Recording};

/// Between two events of a robot, at least and at most, milliseconds.
const PERIOD_MS: std::ops::Range<u64> = 250..650;
/// How long the local API may take: longer than it waits for the disk.
const PATIENCE: Duration = Duration::from_secs(12);
/// Between two looks at a bridge.
const SOON: Duration = Duration::from_millis(100);
/// Page of the log's file, bytes: SQLite's own choice.
const PAGE: usize = 4096;
/// Text in each event of a robot whose log is small, so that a partition is more than it can hold, bytes.
const CROWDING: usize = 60_000;
/// What is kept of what a robot sends: connections, and bytes of each.
const RECORDED: (usize, usize) = (4, 256 * 1024);

/// How robots differ.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Make {
    /// Its log holds 1 MB, and its events are long.
    pub(super) crowded: bool,
    /// Its uplinks, the most preferred one first.
    pub(super) uplinks: &'static str,
}

/// One robot.
pub(super) struct Robot {
    pub(super) name: String,
    pub(super) make: Make,
    token: String,
    logs: PathBuf,
    links: [Link; 3],
    ways: Arc<Ways>,
    secure: bool,
    recording: Recording,
    pub(super) clock: Option<FakeClock>,
    pub(super) disk: Option<SmallDisk>,
    program: Program,
    bridge: Option<Process>,
    local: Client,
    answers: Arc<Mutex<Vec<Answer>>>,
    data_dir: PathBuf,
    /// Nothing is produced while it is held for writing.
    quiet: Arc<RwLock<()>>,
    /// How many events each clone of it was given.
    clones: Vec<u64>,
}

/// Where the bridge finds its control plane: the proxies of its uplinks.
#[derive(Debug)]
pub(super) struct Ways {
    mqtt: Proxy,
    http: Proxy,
    zenoh: Proxy,
}

impl Ways {
    /// Where the control plane is now.
    pub(super) fn lead_to(&self, doors: &Doors) {
        self.mqtt.set_upstream(doors.mqtt.clone());
        self.http.set_upstream(doors.http.clone());
        self.zenoh.set_upstream(doors.zenoh.clone());
    }
}

/// What shows the control plane who a robot is.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// Its token, without TLS.
    Token(String),
    /// The folder that `edgeflow enroll` made.
    Identity(PathBuf),
}

/// What a robot is made of.
pub(super) struct Parts<'a> {
    pub(super) launch: &'a Launch<'a>,
    pub(super) index: usize,
    pub(super) seed: u64,
    pub(super) folder: &'a Path,
    pub(super) logs: &'a Path,
    pub(super) proof: Proof,
    pub(super) make: Make,
    pub(super) clock: Option<FakeClock>,
    pub(super) disk: Option<SmallDisk>,
}

/// What the bridge says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    pub(super) connected: bool,
    pub(super) epoch: String,
    pub(super) classes: Vec<ClassStatus>,
}

/// One class of its log.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ClassStatus {
    pub(super) class: String,
    pub(super) appended: u64,
    pub(super) acknowledged: u64,
}

impl Robot {
    /// A robot whose bridge does not run yet. Its data is in `folder/bridge`, which may be a small disk.
    pub(super) async fn new(parts: Parts<'_>) -> Result<Self, FaultsError> {
        let Parts { launch, index, seed, folder, logs, proof, make, clock, disk } = parts;
        let name = name_of(index);
        let seed = seed.wrapping_add(index as u64);
        let links = [seed, seed ^ 1 << 62, seed ^ 1 << 63].map(Link::seeded);
        let [mqtt_link, http_link, zenoh_link] = &links;
        let recording = Recording::of(RECORDED.0, RECORDED.1);
        let nowhere = || "127.0.0.1:1".to_owned();
        let mqtt = Proxy::recording(nowhere(), mqtt_link, recording.clone()).await.map_err(FaultsError::Proxy)?;
        let http = Proxy::start(nowhere(), http_link).await.map_err(FaultsError::Proxy)?;
        let zenoh = Proxy::start(nowhere(), zenoh_link).await.map_err(FaultsError::Proxy)?;
        let (token_file, socket) = (folder.join("token"), folder.join("bridge.sock"));
        let uplink =
            Uplink { mqtt: mqtt.local_addr().to_string(), http: http.local_addr().to_string(), zenoh: zenoh.local_addr().to_string() };
        let data_dir = folder.join("bridge");
        let (mut program, token) = match proof {
            Proof::Token(token) => {
                write_secret(&token_file, &token)?;
                let mut program = launch.bridge_node(&name, &data_dir, &token_file, &uplink);
                program.args.extend(["-p".into(), format!("uplinks:=[{}]", make.uplinks).into()]);
                (program, token)
            }
            Proof::Identity(folder) => (launch.enrolled_bridge_node(&name, &data_dir, &folder, &uplink, make.uplinks), String::new()),
        };
        let mut parameter = |name: &str, value: &str| program.args.extend(["-p".into(), format!("{name}:={value}").into()]);
        parameter("local_socket", &socket.display().to_string());
        parameter("log_budget_mb", if make.crowded { "1" } else { "64" });
        // Twenty bridges on two cores: two threads are plenty for each.
        program.env.extend([("TOKIO_WORKER_THREADS", "2".into()), ("RUST_LOG", "info".into())]);
        if let Some(clock) = &clock {
            program.env.extend(clock.environment());
        }
        let local = Client::builder().unix_socket(socket.clone()).timeout(PATIENCE).pool_max_idle_per_host(0).build();
        let local = local.map_err(|source| FaultsError::Client { path: socket, source })?;
        let (answers, logs, ways) = (Arc::default(), logs.to_owned(), Arc::new(Ways { mqtt, http, zenoh }));
        let secure = token.is_empty();
        let (bridge, quiet, clones) = (None, Arc::default(), Vec::new());
        Ok(Self {
            name,
            make,
            token,
            logs,
            links,
            ways,
            secure,
            recording,
            clock,
            disk,
            program,
            bridge,
            local,
            answers,
            data_dir,
            quiet,
            clones,
        })
    }

    /// Its way to the control plane.
    pub(super) fn ways(&self) -> Arc<Ways> {
        self.ways.clone()
    }

    /// Its answers, as they grow.
    pub(super) fn counting(&self) -> Counting {
        Counting(self.answers.clone())
    }

    /// Starts the bridge.
    pub(super) fn start(&mut self) -> Result<(), FaultsError> {
        let mut prefix: Prefix = self.disk.as_ref().map(SmallDisk::prefix).unwrap_or_default();
        prefix.extend(bound_to_us());
        self.bridge = Some(Process::start(&self.program, prefix, &self.logs)?);
        Ok(())
    }

    /// An error when the bridge ended although nobody killed it.
    pub(super) fn still_runs(&mut self) -> Result<(), FaultsError> {
        match self.bridge.as_mut().and_then(|bridge| bridge.ended().map(|status| bridge.not_up(format!("it ended with {status}")))) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Suffers a fault from its begin to its end. Gives a word on it.
    pub(super) async fn suffer(&mut self, planned: Planned, seed: u64) -> Result<String, FaultsError> {
        let told = match planned.fault {
            Fault::Partition => self.under([Condition::Cut; 3], planned.lasts).await,
            Fault::BrokerCut => self.under([Condition::Cut, Condition::Up, Condition::Cut], planned.lasts).await,
            Fault::HalfOpen => self.under([Condition::HalfOpen; 3], planned.lasts).await,
            Fault::Reset => {
                for link in &self.links {
                    link.set(Condition::Refusing);
                    link.reset().await;
                }
                self.under([Condition::Refusing; 3], planned.lasts).await
            }
            Fault::Slow { delay_ms, bytes_per_s } => {
                let delay = Duration::from_millis(delay_ms);
                let slow = Condition::Slow { delay, jitter: delay, bytes_per_s: Some(bytes_per_s) };
                self.under([slow; 3], planned.lasts).await
            }
            Fault::KillBridge => {
                if let Some(bridge) = self.bridge.take() {
                    bridge.kill().await;
                }
                tokio::time::sleep(planned.lasts).await;
                self.start()?;
                String::new()
            }
            Fault::DiskFull { kill } => {
                let Some(disk) = &self.disk else { return Ok("it has no small disk".to_owned()) };
                disk.fill()?;
                tokio::time::sleep(planned.lasts / 2).await;
                if kill {
                    if let Some(bridge) = self.bridge.take() {
                        bridge.kill().await;
                    }
                    // What the dead one held open is free now.
                    self.fill()?;
                    self.start()?;
                }
                tokio::time::sleep(planned.lasts / 2).await;
                self.still_runs()?;
                self.disk.as_ref().map_or(Ok(()), SmallDisk::free)?;
                String::new()
            }
            Fault::DamagedLog { torn, part } => {
                // Without a link meanwhile, so that there is something to lose.
                self.links.iter().for_each(|link| link.set(Condition::Cut));
                tokio::time::sleep(planned.lasts).await;
                if let Some(bridge) = self.bridge.take() {
                    bridge.kill().await;
                }
                let file = |name: &str| self.data_dir.join(name);
                let told = match part {
                    Part::Database => damage(&file("edge_log.db"), torn, seed)?,
                    Part::Journal => damage(&file("edge_log.db-wal"), torn, seed)?,
                    Part::All => {
                        for name in ["edge_log.db", "edge_log.heads"] {
                            overwrite(&file(name))?;
                        }
                        damage(&file("edge_log.db-wal"), torn, seed)?
                    }
                };
                self.links.iter().for_each(Link::restore);
                self.start()?;
                told
            }
            Fault::Clone => self.suffer_clone(planned.lasts).await?,
            Fault::ClockStep { to_s } => {
                let Some(clock) = &self.clock else { return Ok("its clock cannot be stepped".to_owned()) };
                clock.step(to_s)?;
                tokio::time::sleep(planned.lasts).await;
                if self.secure {
                    // Certificates have dates: with a wrong clock a robot has no link, until it finds the time.
                    tokio::time::sleep(planned.lasts).await;
                    clock.step(0)?;
                }
                String::new()
            }
            Fault::Replay => {
                let documents = replay::documents(&self.name, &self.recording.connections());
                let found = documents.len();
                let taken = replay::replay(&self.name, &self.token, self.ways.mqtt.local_addr(), documents, seed).await;
                format!("{found} documents were recorded, {taken} taken again")
            }
            Fault::KillServer => String::new(),
        };
        Ok(told)
    }

    /// Its disk, as it is once everything was taken, in two machines for a while. The second one is gone with what it had.
    async fn suffer_clone(&mut self, lasts: Duration) -> Result<String, FaultsError> {
        let end = Instant::now() + lasts;
        let quiet = self.quiet.clone();
        let held = quiet.write().await;
        // What is on both disks and not taken could come from both, and nobody could tell.
        while !self.status().await.is_some_and(|status| status.connected && status.is_taken()) {
            if Instant::now() > end - lasts / 2 {
                return Ok("its log was not taken in time: no clone".to_owned());
            }
            tokio::time::sleep(SOON).await;
        }
        if let Some(bridge) = self.bridge.take() {
            bridge.kill().await;
        }
        let (folder, socket) = (self.data_dir.with_file_name("clone"), self.data_dir.with_file_name("clone.sock"));
        copy(&self.data_dir, &folder)?;
        let mut program = Program { name: format!("{}.clone", self.name), ..self.program.clone() };
        for argument in &mut program.args {
            let text = argument.to_string_lossy();
            if text.starts_with("data_dir:=") {
                *argument = format!("data_dir:={}", folder.display()).into();
            } else if text.starts_with("local_socket:=") {
                *argument = format!("local_socket:={}", socket.display()).into();
            }
        }
        self.start()?;
        let clone = Process::start(&program, bound_to_us(), &self.logs)?;
        drop(held);
        let local = Client::builder().unix_socket(socket.clone()).timeout(PATIENCE).pool_max_idle_per_host(0).build();
        let local = local.map_err(|source| FaultsError::Client { path: socket, source })?;
        let (source, mut said, mut durable) = (clone_name(self.clones.len()), 0, 0);
        while Instant::now() < end {
            said += 1;
            let answer = produce_one(&local, &source, said, false).await;
            durable += u32::from(answer == Answer::Durable);
            tokio::time::sleep(Duration::from_millis(PERIOD_MS.start)).await;
        }
        clone.kill().await;
        self.clones.push(said);
        std::fs::remove_dir_all(&folder).map_err(|source| FaultsError::File { action: "remove a clone", path: folder, source })?;
        Ok(format!("the clone was given {said} events and took {durable}"))
    }

    /// How many events each clone of it was given.
    pub(super) fn clones(&self) -> &[u64] {
        &self.clones
    }

    fn fill(&self) -> Result<(), FaultsError> {
        self.disk.as_ref().map_or(Ok(()), SmallDisk::fill)
    }

    async fn under(&self, conditions: [Condition; 3], lasts: Duration) -> String {
        for (link, condition) in self.links.iter().zip(conditions) {
            link.set(condition);
        }
        tokio::time::sleep(lasts).await;
        self.links.iter().for_each(Link::restore);
        String::new()
    }

    /// Produces events until told to stop.
    pub(super) fn produce(&self, seed: u64, stop: CancellationToken) -> tokio::task::JoinHandle<()> {
        let (local, answers, name, crowded) = (self.local.clone(), self.answers.clone(), self.name.clone(), self.make.crowded);
        let quiet = self.quiet.clone();
        let mut chance = StdRng::seed_from_u64(seed);
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                let talking = quiet.read().await;
                let n = lock(&answers).len() as u64 + 1;
                let answer = produce_one(&local, "faults", n, crowded).await;
                lock(&answers).push(answer);
                drop(talking);
                tracing::trace!(name, n, ?answer);
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(chance.random_range(PERIOD_MS))) => {}
                    () = stop.cancelled() => {}
                }
            }
        })
    }

    /// The answers so far.
    pub(super) fn answers(&self) -> Vec<Answer> {
        lock(&self.answers).clone()
    }

    /// What the bridge says of itself; none when it does not answer.
    pub(super) async fn status(&self) -> Option<Status> {
        let response = self.local.get("http://bridge/v1/status").send().await.ok()?;
        response.json().await.ok()
    }

    /// Ends the bridge, as a robot is switched off.
    pub(super) async fn stop(&mut self) {
        if let Some(bridge) = self.bridge.take() {
            bridge.stop().await;
        }
        if let Some(disk) = self.disk.take() {
            disk.unmount().await;
        }
    }
}

/// The answers of one robot, for whoever shows progress.
pub(super) struct Counting(Arc<Mutex<Vec<Answer>>>);

impl Counting {
    /// Events so far, and how many of them are durable.
    pub(super) fn counts(&self) -> (usize, usize) {
        let answers = lock(&self.0);
        (answers.len(), answers.iter().filter(|answer| **answer == Answer::Durable).count())
    }
}

impl Status {
    fn is_taken(&self) -> bool {
        self.classes.iter().all(|class| class.acknowledged >= class.appended)
    }
}

/// What a clone's events say that they are from; clones are numbered from 0.
pub(super) fn clone_name(nth: usize) -> String {
    format!("clone-{nth}")
}

/// Lets the beginning of a file be anything.
fn overwrite(path: &Path) -> Result<(), FaultsError> {
    use std::io::Write;
    let failed = |source| FaultsError::File { action: "damage a log", path: path.to_owned(), source };
    let mut file = std::fs::File::options().write(true).open(path).map_err(failed)?;
    file.write_all(&[0xa5; 3 * PAGE]).and_then(|()| file.sync_all()).map_err(failed)
}

/// Lets a page of a file come back as disks bring them back: half of it zero, or some of its bytes others. The first page is spared: a
/// file without it is none. Of a journal it need be no page's whole frame.
fn damage(path: &Path, torn: bool, seed: u64) -> Result<String, FaultsError> {
    use std::io::{Read, Seek, SeekFrom, Write};
    let mut chance = StdRng::seed_from_u64(seed);
    let failed = |source| FaultsError::File { action: "damage a log", path: path.to_owned(), source };
    let file = std::fs::File::options().read(true).write(true).open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok("there is no such file".to_owned()),
        Err(error) => return Err(failed(error)),
    };
    let pages = file.metadata().map_err(failed)?.len() / PAGE as u64;
    if pages < 2 {
        return Ok("the log has no second page yet".to_owned());
    }
    let page = chance.random_range(1..pages);
    let mut bytes = vec![0; PAGE];
    let at = SeekFrom::Start(page * PAGE as u64);
    file.seek(at).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
    if torn {
        let half = if chance.random() { 0..PAGE / 2 } else { PAGE / 2..PAGE };
        bytes.get_mut(half).unwrap_or_default().fill(0);
    } else {
        for _ in 0..16 {
            let index = chance.random_range(0..PAGE);
            if let Some(byte) = bytes.get_mut(index) {
                *byte ^= chance.random_range(1..=u8::MAX);
            }
        }
    }
    file.seek(at).and_then(|_| file.write_all(&bytes)).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(format!("page {page} of {pages}"))
}

/// Copies a folder and all in it.
fn copy(from: &Path, to: &Path) -> Result<(), FaultsError> {
    let failed = |source| FaultsError::File { action: "clone a disk", path: to.to_owned(), source };
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to).map_err(failed)?;
        }
    }
    Ok(())
}

async fn produce_one(local: &Client, source: &str, n: u64, crowded: bool) -> Answer {
    let pad = if crowded { "x".repeat(CROWDING) } else { String::new() };
    let event = json!({ "source": source, "name": "tick", "data": { "n": n, "pad": pad } });
    match local.post("http://bridge/v1/events").json(&event).send().await.map(|response| response.status().as_u16()) {
        Ok(201) => Answer::Durable,
        Ok(202) => Answer::Held,
        Ok(status) => {
            tracing::warn!(n, status, "the bridge refused an event");
            Answer::None
        }
        Err(_) => Answer::None,
    }
}

pub(super) fn write_secret(path: &Path, secret: &str) -> Result<(), FaultsError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| FaultsError::File { action: "write a token", path: path.to_owned(), source };
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(secret.as_bytes()).map_err(failed)
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
