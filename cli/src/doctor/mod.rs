//! `edgeflow doctor`: what is wrong, and how to mend it. Each check states a fact; what is not well has a remedy.

mod disk;
mod local;
mod robot;
mod runtime;
mod server;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;

use crate::{error::CliError, output};

/// Arguments of `edgeflow doctor`.
#[derive(Args)]
#[command(after_help = "\
Ends with 0 when nothing failed (a warning is no failure), with 1 when something did.

Examples:
  edgeflow doctor                                       this machine
  edgeflow doctor --identity /etc/edgeflow/identity --log /var/lib/edgeflow/bridge
  edgeflow doctor --server                              the control plane, and the way to it
  edgeflow doctor --robot robot-07                      what the control plane knows of a robot
  edgeflow doctor --output json | jq '.checks[] | select(.verdict != \"ok\")'")]
pub(crate) struct DoctorArguments {
    /// Look at the control plane instead.
    #[arg(long, conflicts_with = "robot")]
    server: bool,
    /// Look at a robot instead, as the control plane knows it.
    #[arg(long, value_name = "ROBOT")]
    robot: Option<String>,
    /// Folder that `edgeflow enroll` made; /etc/edgeflow/identity where there is one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "robot"])]
    identity: Option<PathBuf>,
    /// The bridge's data_dir; /var/lib/edgeflow/bridge where there is one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "robot"])]
    log: Option<PathBuf>,
    /// The ONNX Runtime library, where the inference node is told of it by parameter.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["server", "robot"])]
    onnxruntime: Option<PathBuf>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    name: &'static str,
    verdict: Verdict,
    fact: String,
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, fact: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, fact: fact.into(), remedy: None }
    }

    fn warn(name: &'static str, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, fact: fact.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, fact: fact.into(), remedy: Some(remedy.into()) }
    }
}

pub(crate) async fn doctor(arguments: DoctorArguments) -> Result<(), CliError> {
    let checks = match &arguments.robot {
        Some(robot) => robot::checks(robot).await?,
        None if arguments.server => server::checks().await,
        None => local::checks(&arguments).await,
    };
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    if output::as_json() {
        output::line(format!("{:#}", json!({ "ok": failed == 0, "checks": checks })))?;
    } else {
        for check in &checks {
            output::line(format!("{:4}  {:12}  {}", check.verdict.word(), check.name, check.fact))?;
            if let Some(remedy) = &check.remedy {
                output::line(format!("{:20}to mend it: {remedy}", ""))?;
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(CliError::Unwell { failed, checks: checks.len() }) }
}

/// How a certificate's end is judged: renewal begins long before it.
fn expiry(name: &'static str, whose: &str, not_after_us: i64, remedy: &str) -> Check {
    const SOON_US: i64 = 7 * 86_400_000_000;
    let until = crate::when::when(not_after_us);
    match not_after_us - crate::when::now_us() {
        left if left <= 0 => Check::fail(name, format!("{whose} expired at {until}"), remedy),
        left if left < SOON_US => Check::warn(name, format!("{whose} expires in less than a week, at {until}"), remedy),
        _ => Check::ok(name, format!("{whose} is valid until {until}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::now_us;

    #[test]
    fn a_certificate_is_warned_of_before_its_end() {
        let day_us = 86_400_000_000;
        for (left_us, verdict) in [(-1, Verdict::Fail), (day_us, Verdict::Warn), (30 * day_us, Verdict::Ok)] {
            let check = expiry("certificate", "it", now_us() + left_us, "renew it");
            assert_eq!((check.verdict, check.remedy.is_some()), (verdict, verdict != Verdict::Ok), "{check:?}");
        }
    }
}
