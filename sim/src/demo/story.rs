//! The story, step by step. Each step says what it shows, waits for it, and returns what was measured; whatever does
//! not hold is an error that ends the story.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::control_plane::{DriftReport, Version};
use super::origin::origins;
use super::robots::{Robot, View};
use super::stage::Stage;
use super::staged::{CANARY, bad, both_ends, good, show_evidence};
use super::training::Training;
use super::wait::{Look, until};
use super::{DemoError, proof};

/// Name of the model in the registry.
const MODEL: &str = "label-reader";

/// Results per robot that an accuracy must rest on.
const SAMPLES: u64 = 200;

/// Windows per robot that a word on drift must rest on.
const WINDOWS: usize = 3;

/// Results that the robot without uplink must give in the meantime.
const RESULTS_OFFLINE: u64 = 60;

/// What robot 2's camera does when it drifts: half the light, out of focus.
const DRIFTED: View = View { exposure: 0.55, blur_px: 2.0 };

/// Entries that a robot without uplink must hold back.
const HELD_BACK: u64 = 10;

/// Index of the robot whose camera drifts.
pub(crate) const DRIFTING: usize = 1;

/// Index of the robot that loses its uplink.
pub(crate) const OFFLINE: usize = 2;

/// Steps told here.
pub(crate) const STEPS: usize = 15;

/// Tells the story on a stage where everything runs and waits.
pub(crate) async fn tell(stage: &mut Stage<'_>, models_dir: &Path) -> Result<(), DemoError> {
    macro_rules! step {
        ($name:literal, $told:ident($($arg:expr),*)) => {{
            stage.tale.begin($name);
            let told = $told(stage $(, $arg)*).await;
            stage.tale.close(told)?
        }};
    }
    let v1 = step!("label-reader v1 reaches every robot", first_version(models_dir));
    let accuracy_v1 = step!("cameras stream, missions run, accuracy is measured", measure_v1(&v1));
    let v2 = step!("v2 is swapped in under the full stream", hot_swap(models_dir));
    step!("accuracy rises", measure_v2(&v2, accuracy_v1));
    step!("robot-2's camera drifts, and only its", drift(&v2));
    let cut = step!("robot-3 loses its uplink during a deployment and works on", cut(&v1, &v2));
    step!("robot-3's uplink returns: it replays and converges", reconnect(&v1, cut));
    step!("the other robots' uplinks fail in turn, each of another kind", each_uplink());
    step!("v2 goes out by canary, half and all, while robot-3 is away", good(&v2));
    show_evidence(stage);
    let v3 = step!("v3 is caught at its canary and rolled back by itself", bad(models_dir, &v2));
    show_evidence(stage);
    step!("robot-3's uplink returns: it was away through both and ends on v2", both_ends(&v2, &v3));
    step!("robot-2's drift is still seen, and only its", still_seen(&v2));
    step!("each robot's model is traced back to its training and its dataset", origins(models_dir, &v2));
    step!("frames in = results out, across every swap", all_frames());
    step!("nothing lost, nothing doubled", all_entries());
    Ok(())
}

pub(crate) async fn register(stage: &mut Stage<'_>, models_dir: &Path, bundle: &str, description: &str) -> Result<Version, DemoError> {
    let training = Training::read(models_dir, bundle)?;
    let version = training.log(&stage.control_plane, MODEL, &models_dir.join(bundle), description).await?;
    stage.note_model(&version);
    Ok(version)
}

async fn first_version(stage: &mut Stage<'_>, models_dir: &Path) -> Result<(Version, String), DemoError> {
    let version = register(stage, models_dir, "v1", "A decision tree, the first label reader: good enough to begin with").await?;
    let id = stage.deploy(&version).await?;
    let names = stage.names();
    stage.converged(&version, &names).await?;
    stage.succeeded(&id).await?;
    let detail = format!("{} of {} robots attest {}", names.len(), names.len(), short(&version.digest));
    Ok((version, detail))
}

async fn measure_v1(stage: &mut Stage<'_>, v1: &Version) -> Result<(f64, String), DemoError> {
    for robot in &stage.robots {
        wired(stage, &robot.namespace).await?;
        robot.stream(false, true).await?;
    }
    stage.stream().await?;
    let each = stage.measured(v1, SAMPLES).await?;
    stage.note_first_inference();
    let accuracy = stage.note_accuracy(v1, &each);
    let missions: u64 = stage.robots.iter().map(|robot| robot.observed().missions).sum();
    if missions == 0 {
        return Err(DemoError::NotHeld("no robot has reported a mission".to_owned()));
    }
    let detail =
        format!("v1 reads {} right; {missions} mission events; first inference after {}", scores(accuracy, &each), first_inference(stage));
    Ok((accuracy, detail))
}

/// Waits until a camera's frames and a robot's missions have somebody to go to, so that not even the first is published
/// into the void. The demo itself subscribes to missions, so the bridge's subscription is the second.
async fn wired(stage: &Stage<'_>, namespace: &str) -> Result<(), DemoError> {
    let wanted = [(format!("{namespace}/camera/image"), 1), (format!("{namespace}/mission"), 2)];
    until(
        &format!("the nodes of {namespace} to subscribe"),
        Duration::from_secs(20),
        |seen| stage.tale.waiting(seen),
        async || {
            for (topic, count) in &wanted {
                let failed = |source| DemoError::Ros { action: format!("look for subscribers of {topic}"), source };
                let there = stage.node.count_subscribers(topic).map_err(failed)?;
                if there < *count {
                    return Ok(Look::NotYet(format!("{topic} has {there} of {count} subscribers")));
                }
            }
            Ok(Look::Done(()))
        },
    )
    .await
}

async fn hot_swap(stage: &mut Stage<'_>, models_dir: &Path) -> Result<(Version, String), DemoError> {
    let version = register(stage, models_dir, "v2", "A neural network in the place of the tree, trained on the same frames").await?;
    let names = stage.names();
    let id = stage.deploy(&version).await?;
    stage.converged(&version, &names).await?;
    stage.succeeded(&id).await?;
    served(stage, &version).await?;
    let (frames, results) = stage.drain().await?;
    stage.stream().await?;
    let gap = stage.tale.report.robots.iter().filter_map(|robot| robot.swap_gap_ms_max).reduce(f64::max);
    let gap = gap.ok_or_else(|| DemoError::NotHeld("no node has reported how long its swap took".to_owned()))?;
    let detail = format!("{frames} frames in, {results} results out; no robot was without a session for more than {gap:.3} ms");
    Ok((version, detail))
}

/// Waits until every robot has published a result of this bundle, as seen from outside.
async fn served(stage: &Stage<'_>, version: &Version) -> Result<(), DemoError> {
    let what = format!("a result of {} {} from every robot", version.model, version.version);
    until(
        &what,
        Duration::from_secs(20),
        |seen| stage.tale.waiting(seen),
        async || {
            let serving = stage.robots.iter().filter(|robot| robot.observed().results_by_digest.contains_key(&version.digest)).count();
            Ok(if serving == stage.robots.len() { Look::Done(()) } else { Look::NotYet(format!("{serving} of {}", stage.robots.len())) })
        },
    )
    .await
}

async fn measure_v2(stage: &mut Stage<'_>, v2: &Version, accuracy_v1: f64) -> Result<((), String), DemoError> {
    let each = stage.measured(v2, SAMPLES).await?;
    let accuracy = stage.note_accuracy(v2, &each);
    let detail = format!("v2 reads {} right; v1 read {:.1} %", scores(accuracy, &each), 100.0 * accuracy_v1);
    if accuracy > accuracy_v1 { Ok(((), detail)) } else { Err(DemoError::NotHeld(detail)) }
}

async fn drift(stage: &mut Stage<'_>, v2: &Version) -> Result<((), String), DemoError> {
    let since_us = now_us();
    if let Some(robot) = stage.robots.get_mut(DRIFTING) {
        robot.view = DRIFTED;
        robot.stream(true, false).await?;
    }
    let detail = drift_told(stage, v2, since_us).await?;
    Ok(((), detail))
}

/// Waits until every robot has closed enough windows since a moment: those of the drifting robot must come to be
/// flagged, those of the others must never be.
async fn drift_told(stage: &Stage<'_>, version: &Version, since_us: i64) -> Result<String, DemoError> {
    let what = format!("{WINDOWS} drift windows of every robot and {}'s flag", stage.names()[DRIFTING]);
    until(
        &what,
        Duration::from_secs(90),
        |seen| stage.tale.waiting(seen),
        async || {
            let mut told = Vec::new();
            let mut done = true;
            for (index, robot) in stage.robots.iter().enumerate() {
                let reports = stage.control_plane.drift_reports(&robot.name).await?;
                let fresh: Vec<&DriftReport> =
                    reports.iter().filter(|report| report.start_us >= since_us && report.digest == version.digest).collect();
                let view = stage.control_plane.target(&robot.name).await?.drift;
                let flagged = fresh.iter().any(|report| report.flagged);
                let max_psi = fresh.iter().map(|report| report.max_psi).fold(0.0, f64::max);
                let features: BTreeSet<&str> = fresh
                    .iter()
                    .flat_map(|report| &report.features)
                    .filter(|feature| feature.flagged)
                    .map(|feature| feature.name.as_str())
                    .collect();
                let features = features.into_iter().collect::<Vec<_>>().join(", ");
                if index == DRIFTING {
                    done &= fresh.len() >= WINDOWS && view.is_some_and(|drift| drift.flagged) && flagged;
                } else if flagged || view.is_some_and(|drift| drift.flagged) {
                    let message = format!("{} is flagged ({features}; PSI {max_psi:.2}), though its camera did not drift", robot.name);
                    return Err(DemoError::NotHeld(message));
                } else {
                    done &= fresh.len() >= WINDOWS;
                }
                let word = if flagged { format!("flagged ({features})") } else { "not flagged".to_owned() };
                told.push(format!("{} {word}, PSI at most {max_psi:.2} over {} windows", robot.name, fresh.len()));
            }
            let told = told.join("; ");
            Ok(if done { Look::Done(told) } else { Look::NotYet(told) })
        },
    )
    .await
}

/// What was there when the uplink was cut.
struct Cut {
    deployment: serde_json::Value,
    acknowledged: u64,
}

/// Cuts a robot from its control plane, and waits until both know.
pub(crate) async fn away(stage: &Stage<'_>, index: usize) -> Result<(), DemoError> {
    let robot = &stage.robots[index];
    robot.connect(false).await?;
    until(
        &format!("{} to be offline", robot.name),
        Duration::from_secs(30),
        |seen| stage.tale.waiting(seen),
        async || {
            let online = stage.control_plane.target(&robot.name).await?.online;
            let connected = robot.observed().uplink.as_ref().is_some_and(|uplink| uplink.connected);
            Ok(if online || connected { Look::NotYet("its connection still stands".to_owned()) } else { Look::Done(()) })
        },
    )
    .await
}

async fn cut(stage: &mut Stage<'_>, v1: &Version, v2: &Version) -> Result<(Cut, String), DemoError> {
    away(stage, OFFLINE).await?;
    let robot = &stage.robots[OFFLINE];
    let acknowledged = robot.observed().uplink.as_ref().map_or(0, |uplink| uplink.appended() - uplink.unacknowledged());
    let deployment = stage.deploy(v1).await?;
    let reachable: Vec<String> = stage.names().into_iter().filter(|name| *name != robot.name).collect();
    stage.converged(v1, &reachable).await?;
    let before = results_of(stage, OFFLINE, &v2.digest);
    let (results, held_back) = until(
        "results of the robot without uplink",
        Duration::from_secs(30),
        |seen| stage.tale.waiting(seen),
        async || {
            let results = results_of(stage, OFFLINE, &v2.digest) - before;
            let held_back = stage.robots[OFFLINE].observed().uplink.as_ref().map_or(0, |uplink| uplink.unacknowledged());
            let done = results >= RESULTS_OFFLINE && held_back > 0;
            Ok(if done {
                Look::Done((results, held_back))
            } else {
                Look::NotYet(format!("{results} results, {held_back} entries held back"))
            })
        },
    )
    .await?;
    let pending = stage.control_plane.deployment(&deployment).await?;
    if pending.state != "progressing" {
        return Err(DemoError::NotHeld(format!("the deployment is {} although {} cannot know of it", pending.state, robot.name)));
    }
    let detail = format!(
        "{} run v1 again; {} answered {results} more frames with v2 and holds back {held_back} entries",
        reachable.join(" and "),
        robot.name
    );
    Ok((Cut { deployment, acknowledged }, detail))
}

fn results_of(stage: &Stage<'_>, robot: usize, digest: &str) -> u64 {
    stage.robots[robot].observed().results_by_digest.get(digest).copied().unwrap_or(0)
}

async fn reconnect(stage: &mut Stage<'_>, v1: &Version, cut: Cut) -> Result<((), String), DemoError> {
    let waiting = stage.robots[OFFLINE].observed().uplink.as_ref().map_or(0, |uplink| uplink.appended());
    let converged = converged_again(stage, v1).await?;
    stage.succeeded(&cut.deployment).await?;
    let replayed = waiting.saturating_sub(cut.acknowledged);
    Ok(((), format!("{replayed} entries replayed; {converged}")))
}

/// Gives the robot that was away its uplink back, and waits until it runs a version and all it kept has arrived.
pub(crate) async fn converged_again(stage: &Stage<'_>, version: &Version) -> Result<String, DemoError> {
    let robot = &stage.robots[OFFLINE];
    let began = std::time::Instant::now();
    robot.connect(true).await?;
    stage.converged(version, std::slice::from_ref(&robot.name)).await?;
    let converged = began.elapsed();
    arrived(stage, robot).await?;
    Ok(format!("v{} attested {:.1} s after the link came back", version.version, converged.as_secs_f64()))
}

/// Cuts one robot after the other from its control plane, and waits until all it kept has arrived.
async fn each_uplink(stage: &mut Stage<'_>) -> Result<((), String), DemoError> {
    let mut told = Vec::new();
    for robot in stage.robots.iter().enumerate().filter(|(index, _)| *index != OFFLINE).map(|(_, robot)| robot) {
        let by = robot.observed().uplink.as_ref().map_or_else(String::new, |uplink| uplink.by.clone());
        if by != robot.by {
            return Err(DemoError::NotHeld(format!("{} comes by {by}, not by {}", robot.name, robot.by)));
        }
        robot.connect(false).await?;
        let held_back = until(
            &format!("{} to be offline and to hold something back", robot.name),
            Duration::from_secs(30),
            |seen| stage.tale.waiting(seen),
            async || {
                let online = stage.control_plane.target(&robot.name).await?.online;
                let (connected, held_back) =
                    robot.observed().uplink.as_ref().map_or((true, 0), |uplink| (uplink.connected, uplink.unacknowledged()));
                let done = !online && !connected && held_back >= HELD_BACK;
                Ok(if done { Look::Done(held_back) } else { Look::NotYet(format!("online: {online}, {held_back} entries held back")) })
            },
        )
        .await?;
        let began = std::time::Instant::now();
        robot.connect(true).await?;
        arrived(stage, robot).await?;
        told.push(format!("{} by {by}: {held_back} entries held back, there {:.1} s after", robot.name, began.elapsed().as_secs_f64()));
    }
    Ok(((), told.join("; ")))
}

/// Waits until everything that a robot held back when this was called is acknowledged.
async fn arrived(stage: &Stage<'_>, robot: &Robot) -> Result<(), DemoError> {
    let waiting = robot.observed().uplink.as_ref().map_or(0, |uplink| uplink.appended());
    until(
        "everything held back to be acknowledged",
        Duration::from_secs(30),
        |seen| stage.tale.waiting(seen),
        async || {
            let acknowledged = robot.observed().uplink.as_ref().map_or(0, |uplink| uplink.appended() - uplink.unacknowledged());
            let online = stage.control_plane.target(&robot.name).await?.online;
            Ok(if acknowledged >= waiting && online {
                Look::Done(())
            } else {
                Look::NotYet(format!("{acknowledged} of {waiting} entries"))
            })
        },
    )
    .await
}

/// The canary was flagged while it ran v3, whose answers drift; two windows of v2 take that back.
async fn still_seen(stage: &mut Stage<'_>, v2: &Version) -> Result<((), String), DemoError> {
    until(
        "the canary's flag to go",
        Duration::from_secs(60),
        |seen| stage.tale.waiting(seen),
        async || {
            let drift = stage.control_plane.target(&stage.robots[CANARY].name).await?.drift;
            Ok(if drift.is_some_and(|drift| !drift.flagged) { Look::Done(()) } else { Look::NotYet("it is still flagged".to_owned()) })
        },
    )
    .await?;
    let detail = drift_told(stage, v2, now_us()).await?;
    Ok(((), detail))
}

async fn all_frames(stage: &mut Stage<'_>) -> Result<((), String), DemoError> {
    stage.drain().await?;
    let rows: Vec<String> = std::iter::zip(&stage.robots, &stage.tale.report.robots)
        .map(|(robot, row)| format!("{} {} = {} over {} swaps", row.name, row.frames_in, row.results_out, robot.observed().swaps()))
        .collect();
    if let Some(robot) = stage.robots.iter().find(|robot| robot.observed().swaps() < 2) {
        return Err(DemoError::NotHeld(format!("{} has swapped fewer than two times: {}", robot.name, rows.join("; "))));
    }
    Ok(((), rows.join("; ")))
}

async fn all_entries(stage: &mut Stage<'_>) -> Result<((), String), DemoError> {
    let mut told = Vec::new();
    for index in 0..stage.robots.len() {
        let robot = &stage.robots[index];
        let proof = proof::of(robot, &stage.control_plane, |seen| stage.tale.waiting(seen)).await?;
        let (sent, out_of_order) = {
            let seen = robot.observed();
            (seen.missions, seen.missions_out_of_order)
        };
        let entries = proof.entries;
        let name = robot.name.clone();
        stage.tale.report.robots[index].entries = entries;
        told.push(format!("{name} {} of {} entries, {} of {sent} mission events", entries.stored, entries.produced, proof.missions));
        if entries.missing > 0 || entries.duplicated > 0 || entries.lost_recorded > 0 || entries.stored != entries.produced {
            return Err(DemoError::NotHeld(format!("{name}: {entries:?}")));
        }
        if proof.missions != sent || out_of_order > 0 {
            return Err(DemoError::NotHeld(format!("{name}: {sent} mission events sent, {} stored", proof.missions)));
        }
    }
    Ok(((), format!("{}; 0 missing, 0 doubled, all in order", told.join("; "))))
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// The first digits of a digest, as people compare them.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

fn first_inference(stage: &Stage<'_>) -> String {
    stage.tale.report.first_inference_s.map_or_else(|| "an unknown time".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn scores(accuracy: f64, each: &[(u64, u64)]) -> String {
    let samples: u64 = each.iter().map(|(_, samples)| samples).sum();
    let robots: Vec<String> = each.iter().map(|(right, samples)| format!("{:.0}", 100.0 * *right as f64 / *samples as f64)).collect();
    format!("{:.1} % of {samples} labels ({} % per robot)", 100.0 * accuracy, robots.join(", "))
}
