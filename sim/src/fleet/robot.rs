//! One robot of a fleet: it asks what is new, takes it up step by step, and says so. It speaks the wire as a bridge does by HTTP, but
//! keeps its log in memory and fetches no bundle: it answers as if it had, since ten thousand downloads over loopback measure the disk.

use edgeflow_wire::{
    Class, DeploymentStatusBody, DesiredState, EntryBody, MissionBody, MissionKind, ObservedState, SlotSpec, SlotState, SlotStatus,
    StateBody, Version, decode,
};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::door::{Door, Who};
use super::log::{Log, Moment};
use super::says::{self, Seen, Worth};

/// The slot that models go into.
const SLOT: &str = "default";
/// Software that robots say they are.
const SOFTWARE: &str = concat!("edgeflow_fleet ", env!("CARGO_PKG_VERSION"));
/// Frames per second of each robot's camera.
const RATE_HZ: f64 = 20.0;
/// What a robot that breaks says.
pub(crate) const BREAKS: &str = "the session could not be built: 512 MB of memory wanted, 96 MB free";
/// Before a robot without an answer tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Times that a document is sent before a robot does something else meanwhile.
const AT_ONCE: usize = 4;

/// How fast robots live.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Between two questions. The control plane takes a robot for gone after three times as long a silence, at least 10 s.
    pub ask: Duration,
    /// Fetching and checking a bundle takes about so long, and building its session as long again.
    pub apply: Duration,
    /// Between two reports on the model.
    pub report: Duration,
    /// A mission ends with each report.
    pub missions: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { ask: seconds(7), apply: Duration::from_millis(800), report: seconds(45), missions: false }
    }
}

/// Whether those who are sometimes away are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Weather {
    /// Everybody is here.
    Fair,
    /// All of them are away.
    Foul,
    /// From this moment on some of them return.
    Clearing(Instant),
}

/// What the robots of a fleet share.
pub(crate) struct Common {
    pub(crate) door: Door,
    pub(crate) pace: Pace,
    pub(crate) weather: watch::Receiver<Weather>,
    /// Digest that is on trial: what robots that misbehave do so at.
    pub(crate) tried: RwLock<String>,
    /// Version to what it is worth; sound when it is not here.
    pub(crate) worth: BTreeMap<String, Worth>,
    /// Rules of the wire that the control plane broke.
    pub(crate) broken: AtomicU64,
    /// Times that a robot took something up, or failed to.
    pub(crate) settled: AtomicU64,
    /// Robots that were answered at least once.
    pub(crate) met: AtomicU64,
}

/// One robot.
pub(crate) struct Robot {
    who: Who,
    behaviour: Behaviour,
    common: Arc<Common>,
    log: Log,
    rng: SmallRng,
    booted: Instant,
    /// Desired state it asks beyond.
    known: Option<Version>,
    /// Desired state it took up.
    observed: Version,
    slots: BTreeMap<String, SlotState>,
    seen: Seen,
    /// The connection stands: it said hello.
    greeted: bool,
    met: bool,
    /// It says nothing any more.
    mute: bool,
    missions: u64,
    reported: Instant,
    report_at: Instant,
}

impl Robot {
    pub(crate) fn new(who: Who, behaviour: Behaviour, common: Arc<Common>, rng: SmallRng) -> Self {
        let (now, report) = (Instant::now(), common.pace.report);
        let log = Log::new(format!("{}-1", who.name));
        let mut robot = Self {
            who,
            behaviour,
            common,
            log,
            rng,
            booted: now,
            known: None,
            observed: Version::default(),
            slots: BTreeMap::new(),
            seen: Seen::default(),
            greeted: false,
            met: false,
            mute: false,
            missions: 0,
            reported: now,
            report_at: now,
        };
        let first = robot.about(report);
        robot.report_at += first;
        robot
    }

    /// Lives until it is dropped.
    pub(crate) async fn live(mut self) {
        // Not all at once.
        let first = self.common.pace.ask.mul_f64(self.rng.random());
        tokio::time::sleep(first).await;
        loop {
            if self.wait_for_fair_weather().await {
                self.greeted = false;
            }
            let rest = if self.round().await { self.common.pace.ask.mul_f64(self.rng.random_range(0.9..1.0)) } else { self.about(RETRY) };
            tokio::time::sleep(rest).await;
        }
    }

    /// Returns once the robot may be here, and whether it was away.
    async fn wait_for_fair_weather(&self) -> bool {
        let mut weather = self.common.weather.clone();
        let mut was_away = false;
        loop {
            let now = *weather.borrow_and_update();
            let until = match (now, self.behaviour) {
                (Weather::Foul, Behaviour::Returns { .. } | Behaviour::Away) | (Weather::Clearing(_), Behaviour::Away) => None,
                (Weather::Clearing(since), Behaviour::Returns { after }) if since.elapsed() < after => Some(since + after),
                _ => return was_away,
            };
            was_away = true;
            let returns = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = returns => {}
                changed = weather.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }

    /// Greets, asks, takes up, reports, says what is left to say. Whether the control plane was there, and has it all.
    async fn round(&mut self) -> bool {
        if !self.greeted && !self.mute && !self.greet().await {
            return false;
        }
        let Some(news) = self.common.door.news(&self.who, self.known).await else {
            self.greeted = false;
            return false;
        };
        if !std::mem::replace(&mut self.met, true) {
            self.common.met.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(envelope) = news.desired {
            match decode::<DesiredState>(envelope.payload.as_bytes()) {
                Ok(desired) if desired.target == self.who.name && desired.version > self.observed => self.take_up(desired).await,
                Ok(desired) => self.breaks(&format!("{} got {:?} of {}", self.who.name, desired.version, desired.target)),
                Err(error) => self.breaks(&error.to_string()),
            }
        }
        if Instant::now() >= self.report_at {
            self.report();
        }
        self.say().await
    }

    async fn greet(&mut self) -> bool {
        let hello = self.log.hello(SOFTWARE, self.now());
        let Some(ack) = self.common.door.send(&self.who, &hello).await else { return false };
        if let Err(broken) = self.log.take(&ack) {
            self.breaks(&broken.to_string());
        }
        self.greeted = true;
        true
    }

    /// Says all that is held. Whether the control plane has it.
    async fn say(&mut self) -> bool {
        if self.mute {
            return true;
        }
        for _ in 0..AT_ONCE {
            let Some(batch) = self.log.batch() else { return true };
            let Some(ack) = self.common.door.send(&self.who, &batch).await else {
                self.greeted = false;
                return false;
            };
            if let Err(broken) = self.log.take(&ack) {
                self.breaks(&broken.to_string());
                self.greeted = false;
                return false;
            }
        }
        self.log.batch().is_none()
    }

    /// Becomes what it shall be, as far as it does.
    async fn take_up(&mut self, desired: DesiredState) {
        self.known = Some(desired.version);
        let wanted = desired.slots.get(SLOT);
        let on_trial = wanted.is_some_and(|spec| spec.digest == *self.common.tried.read().unwrap_or_else(PoisonError::into_inner));
        // Whoever fell silent stays so: nobody comes to repair it.
        self.mute |= on_trial && self.behaviour == Behaviour::Silent;
        if self.mute {
            return;
        }
        match wanted {
            Some(spec) if self.slots.get(SLOT).is_none_or(|slot| slot.digest != spec.digest || slot.status != SlotStatus::Active) => {
                self.apply(spec, desired.version, on_trial && self.behaviour == Behaviour::Breaks).await;
            }
            Some(_) => {}
            None => drop(self.slots.remove(SLOT)),
        }
        self.observed = desired.version;
        let state = StateBody {
            observed: ObservedState { version: self.observed },
            slots: self.slots.clone(),
            software: SOFTWARE.to_owned(),
            ..StateBody::default()
        };
        self.log.append(Class::Event, self.now(), EntryBody::State(state));
        self.common.settled.fetch_add(1, Ordering::Relaxed);
    }

    /// Fetches, checks, builds, serves: every step is said, two at a time, since a bridge gathers what comes at once.
    async fn apply(&mut self, spec: &SlotSpec, version: Version, breaks: bool) {
        let running = self.slots.get(SLOT).map(|slot| slot.digest.clone()).unwrap_or_default();
        // It served this before (and failed at something since): its bundle is there and its session is, too.
        if running != spec.digest {
            for steps in [[SlotStatus::Pending, SlotStatus::Downloading], [SlotStatus::Verifying, SlotStatus::Warming]] {
                for status in steps {
                    self.step(spec, version, status, &running);
                }
                // When nobody listens it is said later.
                self.say().await;
                let takes = self.about(self.common.pace.apply);
                tokio::time::sleep(takes).await;
            }
        }
        if breaks {
            self.step(spec, version, SlotStatus::Failed, &running);
            let slot = self.slots.entry(SLOT.to_owned()).or_insert_with(|| slot(SlotStatus::Failed, None));
            (slot.status, slot.reason) = (SlotStatus::Failed, BREAKS.to_owned());
            return;
        }
        self.step(spec, version, SlotStatus::Active, &spec.digest);
        self.slots.insert(SLOT.to_owned(), slot(SlotStatus::Active, Some(spec)));
        if running != spec.digest {
            // Frames from here on are of another model, and soon there is something to say of it.
            (self.seen, self.reported) = (Seen::default(), Instant::now());
            self.report_at = self.reported + self.about(self.common.pace.report / 8);
        }
    }

    fn step(&mut self, spec: &SlotSpec, version: Version, status: SlotStatus, running: &str) {
        let body = DeploymentStatusBody {
            for_version: version,
            slot: SLOT.to_owned(),
            status,
            model: spec.model.clone(),
            model_version: spec.version.clone(),
            digest: spec.digest.clone(),
            running_digest: running.to_owned(),
            reason: if status == SlotStatus::Failed { BREAKS.to_owned() } else { String::new() },
            ..DeploymentStatusBody::default()
        };
        self.log.append(Class::Critical, self.now(), EntryBody::DeploymentStatus(body));
    }

    /// How its model does.
    fn report(&mut self) {
        let now = self.now();
        let period = self.reported.elapsed();
        self.reported = Instant::now();
        self.report_at = self.reported + self.about(self.common.pace.report);
        let Some(runs) = self.slots.get(SLOT).filter(|slot| !slot.digest.is_empty()).cloned() else { return };
        let worth = self.common.worth.get(&runs.version).copied().unwrap_or(Worth::SOUND);
        let (frames, period_us) = ((period.as_secs_f64() * RATE_HZ) as u64, period.as_micros() as i64);
        if frames == 0 || self.mute {
            return;
        }
        self.seen.frames(frames, &worth, &mut self.rng);
        let summary = says::summary(&runs, &worth, frames, period_us, &mut self.rng);
        let window = self.seen.window(&runs, &worth, (now.t_us - period_us, now.t_us), &mut self.rng);
        self.log.append(Class::Summary, now, EntryBody::InferenceSummary(summary));
        self.log.append(Class::Summary, now, EntryBody::Evaluation(self.seen.evaluation(&runs)));
        self.log.append(Class::Summary, now, EntryBody::DriftReport(window));
        if self.common.pace.missions {
            let right = self.rng.random_bool(worth.accuracy);
            for step in [MissionKind::Started, if right { MissionKind::Succeeded } else { MissionKind::Failed }] {
                self.missions += 1;
                let mission_id = format!("round-{}", self.missions.div_ceil(2));
                let progress = if step == MissionKind::Succeeded { 1.0 } else { 0.0 };
                let body = MissionBody { sequence: self.missions, mission_id, step, progress, detail: String::new() };
                self.log.append(Class::Event, now, EntryBody::Mission(body));
            }
        }
    }

    fn breaks(&self, what: &str) {
        tracing::error!(robot = self.who.name, what, "the control plane broke a rule of the wire");
        self.common.broken.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> Moment {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let t_us = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, micros);
        Moment { t_us, boot_us: micros(self.booted.elapsed()) }
    }

    /// About as long, give or take a half.
    fn about(&mut self, long: Duration) -> Duration {
        long.mul_f64(self.rng.random_range(0.5..1.5))
    }
}

fn slot(status: SlotStatus, spec: Option<&SlotSpec>) -> SlotState {
    let (model, version, digest) = spec.map(|spec| (spec.model.clone(), spec.version.clone(), spec.digest.clone())).unwrap_or_default();
    SlotState { status, model, version, digest, ..SlotState::default() }
}
