//! The control plane, and the way to it.

use edgeflow_identity::{IdentityError, Roots, peer_certificate, split_https};
use serde::Deserialize;
use std::{fs, time::Duration};

use super::{Check, Verdict, disk, expiry};
use crate::{
    api::Client,
    error::{CliError, with_sources},
    settings::Connection,
    when::now_us,
};

/// Clocks that differ by more disturb: certificates begin and end elsewhere, ages are wrong.
const SKEW_WARN_S: i64 = 2;
const SKEW_FAIL_S: i64 = 60;

const UNREACHABLE: &str = "see that edgeflow-server runs there and that nothing between (firewall, VPN) stops it; `edgeflow config show` says where the address comes from";

#[derive(Deserialize)]
struct Server {
    version: String,
    server_epoch: u64,
    started_at_us: i64,
}

#[derive(Deserialize)]
struct Health {
    disk: Disk,
    stores: Vec<Store>,
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Disk {
    free_bytes: u64,
    total_bytes: u64,
    free_inodes: u64,
    total_inodes: u64,
}

#[derive(Deserialize)]
struct Store {
    name: String,
    size_bytes: u64,
    took_us: u64,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Task {
    name: String,
    every_us: i64,
    last_us: Option<i64>,
    error: Option<String>,
}

pub(super) async fn checks() -> Vec<Check> {
    let connection = match Connection::now() {
        Ok(connection) => connection,
        Err(error) => {
            return vec![Check::fail("settings", with_sources(&error), "mend or remove the file; `edgeflow login` writes it anew")];
        }
    };
    let url = connection.url.value.clone();
    let fact = format!("{url} ({})", connection.url.origin);
    let mut checks = vec![if in_the_clear(&url) {
        Check::warn(
            "address",
            format!("{fact}: the token crosses a network in the clear"),
            "start edgeflow-server with --tls, and `edgeflow login https://... --ca ca.pem`",
        )
    } else {
        Check::ok("address", fact)
    }];
    if url.starts_with("https://") {
        checks.extend(tls(&connection, &url).await);
        if checks.iter().any(|check| check.verdict == Verdict::Fail) {
            return checks;
        }
    }
    // Whether there is a token is another question.
    let client = match Client::open(
        url.clone(),
        connection.token.clone().map(|token| token.value).unwrap_or_default(),
        connection.ca.map(|ca| ca.value),
    ) {
        Ok(client) => client,
        Err(error) => {
            checks.push(Check::fail("reachable", with_sources(&error), UNREACHABLE));
            return checks;
        }
    };
    match client.healthz().await {
        Err(error) => {
            checks.push(Check::fail("reachable", with_sources(&error), UNREACHABLE));
            return checks;
        }
        Ok(answer) => {
            checks.push(Check::ok("reachable", format!("it answers within {} ms", answer.took.as_millis())));
            checks.push(answer.time_s.map_or_else(
                || Check::warn("clock", "its answer has no time", "is that an edgeflow-server?"),
                |time_s| clock(time_s, answer.took),
            ));
            if answer.status != 200 {
                let remedy = "its log says why; a full disk is the usual reason";
                checks.push(Check::fail("store", format!("its store does not answer (/healthz says {})", answer.status), remedy));
            }
        }
    }
    if connection.token.is_none() {
        checks.push(Check::fail("token", "there is none", "`edgeflow login`, or EDGEFLOW_TOKEN"));
        return checks;
    }
    match client.get("/server", &[]).await.and_then(|answer| crate::api::document::<Server>(answer, "/server")) {
        Ok(server) => {
            checks.push(Check::ok("token", "it is accepted"));
            checks.push(version(&server));
            checks.extend(health(&client).await);
        }
        Err(error @ CliError::Refused { status: 401 | 403, .. }) => checks.push(Check::fail(
            "token",
            with_sources(&error),
            "`edgeflow login` with the administrator's token; edgeflow-server --help says how to make a new one",
        )),
        Err(error) => checks.push(Check::fail("api", with_sources(&error), "is that an edgeflow-server, and of this version?")),
    }
    checks
}

/// Whether an address is spoken to without TLS, and is not this machine.
fn in_the_clear(url: &str) -> bool {
    let Some(authority) = url.strip_prefix("http://") else { return false };
    let host = authority.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    !(host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()))
}

async fn tls(connection: &Connection, url: &str) -> Vec<Check> {
    let get = "fetch ca.pem from the control plane's data folder (authority/ca.pem), or an enrolled robot's; then `edgeflow login URL --ca ca.pem`";
    let Some(ca) = &connection.ca else {
        return vec![Check::fail("ca", with_sources(&CliError::NoCa), get)];
    };
    let pem = match fs::read_to_string(&ca.value) {
        Ok(pem) => pem,
        Err(error) => return vec![Check::fail("ca", format!("{} ({}) cannot be read: {error}", ca.value, ca.origin), get)],
    };
    let mut checks = Vec::new();
    let roots = match edgeflow_identity::certificate_end_us(&pem) {
        Ok(not_after_us) => {
            checks.push(expiry("ca", &format!("{} ({})", ca.value, ca.origin), not_after_us, get));
            Roots::Ca(pem)
        }
        Err(error) => return vec![Check::fail("ca", format!("{}: {}", ca.value, with_sources(&error)), get)],
    };
    let reached = match split_https(url) {
        Ok((authority, _)) => peer_certificate(&authority, &roots).await,
        Err(error) => Err(error),
    };
    checks.push(match reached {
        Ok(not_after_us) => {
            expiry("tls", "its certificate is signed by that CA, names this host and", not_after_us, "edgeflow-server renews it by itself: see its log, and its clock")
        }
        Err(IdentityError::Unreachable { address, reason }) if reason.contains("certificate") => Check::fail(
            "tls",
            format!("{address} shows a certificate that is not to be believed: {reason}"),
            "is that the right control plane and the right CA? a name that it does not hold is added with its tls_names; then look at both clocks",
        ),
        Err(error) => Check::fail("reachable", with_sources(&error), UNREACHABLE),
    });
    checks
}

/// HTTP gives whole seconds, and half of the way there is unknown.
fn clock(time_s: i64, took: Duration) -> Check {
    let skew_s = (now_us() / 1_000_000 - time_s).abs() - i64::try_from(took.as_secs()).unwrap_or_default();
    let remedy = "run a time service on both machines; `timedatectl` says which of them has none";
    match skew_s {
        skew_s if skew_s > SKEW_FAIL_S => Check::fail("clock", format!("its clock and this one differ by about {skew_s} s"), remedy),
        skew_s if skew_s > SKEW_WARN_S => Check::warn("clock", format!("its clock and this one differ by about {skew_s} s"), remedy),
        _ => Check::ok("clock", "its clock and this one agree"),
    }
}

fn version(server: &Server) -> Check {
    let (ours, theirs) = (env!("CARGO_PKG_VERSION"), server.version.as_str());
    let fact = format!(
        "edgeflow-server {theirs}, edgeflow {ours}; server epoch {}, up since {}",
        server.server_epoch,
        crate::when::when(server.started_at_us)
    );
    if ours == theirs {
        Check::ok("version", fact)
    } else {
        Check::warn("version", fact, "install the same version of both: an older one may not understand the other")
    }
}

async fn health(client: &Client) -> Vec<Check> {
    let health: Health = match client.get("/server/health", &[]).await.and_then(|answer| crate::api::document(answer, "/server/health")) {
        Ok(health) => health,
        Err(error) => {
            return vec![Check::warn(
                "health",
                with_sources(&error),
                "a control plane of this version says how its disk and its tasks are",
            )];
        }
    };
    let Disk { free_bytes, total_bytes, free_inodes, total_inodes } = health.disk;
    let mut checks = vec![disk::judge("its data folder", (free_bytes, total_bytes), (free_inodes, total_inodes))];
    for store in health.stores {
        let Store { name, size_bytes, took_us, error } = store;
        let size = indicatif::HumanBytes(size_bytes);
        checks.push(match error {
            Some(error) => Check::fail(
                "store",
                format!("{name} does not answer: {error}"),
                "look at its disk and its log; a backup is restored as docs/backup.md says",
            ),
            None if took_us > 1_000_000 => Check::warn(
                "store",
                format!("{name} ({size}) took {} ms to answer", took_us / 1000),
                "its disk is slow or busy: iostat, fio",
            ),
            None => Check::ok("store", format!("{name} ({size}) answers within {:.1} ms", took_us as f64 / 1000.0)),
        });
    }
    for Task { name, every_us, last_us, error } in health.tasks {
        let late = |last_us: i64| now_us() - last_us > 3 * every_us + 60_000_000;
        checks.push(match (error, last_us) {
            (Some(error), _) => {
                Check::fail("task", format!("{name}: its last round broke off: {error}"), "its log says more; the next round tries again")
            }
            (None, None) => Check::ok("task", format!("{name} has not had a round yet")),
            (None, Some(last_us)) if late(last_us) => Check::fail(
                "task",
                format!("{name} has not had a round since {}", crate::when::when(last_us)),
                "restart edgeflow-server, and keep its log: this is a defect",
            ),
            (None, Some(last_us)) => Check::ok("task", format!("{name}: last round at {}", crate::when::when(last_us))),
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for url in ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000", "https://fleet.example:5000"] {
            assert!(!in_the_clear(url), "{url}");
        }
        for url in ["http://fleet.example:5000", "http://10.0.0.1", "http://[2001:db8::1]:5000"] {
            assert!(in_the_clear(url), "{url}");
        }
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let now_s = now_us() / 1_000_000;
        for (off_s, verdict) in [(0, Verdict::Ok), (10, Verdict::Warn), (-10, Verdict::Warn), (3600, Verdict::Fail)] {
            assert_eq!(clock(now_s + off_s, Duration::ZERO).verdict, verdict, "{off_s}");
        }
    }
}
