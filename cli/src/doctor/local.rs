//! This machine: what a robot needs of it, and the traps that a shell's environment holds.

use edgeflow_edge_log::{ClassOverview, LogError, LogInspector};
use edgeflow_identity::Identity;
use edgeflow_ros::router;
use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Check, DoctorArguments, disk, expiry, runtime};
use crate::{
    ros::Graph,
    settings::{ConfigFile, Connection},
};

/// Where the documentation puts them.
const IDENTITY: &str = "/etc/edgeflow/identity";
const LOG: &str = "/var/lib/edgeflow/bridge";

pub(super) async fn checks(arguments: &DoctorArguments) -> Vec<Check> {
    let given = |given: &Option<PathBuf>, usual: &str| given.clone().or_else(|| Some(usual.into()).filter(|path: &PathBuf| path.is_dir()));
    let (folder, log) = (given(&arguments.identity, IDENTITY), given(&arguments.log, LOG));
    let mut checks = vec![ros(), rmw(), domain()];
    checks.extend(traps());
    checks.push(router().await);
    checks.push(runtime::check(arguments.onnxruntime.as_deref()));
    checks.push(disk::check(log.as_deref().filter(|log| log.exists()).unwrap_or(Path::new("."))));
    checks.push(clock());
    checks.push(folder.map_or_else(
        || Check::ok("identity", format!("no robot enrolled here (no {IDENTITY}); --identity names another folder")),
        |folder| identity(&folder),
    ));
    checks.push(log.map_or_else(
        || Check::ok("edge log", format!("no bridge keeps its log here (no {LOG}); --log names another folder")),
        |log| tokio::task::block_in_place(|| edge_log(&log)),
    ));
    checks.push(login());
    checks
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn ros() -> Check {
    let installed: Vec<String> = std::fs::read_dir("/opt/ros")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("setup.bash").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    match (variable("ROS_DISTRO"), installed.first()) {
        (Some(distro), _) => Check::ok("ros", format!("ROS 2 {distro} is in this shell")),
        (None, Some(distro)) => {
            Check::ok("ros", format!("ROS 2 {distro} is installed and not in this shell (source /opt/ros/{distro}/setup.bash)"))
        }
        (None, None) => Check::ok("ros", "no ROS 2 is installed: Edgeflow's programs bring their own"),
    }
}

/// Nodes on different middlewares do not see each other, and nothing says so.
fn rmw() -> Check {
    match variable("RMW_IMPLEMENTATION") {
        Some(rmw) if rmw != "rmw_zenoh_cpp" => Check::warn(
            "rmw",
            format!("RMW_IMPLEMENTATION is {rmw}: nodes of this shell do not see Edgeflow's, unless those were built with r2r for it"),
            "export RMW_IMPLEMENTATION=rmw_zenoh_cpp, or build the nodes with colcon in a shell with this one",
        ),
        Some(rmw) => Check::ok("rmw", format!("RMW_IMPLEMENTATION is {rmw}, which Edgeflow's nodes speak")),
        None if variable("ROS_DISTRO").is_some() => Check::warn(
            "rmw",
            "RMW_IMPLEMENTATION is not set: nodes of ROS 2 use its default, and do not see Edgeflow's",
            "export RMW_IMPLEMENTATION=rmw_zenoh_cpp",
        ),
        None => Check::ok("rmw", "Edgeflow's own, which speaks rmw_zenoh_cpp"),
    }
}

fn domain() -> Check {
    match variable("ROS_DOMAIN_ID").map(|text| text.parse::<u8>().ok().filter(|domain| *domain <= 232).ok_or(text)) {
        None => Check::ok("domain", "ROS_DOMAIN_ID is not set: domain 0"),
        Some(Ok(0)) => Check::ok("domain", "ROS_DOMAIN_ID is 0"),
        Some(Ok(domain)) => Check::warn(
            "domain",
            format!("ROS_DOMAIN_ID is {domain}: only nodes of this domain are seen"),
            "give every program of the robot the same, or `unset ROS_DOMAIN_ID`",
        ),
        Some(Err(text)) => {
            Check::fail("domain", format!("ROS_DOMAIN_ID is {text:?}, which is no domain"), "give a number from 0 to 232, or unset it")
        }
    }
}

/// Variables that make a session go elsewhere, or nowhere.
fn traps() -> Vec<Check> {
    let mut found = Vec::new();
    if let Some(path) = variable("ZENOH_SESSION_CONFIG_URI") {
        let file = path.strip_prefix("file://").unwrap_or(&path);
        let remedy = "unset it, or name a file that is there";
        if Path::new(file).is_file() {
            found.push(Check::warn(
                "zenoh",
                format!("ZENOH_SESSION_CONFIG_URI is set: sessions go by {file}, not by the router's address"),
                remedy,
            ));
        } else {
            found.push(Check::fail("zenoh", format!("ZENOH_SESSION_CONFIG_URI names {file}, which is not there: no node starts"), remedy));
        }
    }
    if let Some(given) = variable("ZENOH_CONFIG_OVERRIDE") {
        let remedy = "unset it, unless you know that each program wants it";
        found.push(Check::warn("zenoh", format!("ZENOH_CONFIG_OVERRIDE is set: {given}"), remedy));
    }
    if variable("ROS_LOCALHOST_ONLY").is_some_and(|value| value != "0") {
        let fact = "ROS_LOCALHOST_ONLY is set: nodes of ROS 2 on other machines are not seen";
        found.push(Check::warn("discovery", fact, "unset it, and use ROS_AUTOMATIC_DISCOVERY_RANGE where that is meant"));
    }
    found
}

async fn router() -> Check {
    let named = variable(router::ENVIRONMENT);
    let address = match named.as_deref().map(str::parse::<SocketAddr>) {
        None => router::DEFAULT_ADDRESS,
        Some(Ok(address)) => address,
        Some(Err(_)) => {
            let given = named.unwrap_or_default();
            return Check::fail(
                "router",
                format!("{} is {given:?}, which is no address", router::ENVIRONMENT),
                "give host:port, such as 127.0.0.1:7447",
            );
        }
    };
    match Graph::join(address).await {
        Ok(graph) => {
            graph.settle().await;
            let nodes = graph.node.get_node_names().map_or(0, |names| names.iter().filter(|name| !name.contains("/_")).count());
            let left = graph.leave();
            left.map_or_else(
                |error| Check::warn("router", error.to_string(), "look at the router's log"),
                |()| Check::ok("router", format!("a ROS router answers at {address}, nodes behind it: {nodes}")),
            )
        }
        Err(error) => Check::warn(
            "router",
            crate::error::with_sources(&error),
            "on a robot: start its launch file, which starts one; on a desk: `edgeflow ros router`, where you want one",
        ),
    }
}

/// What a program of the system says.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn clock() -> Check {
    let remedy =
        "run a time service (chrony, systemd-timesyncd) that reaches its servers: drift windows, lineage and certificates go by this clock";
    let (by, kept) = match (said("timedatectl", &["show", "--property=NTPSynchronized", "--value"]), said("chronyc", &["-n", "tracking"])) {
        (Some(word), _) if word == "yes" => ("timedatectl", true),
        (_, Some(tracking)) => ("chronyc", !tracking.contains("Not synchronised")),
        (Some(_), None) => ("timedatectl", false),
        (None, None) => {
            return Check::warn("clock", "neither timedatectl nor chronyc is here: nothing says whether this clock is kept", remedy);
        }
    };
    if kept {
        Check::ok("clock", format!("{by} says that it is synchronised"))
    } else {
        Check::fail("clock", format!("{by} says that it is not synchronised"), remedy)
    }
}

fn identity(folder: &Path) -> Check {
    let anew = "get a new one: `edgeflow targets bootstrap ROBOT` at a desk, then `edgeflow enroll --force` here";
    match Identity::open(folder) {
        Ok(identity) => {
            let remedy = "a bridge that reaches the control plane renews it by itself: see whether it runs and is online; if it expired, get a new one with `edgeflow targets bootstrap` and `edgeflow enroll --force`";
            expiry("identity", &format!("the certificate of {} in {}", identity.robot(), folder.display()), identity.not_after_us(), remedy)
        }
        Err(error) => {
            let exposed = matches!(error, edgeflow_identity::IdentityError::Exposed { .. });
            let remedy = if exposed { "chmod 600 it; if somebody may have read it, `edgeflow revoke ROBOT` and enroll anew" } else { anew };
            Check::fail("identity", crate::error::with_sources(&error), remedy)
        }
    }
}

fn edge_log(folder: &Path) -> Check {
    match look(folder) {
        Ok(check) => check,
        Err(error @ LogError::File { .. }) => Check::fail(
            "edge log",
            crate::error::with_sources(&error),
            "name the bridge's data_dir with --log; if it never ran here, start it",
        ),
        Err(error) => Check::fail(
            "edge log",
            crate::error::with_sources(&error),
            "restart the bridge: it sets a damaged log aside and begins a new epoch; then look at the disk (dmesg, smartctl)",
        ),
    }
}

fn look(folder: &Path) -> Result<Check, LogError> {
    let log = LogInspector::open(folder)?;
    let classes = log.overview()?;
    let sum = |of: fn(&ClassOverview) -> u64| classes.iter().map(of).sum::<u64>();
    let (held, lost) = (sum(|class| class.held), sum(|class| class.stats.lost));
    let waiting = sum(|class| class.stats.appended.saturating_sub(class.stats.acknowledged));
    let shown = log.path().display().to_string();
    let problems = log.verify(|_| {})?;
    if let Some(first) = problems.first() {
        return Ok(Check::fail(
            "edge log",
            format!("{shown} is damaged, problems found: {}; the first: {first}", problems.len()),
            "restart the bridge: it sets a damaged log aside and begins a new epoch; then look at the disk (dmesg, smartctl)",
        ));
    }
    let fact = format!("{shown} is whole: {held} entries, {waiting} of them not acknowledged, {lost} lost so far");
    Ok(if lost > 0 {
        Check::warn(
            "edge log",
            fact,
            "entries were given up for room or age: see log_budget_mb and log_max_age_h, and why the link was away so long",
        )
    } else {
        Check::ok("edge log", fact)
    })
}

fn login() -> Check {
    let remedy = "`edgeflow login URL`, where this machine shall speak to a control plane";
    match ConfigFile::load().and_then(|_| Connection::now()) {
        Ok(Connection { url, token: Some(token), .. }) => {
            Check::ok("login", format!("{} ({}), with a token ({})", url.value, url.origin, token.origin))
        }
        Ok(Connection { url, token: None, .. }) => {
            Check::ok("login", format!("nobody is logged in to {} ({}); {remedy}", url.value, url.origin))
        }
        Err(error) => Check::fail("login", crate::error::with_sources(&error), remedy),
    }
}
