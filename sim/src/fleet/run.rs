//! One run: a control plane, a fleet that has a model, and a rollout of the next one over all of it, to its end; the control plane may be
//! killed in the middle. Then every robot is looked at.

use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

use super::check::{Bundles, Everyone, Found, misplaced, misplaced_robots, not_back};
use super::figures::{Histogram, processor_s, resident_mb};
use super::several::{Crew, Fleet};
use super::watch::Watchers;
use super::{FleetError, Traffic};
use crate::demo::DemoError;
use crate::demo::args::Paths;
use crate::demo::control_plane::{ControlPlane, Version};
use crate::demo::launch::Launch;
use crate::demo::rollouts::Rollout;
use crate::demo::training::Training;
use crate::faults::server::Server;

/// Registered name of what is rolled out.
const MODEL: &str = "label-reader";
/// The histogram of the reconciler's ticks, seconds.
const TICKS: &str = "edgeflow_rollout_tick_seconds";
/// Between two looks at how it goes: looking is not to be the load.
const LOOK: Duration = Duration::from_secs(1);
/// Between two words on how it goes.
const WORD: Duration = Duration::from_secs(5);
/// How long everybody who comes back may take to have what they missed.
const CATCH_UP: Duration = Duration::from_secs(120);
/// Misplaced robots that are named.
const NAMED: usize = 20;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The robots.
    pub crew: Crew,
    /// Bundle, such as `v2`, that is rolled out over `v1`.
    pub bundle: String,
    /// Strategy of the rollout, as in a request.
    pub strategy: serde_json::Value,
    /// Its gates.
    pub gates: serde_json::Value,
    /// The control plane is killed once while each of these stages is under way, and started again.
    pub kill_in: BTreeSet<String>,
    /// Dashboards that are open during the rollout.
    pub watchers: usize,
    /// How long the rollout may take.
    pub limit: Duration,
    /// Folder of the program `edgeflow-server`.
    pub bin_dir: PathBuf,
    /// Folder with the bundles.
    pub models_dir: PathBuf,
    /// Folder for all that is written.
    pub data_dir: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How the rollout ended: `succeeded`, `rolled_back`, ...
    pub state: String,
    /// Why a stage failed, or else how it ended, for people.
    pub cause: String,
    /// Robots that are elsewhere than they must be.
    pub misplaced: Vec<String>,
    /// Rules of the wire that the control plane broke.
    pub broken: u64,
    /// Times that the control plane was killed.
    pub killed: usize,
    /// From a plain deployment to all robots until the last of them serves it, seconds.
    pub deployment_s: f64,
    /// From the request until the rollout ended, seconds.
    pub rollout_s: f64,
    /// Ticks of the reconciler during the rollout, seconds.
    pub ticks: Histogram,
    /// Most memory that the control plane was seen to hold during the rollout, MB; and the most it ever held.
    pub rss_mb: (f64, f64),
    /// Share of a core that the control plane took during the rollout, as far as its last process tells.
    pub cores: f64,
    /// The robots' questions during the rollout.
    pub traffic: Traffic,
    /// What dashboards were told during the rollout: kind of event to how many.
    pub told: BTreeMap<String, u64>,
}

/// Runs it; `tell` gets a line now and then. Call it on a thread that lives as long as the run: the control plane takes its end for ours.
pub async fn go(plan: &Plan, tell: impl Fn(&str)) -> Result<Outcome, FleetError> {
    let logs = plan.data_dir.join("logs");
    std::fs::create_dir_all(&logs).map_err(|source| FleetError::Folder { path: logs.clone(), source })?;
    let began = Instant::now();
    let mut server = start_server(plan, &logs).await?;
    tell(&format!("the control plane is up after {:.1} s", began.elapsed().as_secs_f64()));
    let outcome = with_server(plan, &mut server, &tell).await;
    let ended = Instant::now();
    server.stop().await;
    let (stopped, all) = (ended.elapsed().as_secs_f64(), began.elapsed().as_secs_f64());
    tell(&format!("the control plane has stopped after {stopped:.1} s; {all:.1} s in all"));
    outcome
}

async fn start_server(plan: &Plan, logs: &Path) -> Result<Server, FleetError> {
    let (bin_dir, data_dir, models_dir) = (plan.bin_dir.clone(), plan.data_dir.clone(), plan.models_dir.clone());
    let paths = Paths { bin_dir, data_dir, models_dir, data_file: None, onnxruntime: None };
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let launch = Launch { paths: &paths, router: nowhere, rate_hz: 1.0, drift_window_frames: 100 };
    let token = format!("fleet-{}-{}", plan.crew.seed, std::process::id());
    let mut program = launch.server(&plan.data_dir.join("server"), 0, &token);
    if !program.path.is_file() {
        return Err(FleetError::Missing { path: program.path, remedy: "build it, or pass --bin-dir" });
    }
    // A line for each robot that comes and goes is much to write.
    program.env.push(("EDGEFLOW_LOG", "warn".into()));
    Ok(Server::of(program, logs, &token).await?)
}

fn base(server: &Server) -> String {
    format!("http://{}", server.doors().http)
}

fn failed(action: &'static str) -> impl FnOnce(DemoError) -> FleetError {
    move |source| FleetError::ControlPlane { action, source: Box::new(source) }
}

async fn with_server(plan: &Plan, server: &mut Server, tell: &impl Fn(&str)) -> Result<Outcome, FleetError> {
    let plane = server.client()?;
    let old = register(plan, &plane, "v1").await?;
    let new = register(plan, &plane, &plan.bundle).await?;
    let began = Instant::now();
    let fleet = Fleet::start(&plane, &base(server), &plan.crew).await?;
    let robots = plan.crew.robots as u64;
    tell(&format!("{robots} robots are let in after {:.1} s", began.elapsed().as_secs_f64()));
    wait("every robot to be here", CATCH_UP, async || Ok(seen(fleet.met(), robots))).await?;
    tell(&format!("every robot is here after {:.1} s", began.elapsed().as_secs_f64()));
    let deployment_s = deploy(&plane, &fleet, &old).await?;
    tell(&format!("every robot serves v1, {deployment_s:.1} s after a plain deployment"));

    fleet.put_on_trial(&new.digest);
    let left = Instant::now();
    fleet.leave();
    let here = robots - fleet.sometimes_away() as u64;
    wait("those who are away to be missed", CATCH_UP, async || {
        let text = plane.metrics().await.map_err(failed("read the metrics"))?;
        let connected: Option<u64> = text.lines().find_map(|line| line.strip_prefix("edgeflow_robots_connected ")?.trim().parse().ok());
        Ok(connected.filter(|connected| *connected <= here).map_or(Err(format!("{connected:?} are here, not {here}")), Ok))
    })
    .await?;
    tell(&format!("those who are away are missed after {:.1} s", left.elapsed().as_secs_f64()));
    fleet.let_return();
    let bundles = Bundles { new: &new.digest, old: &old.digest };
    let (mut outcome, plane) = roll_out(plan, server, &fleet, &new, tell).await?;
    let everyone = everyone(&plane, &outcome.1).await?;
    let judge = |back: bool, everyone: &Everyone| {
        let wrong = |behaviour, found: &Found| match outcome.0.state.as_str() {
            "succeeded" => misplaced(behaviour, back, found, bundles),
            _ => not_back(found, bundles),
        };
        misplaced_robots(fleet.everybody(), everyone, wrong)
    };
    let mut wrong = judge(false, &everyone);
    if wrong.is_empty() {
        fleet.come_back();
        let (began, id) = (Instant::now(), outcome.1.clone());
        loop {
            wrong = judge(true, &self::everyone(&plane, &id).await?);
            if wrong.is_empty() || began.elapsed() > CATCH_UP {
                break;
            }
            tokio::time::sleep(LOOK * 2).await;
        }
        tell(&format!(
            "{} came back; {} robots are misplaced after {:.1} s",
            fleet.sometimes_away(),
            wrong.len(),
            began.elapsed().as_secs_f64()
        ));
    }
    outcome.0.misplaced = wrong;
    outcome.0.broken = fleet.broken();
    outcome.0.deployment_s = deployment_s;
    Ok(outcome.0)
}

async fn register(plan: &Plan, plane: &ControlPlane, bundle: &str) -> Result<Version, FleetError> {
    let register = async {
        let training = Training::read(&plan.models_dir, bundle)?;
        training.log(plane, MODEL, &plan.models_dir.join(bundle), "for a fleet").await
    };
    register.await.map_err(failed("register a version"))
}

async fn deploy(plane: &ControlPlane, fleet: &Fleet, version: &Version) -> Result<f64, FleetError> {
    let (began, before) = (Instant::now(), fleet.settled());
    let made = plane.deploy(version, fleet.names()).await.map_err(failed("deploy to every robot"))?;
    let all = fleet.names().len() as u64;
    wait("every robot to take up the deployment", CATCH_UP * 2, async || Ok(seen(fleet.settled() - before, all))).await?;
    wait("the deployment to have succeeded", CATCH_UP, async || {
        let state = plane.deployment(&made.id).await.map_err(failed("read the deployment"))?.state;
        Ok(if state == "succeeded" { Ok(()) } else { Err(format!("it is {state}")) })
    })
    .await?;
    Ok(began.elapsed().as_secs_f64())
}

/// Rolls out, watches, kills, and measures until it ended; with the rollout's id and a client of the control plane as it runs now.
async fn roll_out(
    plan: &Plan,
    server: &mut Server,
    fleet: &Fleet,
    new: &Version,
    tell: &impl Fn(&str),
) -> Result<((Outcome, String), ControlPlane), FleetError> {
    let mut plane = server.client()?;
    let read = async |plane: &ControlPlane| {
        let text = plane.metrics().await.map_err(failed("read the metrics"))?;
        Ok::<_, FleetError>(Histogram::read(&text, TICKS))
    };
    let (before, mut past) = (read(&plane).await?, Histogram::default());
    let (traffic, processor) = (fleet.traffic(), server.id().and_then(processor_s).unwrap_or_default());
    let release = json!({ "kind": "model", "name": new.model, "version": new.version });
    let spec = json!({ "release": release, "strategy": plan.strategy, "gates": plan.gates, "description": "over a simulated fleet" });
    let mut began_process = Instant::now();
    let mut watchers = Watchers::open(&plane, plan.watchers);
    let (began, mut processor) = (Instant::now(), processor);
    let mut rollout = plane.roll_out(&spec).await.map_err(failed("ask for the rollout"))?;
    let (mut killed, mut most, mut told) = (BTreeSet::new(), (0.0, 0.0), Instant::now());
    let mut current = before.clone();
    while !rollout.ended() {
        if began.elapsed() > plan.limit {
            let seen = rollout.told();
            return Err(FleetError::Deadline { what: "the rollout to end", limit_s: plan.limit.as_secs(), seen });
        }
        // Whoever kills has to see a stage while it is under way.
        tokio::time::sleep(if plan.kill_in.is_empty() { LOOK } else { LOOK / 4 }).await;
        if plan.kill_in.contains(&rollout.stage) && under_way(&rollout) && killed.insert(rollout.stage.clone()) {
            past = past.and(&if killed.len() == 1 { read(&plane).await?.since(&before) } else { read(&plane).await? });
            tell(&format!("{}; the control plane is killed", rollout.told()));
            server.kill().await;
            server.restart().await?;
            fleet.lead_to(&base(server));
            plane = server.client()?;
            watchers = Watchers::open(&plane, plan.watchers);
            (began_process, processor) = (Instant::now(), 0.0);
        }
        let look =
            async || if plan.kill_in.is_empty() { plane.rollout_in_short(&rollout.id).await } else { plane.rollout(&rollout.id).await };
        rollout = look().await.map_err(failed("read the rollout"))?;
        let (now, ever) = server.id().and_then(resident_mb).unwrap_or_default();
        most = (f64::max(most.0, now), f64::max(most.1, ever));
        if told.elapsed() > WORD {
            told = Instant::now();
            tell(&format!("{:>6.1} s  {:.0} MB  {}", began.elapsed().as_secs_f64(), now, rollout.told()));
        }
        if rollout.ended() {
            current = read(&plane).await?;
        }
    }
    let rollout_s = began.elapsed().as_secs_f64();
    let ticks = past.and(&if killed.is_empty() { current.since(&before) } else { current });
    rollout = plane.rollout(&rollout.id).await.map_err(failed("read the rollout"))?;
    let failed = rollout.history.iter().rfind(|happened| happened.happened == "stage_failed");
    let cause = failed.or(rollout.history.last()).map(|happened| happened.cause.clone()).unwrap_or_default();
    tell(&format!("{} after {rollout_s:.1} s: {}; {cause}", rollout.phase, rollout.told()));
    let used = server.id().and_then(processor_s).unwrap_or_default() - processor;
    let outcome = Outcome {
        state: rollout.phase,
        cause,
        misplaced: Vec::new(),
        broken: 0,
        killed: killed.len(),
        deployment_s: 0.0,
        rollout_s,
        ticks,
        rss_mb: most,
        cores: used / began_process.elapsed().as_secs_f64(),
        traffic: fleet.traffic().since(&traffic),
        told: watchers.told(),
    };
    Ok(((outcome, rollout.id), plane))
}

/// Some robots of the stage serve what it brings and others do not yet.
fn under_way(rollout: &Rollout) -> bool {
    let stage = rollout.plan.iter().find(|stage| stage.name == rollout.stage);
    stage.is_some_and(|stage| ["updating", "updated"].iter().any(|phase| stage.robots.get(*phase).is_some_and(|count| *count > 0)))
}

/// What the control plane says of everybody.
async fn everyone(plane: &ControlPlane, rollout: &str) -> Result<Everyone, FleetError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
        desired: Desired,
        slots: BTreeMap<String, Slot>,
    }
    #[derive(Deserialize)]
    struct Desired {
        slots: BTreeMap<String, Slot>,
    }
    #[derive(Deserialize, Default)]
    struct Slot {
        digest: Option<String>,
        #[serde(default)]
        status: String,
    }
    let rows: Vec<Row> = plane.pages("/targets?limit=1000").await.map_err(failed("read the robots"))?;
    let cells = plane.rollout_robots(rollout).await.map_err(failed("read the rollout's robots"))?;
    let mut everyone = Everyone::new();
    for cell in cells {
        everyone.insert(cell.target, Found { phase: cell.phase, reason: cell.reason, ..Found::default() });
    }
    for mut row in rows {
        let Some(found) = everyone.get_mut(&row.name) else { continue };
        let slot = row.slots.remove("default").unwrap_or_default();
        (found.runs, found.status) = (slot.digest.unwrap_or_default(), slot.status);
        found.declared = row.desired.slots.remove("default").and_then(|slot| slot.digest).unwrap_or_default();
    }
    Ok(everyone)
}

/// How many there are of how many there must be.
fn seen(count: u64, all: u64) -> Result<(), String> {
    if count >= all { Ok(()) } else { Err(format!("{count} of {all}")) }
}

/// Looks until it holds; the error within is what is there so far.
async fn wait<T>(
    what: &'static str,
    limit: Duration,
    look: impl AsyncFn() -> Result<Result<T, String>, FleetError>,
) -> Result<T, FleetError> {
    let began = Instant::now();
    loop {
        match look().await? {
            Ok(value) => return Ok(value),
            Err(seen) if began.elapsed() > limit => return Err(FleetError::Deadline { what, limit_s: limit.as_secs(), seen }),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

impl Outcome {
    /// Whether it ended so, with every robot in its place and every rule of the wire kept.
    pub fn held(&self, state: &str) -> bool {
        self.state == state && self.misplaced.is_empty() && self.broken == 0
    }

    /// What did not hold, for people; empty when all did.
    pub fn complaints(&self, state: &str) -> Vec<String> {
        let mut all = Vec::new();
        if self.state != state {
            all.push(format!("the rollout is {}, not {state}: {}", self.state, self.cause));
        }
        if self.broken > 0 {
            all.push(format!("the control plane broke a rule of the wire {} times", self.broken));
        }
        let more = self.misplaced.len().saturating_sub(NAMED);
        all.extend(self.misplaced.iter().take(NAMED).cloned());
        all.extend((more > 0).then(|| format!("and {more} more robots are misplaced")));
        all
    }
}
