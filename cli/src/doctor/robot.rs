//! A robot, as the control plane knows it: where it stands, and why not where it should.

use edgeflow_wire::DriftReportBody;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::{Check, expiry};
use crate::{
    api::{Client, document, encode},
    error::CliError,
    when::{now_us, when},
};

/// A fault that is older says little of now.
const RECENT_US: i64 = 24 * 3_600_000_000;
/// What to do where the robot stands.
const THERE: &str = "on the robot: `edgeflow doctor` says what is wrong with the machine, the bridge's log with the link";

#[derive(Deserialize)]
struct Target {
    online: bool,
    last_seen_us: Option<i64>,
    desired: Desired,
    observed: Option<Observed>,
    slots: BTreeMap<String, Slot>,
    policy: Option<Policy>,
    software: Option<String>,
}

#[derive(Deserialize)]
struct Desired {
    server_epoch: u64,
    generation: u64,
    slots: BTreeMap<String, DesiredSlot>,
}

#[derive(Deserialize)]
struct DesiredSlot {
    model: String,
    version: String,
    digest: String,
}

#[derive(Deserialize)]
struct Observed {
    server_epoch: u64,
    generation: u64,
}

#[derive(Deserialize)]
struct Slot {
    status: String,
    model: String,
    version: String,
    digest: String,
    reason: String,
}

#[derive(Deserialize)]
struct Policy {
    version: u64,
    status: Option<PolicyStatus>,
}

#[derive(Deserialize)]
struct PolicyStatus {
    version: u64,
    outcome: String,
    reason: String,
}

#[derive(Deserialize)]
struct Log {
    classes: Vec<Class>,
    entries: Totals,
    refused_batches: u64,
}

#[derive(Deserialize)]
struct Class {
    epoch: String,
}

#[derive(Deserialize)]
struct Totals {
    stored: u64,
    duplicated: u64,
    missing: u64,
    lost_recorded: u64,
}

#[derive(Deserialize)]
struct Certificate {
    not_after_us: i64,
    revoked_at_us: Option<i64>,
}

#[derive(Deserialize)]
struct Event {
    kind: String,
    t_us: i64,
    title: String,
    severity: String,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Reports {
    reports: Vec<DriftReportBody>,
}

pub(super) async fn checks(name: &str) -> Result<Vec<Check>, CliError> {
    let client = Client::from_environment()?;
    let path = format!("/targets/{}", encode(name));
    let target: Target = match client.get(&path, &[]).await {
        Ok(answer) => document(answer, &path)?,
        Err(CliError::Refused { status: 404, message }) => {
            return Ok(vec![Check::fail(
                "robot",
                message,
                "`edgeflow targets list` names those there are; `edgeflow targets bootstrap` lets one in",
            )]);
        }
        Err(error) => return Err(error),
    };
    // Its newest ones are mostly steps of missions.
    let newest = [("target", name.to_owned()), ("notable", "true".to_owned()), ("limit", "200".to_owned())];
    let events: Items<Event> = read(&client, "/events", &newest).await?;
    let mut checks = vec![link(&target, &events.items)];
    checks.push(software(&target));
    checks.extend(convergence(&target));
    let log: Log = read(&client, &format!("{path}/log"), &[]).await?;
    checks.extend(account(&log));
    let certificates: Vec<Certificate> = read(&client, &format!("{path}/certificates"), &[]).await?;
    checks.push(certificate(&certificates));
    checks.extend(target.policy.as_ref().map(|one| policy(one, target.online)));
    let Reports { reports } = read(&client, &format!("{path}/drift"), &[("limit", "1".to_owned())]).await?;
    checks.push(drift(reports.first()));
    checks.push(faults(&events.items));
    Ok(checks)
}

async fn read<T: serde::de::DeserializeOwned>(client: &Client, path: &str, query: &[(&str, String)]) -> Result<T, CliError> {
    document(client.get(path, query).await?, path)
}

fn link(target: &Target, events: &[Event]) -> Check {
    let seen =
        target.last_seen_us.map_or_else(|| "it was never heard of".to_owned(), |seen_us| format!("last heard of at {}", when(seen_us)));
    if target.online {
        return Check::ok("link", format!("online, {seen}"));
    }
    match target.last_seen_us {
        None => Check::fail(
            "link",
            format!("offline: {seen}"),
            "start its bridge with the token or identity it was given (`edgeflow targets bootstrap`, `edgeflow enroll`), and with this control plane's addresses",
        ),
        Some(_) => {
            let why =
                events.iter().find(|event| event.kind == "link").map(|event| format!("; its newest word on the link: {}", event.title));
            Check::fail("link", format!("offline: {seen}{}", why.unwrap_or_default()), THERE)
        }
    }
}

fn software(target: &Target) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    match &target.software {
        Some(version) if version == ours => Check::ok("version", format!("its bridge is {version}, as this program")),
        Some(version) => Check::warn(
            "version",
            format!("its bridge is {version}, this program is {ours}"),
            "install the same version on robot, server and desk",
        ),
        None => Check::ok("version", "its bridge has not said its version yet"),
    }
}

fn convergence(target: &Target) -> Vec<Check> {
    let Desired { server_epoch, generation, slots } = &target.desired;
    let observed = target.observed.as_ref().map_or((0, 0), |observed| (observed.server_epoch, observed.generation));
    let desired = (*server_epoch, *generation);
    let mut checks = Vec::new();
    if observed > desired {
        checks.push(Check::fail(
            "generation",
            format!("it took up generation {} of server epoch {}, which is later than what is declared here ({generation} of {server_epoch}): it refuses ours", observed.1, observed.0),
            "the control plane was restored from a backup without being told: start edgeflow-server once with --restored",
        ));
    } else if observed < desired && *generation > 0 {
        let fact =
            format!("generation {generation} of server epoch {server_epoch} is declared, it took up {} of {}", observed.1, observed.0);
        let waits = if target.online {
            "it takes it up in seconds: if this stays, its bridge's log says why"
        } else {
            "it takes it up when its link is back"
        };
        checks.push(Check::warn("generation", fact, waits));
    } else {
        checks.push(Check::ok("generation", format!("it took up generation {generation} of server epoch {server_epoch}, the newest")));
    }
    if slots.is_empty() {
        checks.push(Check::ok("slot", "nothing is declared for it: `edgeflow deploy` does"));
    }
    for (slot, wanted) in slots {
        let wants = format!("{slot} shall have {} {}", wanted.model, wanted.version);
        checks.push(match target.slots.get(slot) {
            None => Check::warn(
                "slot",
                format!("{wants}; it has said nothing of it yet"),
                if target.online { "wait, then look at its bridge's log" } else { THERE },
            ),
            Some(now) if now.status == "active" && now.digest == wanted.digest => Check::ok("slot", format!("{wants}, and that serves")),
            Some(now) if matches!(now.status.as_str(), "failed" | "rolled_back") && observed >= desired => Check::fail(
                "slot",
                format!("{wants}; it {}: {}{}", now.status.replace('_', " "), now.reason, serving(now)),
                "mend what it says and deploy again, or deploy the version that served before",
            ),
            Some(now) => Check::warn(
                "slot",
                format!("{wants}; it is {}{}", now.status, serving(now)),
                if target.online {
                    "wait; if it stays so, look at its bridge's and inference node's logs"
                } else {
                    "it goes on when its link is back"
                },
            ),
        });
    }
    checks
}

fn serving(now: &Slot) -> String {
    if now.digest.is_empty() { "; nothing serves".to_owned() } else { format!("; {} {} serves", now.model, now.version) }
}

fn account(log: &Log) -> Vec<Check> {
    let Totals { stored, duplicated, missing, lost_recorded } = log.entries;
    let mut epochs: Vec<&str> = log.classes.iter().map(|class| class.epoch.as_str()).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let mut checks = Vec::new();
    let defect = "this must never be: keep the robot's data_dir and the server's data folder, and report it";
    if missing + duplicated > 0 {
        checks.push(Check::fail(
            "log",
            format!("of {stored} entries {duplicated} are doubled and {missing} are missing without a record"),
            defect,
        ));
    } else if lost_recorded > 0 {
        checks.push(Check::warn(
            "log",
            format!("{stored} entries are here, {lost_recorded} were lost and are on record"),
            "`edgeflow edge-log inspect` on the robot and GET /targets/ROBOT/losses say which and why; more room (log_budget_mb) or a better link keeps them",
        ));
    } else {
        checks.push(Check::ok("log", format!("{stored} entries are here, none is missing, doubled or lost")));
    }
    checks.push(match epochs.len() {
        0 => Check::ok("epoch", "it has sent no entry yet"),
        1 => Check::ok("epoch", "its log is the one it began with"),
        epochs => Check::warn(
            "epoch",
            format!("its log began anew {} times: its disk was replaced, cloned or damaged", epochs - 1),
            "if nobody replaced it, look at its disk; what was set aside in its data_dir is read by `edgeflow edge-log export`",
        ),
    });
    if log.refused_batches > 0 {
        checks.push(Check::warn(
            "refused",
            format!("batches of it that were refused: {}", log.refused_batches),
            "two robots with one identity, or a cloned disk: give each its own with `edgeflow targets bootstrap` and `edgeflow enroll`",
        ));
    }
    checks
}

fn certificate(certificates: &[Certificate]) -> Check {
    let valid =
        certificates.iter().filter(|certificate| certificate.revoked_at_us.is_none()).map(|certificate| certificate.not_after_us).max();
    match valid {
        Some(not_after_us) => expiry(
            "certificate",
            "its certificate",
            not_after_us,
            "its bridge renews it while it is online; one that expired needs `edgeflow targets bootstrap` here and `edgeflow enroll --force` there",
        ),
        None if certificates.is_empty() => {
            Check::ok("certificate", "it has none: it comes with a token, on the machine of the control plane")
        }
        None => Check::fail(
            "certificate",
            "all of its certificates are revoked",
            "`edgeflow targets bootstrap` here and `edgeflow enroll --force` there",
        ),
    }
}

fn policy(policy: &Policy, online: bool) -> Check {
    match &policy.status {
        Some(status) if status.version == policy.version && status.outcome == "refused" => Check::fail(
            "policy",
            format!("it refuses telemetry policy {}: {}", status.version, status.reason),
            "mend it: `edgeflow policy check`, then `edgeflow policy set`",
        ),
        Some(status) if status.version == policy.version => Check::ok("policy", format!("telemetry policy {} rules", status.version)),
        _ if policy.version == 0 => Check::ok("policy", "no telemetry policy is declared"),
        _ => Check::warn(
            "policy",
            format!("telemetry policy {} is declared, and it has not said that it rules", policy.version),
            if online { "wait; then look at its bridge's log" } else { THERE },
        ),
    }
}

fn drift(report: Option<&DriftReportBody>) -> Check {
    let Some(report) = report else { return Check::ok("drift", "it has closed no drift window yet") };
    let flagged: Vec<String> = report
        .features
        .iter()
        .filter(|feature| feature.flagged)
        .map(|feature| {
            let (statistic, value, threshold) = feature.leading();
            format!("{} ({statistic} {value:.2}, threshold {threshold:.2})", feature.name)
        })
        .collect();
    let at = when(report.end_us);
    if report.flagged {
        Check::warn(
            "drift",
            format!("what its model sees drifts in {} (window until {at})", flagged.join(", ")),
            "`edgeflow drift` says whether that is its sensor or the world; clean or replace the sensor, or train on what is seen now",
        )
    } else {
        Check::ok("drift", format!("what its model sees is what it was trained on (window until {at}, {} baseline)", report.baseline))
    }
}

fn faults(events: &[Event]) -> Check {
    let recent: Vec<&Event> = events.iter().filter(|event| event.severity == "error" && event.t_us > now_us() - RECENT_US).collect();
    match recent.first() {
        None => Check::ok("faults", "no errors in its newest events of the last day"),
        Some(newest) => Check::warn(
            "faults",
            format!("errors in its newest events of the last day: {}; the newest, {}: {}", recent.len(), when(newest.t_us), newest.title),
            "`edgeflow logs ROBOT --level error --since 1d` shows them all",
        ),
    }
}
