//! `edgeflow targets`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    client::{Client, encode},
    document, items, short,
};
use crate::{error::CliError, output, when::when};

#[derive(Subcommand)]
pub(crate) enum TargetsCommand {
    /// Every robot: whether it is online, what it runs, whether its input drifts.
    #[command(after_help = "\
Examples:
  edgeflow targets list
  edgeflow targets list --label site=berlin --condition degraded
  edgeflow targets list --group canaries
  edgeflow targets list --model label-reader/2 --output json")]
    List {
        /// Only those with this label; several of one key: any of these values, of several keys: all.
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// Only members of this group, as declared in the fleet.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// Only those that are ready, progressing, degraded, drifted, offline or held.
        #[arg(long, value_name = "CONDITION")]
        condition: Option<String>,
        /// Only those that run this model, or this version of it.
        #[arg(long, value_name = "NAME[/VERSION]")]
        model: Option<String>,
        /// Only those with this in their names.
        #[arg(long, value_name = "PART")]
        name: Option<String>,
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Put labels in the place of a robot's; without any, show those it has.
    #[command(
        after_help = "Examples:\n  edgeflow targets labels robot-1\n  edgeflow targets labels robot-1 site=berlin environment=production"
    )]
    Labels {
        /// Its name.
        name: String,
        /// All labels it shall have.
        #[arg(value_name = "KEY=VALUE")]
        labels: Vec<String>,
        /// Take all of them away.
        #[arg(long, conflicts_with = "labels")]
        none: bool,
    },
    /// Let a robot in: the control plane makes its token, which is kept in a file for the robot's bridge.
    #[command(after_help = "Example:\n  edgeflow targets enrol robot-1 --token-file /etc/edgeflow/token")]
    Enrol {
        /// Its name: lower-case letters, digits, dashes.
        name: String,
        /// Where the token goes; a file that is there is not overwritten.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Make a one-time token with which a robot gets its certificate (`edgeflow enroll`); a robot that is not known is let in.
    #[command(after_help = "Example:\n  edgeflow targets bootstrap robot-1 --token-file bootstrap-robot-1")]
    Bootstrap {
        /// Its name: lower-case letters, digits, dashes.
        name: String,
        /// Where the token goes; a file that is there is not overwritten; - for standard output.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// Minutes it lives, at most 1440.
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        minutes: u64,
    },
    /// Hold a robot: it changes nothing of what it has, rollouts skip it, and deployments to it are refused.
    #[command(after_help = "Example:\n  edgeflow targets hold robot-1 'audit in hall 3'")]
    Hold {
        /// Its name.
        name: String,
        /// Why, for people.
        reason: String,
    },
    /// End a hold.
    #[command(after_help = "Example:\n  edgeflow targets release robot-1")]
    Release {
        /// Its name.
        name: String,
    },
    /// Slots of a robot that were changed on the robot itself, and what is declared for them.
    #[command(after_help = "Example:\n  edgeflow targets conflicts robot-1")]
    Conflicts {
        /// Its name.
        name: String,
    },
    /// Decide whose content slots shall have that were changed on the robot.
    #[command(after_help = "\
Examples:
  edgeflow targets resolve robot-1 default --take control
  edgeflow targets resolve robot-1 --merge default=robot --merge map=control")]
    Resolve(super::reconcile::ResolveArguments),
    /// Declare nothing for a slot any more: the robot goes back to having nothing there.
    #[command(after_help = "Example:\n  edgeflow targets clear robot-1 map")]
    Clear {
        /// Its name.
        name: String,
        /// The slot.
        slot: String,
    },
    /// A robot's certificates, the newest first: when each was issued, expires, and was revoked.
    #[command(after_help = "Example:\n  edgeflow targets certificates robot-1")]
    Certificates {
        /// Its name.
        name: String,
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
}

/// Which robot.
#[derive(Args)]
#[command(after_help = "Example:\n  edgeflow revoke robot-1")]
pub(crate) struct RevokeArguments {
    /// Its name.
    robot: String,
}

#[derive(Deserialize)]
struct Certificate {
    fingerprint: String,
    issued_at_us: i64,
    not_after_us: i64,
    revoked_at_us: Option<i64>,
}

#[derive(Deserialize)]
struct Bootstrap {
    token: String,
    expires_at_us: i64,
    ca_fingerprint: String,
}

#[derive(Deserialize)]
struct Enrolled {
    token: String,
}

#[derive(Deserialize)]
struct Labelled {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    online: bool,
    slots: BTreeMap<String, Slot>,
    drift: Option<Drift>,
    accuracy: Option<Accuracy>,
}

#[derive(Deserialize)]
struct Slot {
    status: String,
    model: String,
    version: String,
    digest: String,
}

#[derive(Deserialize)]
struct Drift {
    flagged: bool,
}

#[derive(Deserialize)]
struct Accuracy {
    accuracy: f64,
}

pub(crate) async fn targets(command: TargetsCommand) -> Result<(), CliError> {
    match command {
        TargetsCommand::List { labels, group, condition, model, name, json: raw } => {
            list(&labels, [group, condition, model, name], raw).await
        }
        TargetsCommand::Labels { name, labels, none } => set_labels(&name, &labels, none).await,
        TargetsCommand::Enrol { name, token_file } => enrol(&name, &token_file).await,
        TargetsCommand::Hold { name, reason } => super::reconcile::hold(&name, &reason).await,
        TargetsCommand::Release { name } => super::reconcile::release(&name).await,
        TargetsCommand::Conflicts { name } => super::reconcile::conflicts(&name).await,
        TargetsCommand::Resolve(arguments) => super::reconcile::resolve(arguments).await,
        TargetsCommand::Clear { name, slot } => super::reconcile::clear(&name, &slot).await,
        TargetsCommand::Certificates { name, json: raw } => certificates(&name, raw).await,
        TargetsCommand::Bootstrap { name, token_file, minutes } => bootstrap(&name, &token_file, minutes).await,
    }
}

async fn enrol(name: &str, path: &Path) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let ask = async {
        let answer = client.post("/targets", &json!({ "name": name })).await?;
        document::<Enrolled>(answer, "/targets")
    };
    keep_token(path, ask, |enrolled| &enrolled.token).await?;
    output::said(format!("{name} may come in with the token in {}", path.display()), &json!({ "name": name, "token_file": path }))
}

async fn bootstrap(name: &str, path: &Path, minutes: u64) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let ask = async {
        match client.post("/targets", &json!({ "name": name })).await {
            // It is known already.
            Ok(_) | Err(CliError::Refused { status: 409, .. }) => {}
            Err(error) => return Err(error),
        }
        let path = format!("/targets/{}/bootstrap", encode(name));
        let answer = client.post(&path, &json!({ "lifetime_s": minutes.saturating_mul(60) })).await?;
        document::<Bootstrap>(answer, &path)
    };
    if path == Path::new("-") {
        return output::line(ask.await?.token);
    }
    let made = keep_token(path, ask, |made| &made.token).await?;
    let until = when(made.expires_at_us);
    let fingerprint = made.ca_fingerprint;
    let told = json!({ "name": name, "token_file": path, "expires_at_us": made.expires_at_us, "ca_fingerprint": fingerprint });
    output::said(format!("{name} can enroll once until {until} with the token in {} (CA {fingerprint})", path.display()), &told)
}

async fn certificates(name: &str, raw: bool) -> Result<(), CliError> {
    let path = format!("/targets/{}/certificates", encode(name));
    let list = Client::from_environment()?.get(&path, &[]).await?;
    if raw || output::as_json() {
        return super::json(&list);
    }
    let row = |certificate: Certificate| {
        let revoked = certificate.revoked_at_us.map_or_else(|| "-".to_owned(), when);
        let fingerprint = certificate.fingerprint.chars().take(16).collect();
        [fingerprint, when(certificate.issued_at_us), when(certificate.not_after_us), revoked]
    };
    let rows = document::<Vec<Certificate>>(list, &path)?.into_iter().map(row).collect::<Vec<_>>();
    output::table(["CERTIFICATE", "ISSUED", "EXPIRES", "REVOKED"], &rows)
}

/// Revokes a robot.
pub(crate) async fn revoke(arguments: RevokeArguments) -> Result<(), CliError> {
    let name = arguments.robot;
    Client::from_environment()?.delete(&format!("/targets/{}", encode(&name))).await?;
    let text = format!("{name} is revoked: its connections are cut, its certificates and token are worth nothing");
    output::said(text, &json!({ "revoked": name }))
}

/// A token is shown once, so its file is made before it is asked for, readable by this user only.
pub(super) async fn keep_token<T>(
    path: &Path,
    ask: impl Future<Output = Result<T, CliError>>,
    token: fn(&T) -> &String,
) -> Result<T, CliError> {
    let failed = |source| CliError::Write { path: path.display().to_string(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let made = match ask.await {
        Ok(made) => made,
        Err(error) => {
            fs::remove_file(path).map_err(failed)?;
            return Err(error);
        }
    };
    file.write_all(token(&made).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(made)
}

/// A label as it is written here.
pub(super) fn label(text: &str) -> Result<(&str, &str), CliError> {
    text.split_once('=').ok_or_else(|| CliError::Input { path: text.to_owned(), reason: "a label is KEY=VALUE".to_owned() })
}

async fn set_labels(name: &str, labels: &[String], none: bool) -> Result<(), CliError> {
    let (client, path) = (Client::from_environment()?, format!("/targets/{}", encode(name)));
    let view = if labels.is_empty() && !none {
        client.get(&path, &[]).await?
    } else {
        let labels: BTreeMap<&str, &str> = labels.iter().map(|text| label(text)).collect::<Result<_, _>>()?;
        client.put(&format!("{path}/labels"), &json!({ "labels": labels })).await?
    };
    let labelled: Labelled = document(view, &path)?;
    if output::as_json() {
        return super::json(&json!({ "name": name, "labels": labelled.labels }));
    }
    output::table(["KEY", "VALUE"], &labelled.labels.into_iter().map(|(key, value)| [key, value]).collect::<Vec<_>>())
}

async fn list(labels: &[String], [group, condition, model, name]: [Option<String>; 4], raw: bool) -> Result<(), CliError> {
    let mut query: Vec<(&str, String)> = Vec::new();
    for text in labels {
        let (key, value) = label(text)?;
        query.push(("label", format!("{key}:{value}")));
    }
    for (key, value) in [("group", group), ("condition", condition), ("model", model), ("q", name)] {
        query.extend(value.map(|value| (key, value)));
    }
    let list = Client::from_environment()?.get("/targets", &query).await?;
    if raw || output::as_json() {
        return super::json(&list);
    }
    let rows = items::<Target>(&list, "/targets")?.into_iter().map(row).collect::<Vec<_>>();
    output::table(["NAME", "ONLINE", "MODEL", "VERSION", "RUNNING DIGEST", "STATUS", "ACCURACY", "DRIFT"], &rows)
}

fn row(target: Target) -> [String; 8] {
    let none = || "-".to_owned();
    let filled = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let slot = target.slots.get("default");
    [
        target.name,
        if target.online { "yes" } else { "no" }.to_owned(),
        slot.map_or_else(none, |slot| filled(&slot.model)),
        slot.map_or_else(none, |slot| filled(&slot.version)),
        slot.map_or_else(none, |slot| filled(&short(&slot.digest))),
        slot.map_or_else(none, |slot| filled(&slot.status)),
        target.accuracy.map_or_else(none, |accuracy| format!("{:.1} %", accuracy.accuracy * 100.0)),
        target.drift.map_or_else(none, |drift| if drift.flagged { "flagged" } else { "no" }.to_owned()),
    ]
}
