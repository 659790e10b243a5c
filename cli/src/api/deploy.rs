//! `edgeflow deploy`.

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::{collections::HashMap, time::Duration};

use super::{
    client::{Client, encode},
    document,
};
use crate::{error::CliError, output};

/// How often the control plane is asked how far the robots are.
const POLL: Duration = Duration::from_millis(500);

/// Arguments of `edgeflow deploy`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  edgeflow deploy label-reader 2 --to robot-1,robot-2 --wait
  edgeflow deploy label-reader @champion --to robot-1 --wait --output json")]
pub(crate) struct DeployArguments {
    /// The model.
    model: String,
    /// Its version.
    version: String,
    /// The robots.
    #[arg(long, value_name = "ROBOTS", value_delimiter = ',', required = true)]
    to: Vec<String>,
    /// The slot on each robot.
    #[arg(long, default_value = "default")]
    slot: String,
    /// Follow the robots until all have it or have failed; then a failure is the exit status.
    #[arg(long)]
    wait: bool,
}

#[derive(Deserialize)]
struct Deployment {
    id: serde_json::Value,
    state: String,
    targets: Vec<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    target: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
}

pub(crate) async fn deploy(arguments: DeployArguments) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let body = json!({"model": arguments.model, "version": arguments.version, "targets": arguments.to, "slot": arguments.slot});
    let mut answer = client.post("/deployments", &body).await?;
    let mut deployment: Deployment = document(answer.clone(), "/deployments")?;
    let id = deployment.id.as_str().map_or_else(|| deployment.id.to_string(), str::to_owned);
    let path = format!("/deployments/{}", encode(&id));
    let text = !output::as_json();
    if text {
        output::line(format!("deployment {id}"))?;
    }
    let mut shown = HashMap::new();
    loop {
        for progress in deployment.targets.iter().filter(|_| text) {
            if shown.insert(progress.target.clone(), progress.status.clone()).as_ref() != Some(&progress.status) {
                let reason =
                    progress.reason.as_deref().filter(|reason| !reason.is_empty()).map(|reason| format!(": {reason}")).unwrap_or_default();
                output::line(format!("{} {}{reason}", progress.target, progress.status))?;
            }
        }
        if !arguments.wait || deployment.state != "progressing" {
            break;
        }
        tokio::time::sleep(POLL).await;
        answer = client.get(&path, &[]).await?;
        deployment = document(answer.clone(), &path)?;
    }
    if !text {
        super::json(&answer)?;
    }
    if arguments.wait && deployment.state != "succeeded" {
        return Err(CliError::Deployment { id, state: deployment.state });
    }
    Ok(())
}
