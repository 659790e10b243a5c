//! `edgeflow captures`: recordings that robots made of their topics.

use clap::Subcommand;
use serde::Deserialize;
use std::path::PathBuf;

use super::{
    client::{Client, encode},
    items, json, transfer,
};
use crate::{error::CliError, output, when::when};

#[derive(Subcommand)]
pub(crate) enum CapturesCommand {
    /// Captures of a robot, newest first: those in the control plane, on their way, and gone.
    #[command(after_help = "Example:\n  edgeflow captures list robot-1")]
    List {
        /// The robot.
        robot: String,
        /// The newest so many.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a capture as an MCAP file. One that was cut off goes on where it was.
    #[command(after_help = "Example:\n  edgeflow captures get robot-1 1763730000123456-0a1b2c3d --out noise.mcap")]
    Get {
        /// The robot.
        robot: String,
        /// The capture; the newest that is whole, when not said.
        id: Option<String>,
        /// Where to: a file that is not there yet. ROBOT_ID.mcap in this folder, when not said.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Deserialize)]
struct Capture {
    id: String,
    place: String,
    reason: String,
    triggered_us: i64,
    start_us: i64,
    end_us: i64,
    messages: u64,
    size_bytes: u64,
    received_bytes: u64,
    sha256: String,
    gone_why: Option<String>,
}

impl Capture {
    fn place(&self) -> String {
        match (self.place.as_str(), &self.gone_why) {
            ("uploading", _) => format!("uploading, {} %", self.received_bytes * 100 / self.size_bytes.max(1)),
            (place, Some(why)) => format!("{place}, {why}"),
            (place, None) => place.to_owned(),
        }
    }
}

pub(crate) async fn captures(command: CapturesCommand) -> Result<(), CliError> {
    match command {
        CapturesCommand::List { robot, limit, json: raw } => {
            let path = format!("/targets/{}/captures", encode(&robot));
            let list = Client::from_environment()?.get(&path, &[("limit", limit.to_string())]).await?;
            if raw || output::as_json() {
                return json(&list);
            }
            let rows = items::<Capture>(&list, &path)?.into_iter().map(|capture| {
                let (place, seconds) = (capture.place(), (capture.end_us - capture.start_us).max(0) as f64 / 1e6);
                let what = format!("{} messages, {seconds:.1} s", capture.messages);
                [when(capture.triggered_us), capture.id, place, size(capture.size_bytes), what, capture.reason]
            });
            output::table(["TIME", "ID", "WHERE", "SIZE", "WHAT", "WHY"], &rows.collect::<Vec<_>>())
        }
        CapturesCommand::Get { robot, id, out } => fetch(&robot, id, out).await,
    }
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

async fn fetch(robot: &str, id: Option<String>, out: Option<PathBuf>) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let path = format!("/targets/{}/captures", encode(robot));
    let list = client.get(&path, &[("limit", "1000".to_owned())]).await?;
    let mut known = items::<Capture>(&list, &path)?.into_iter();
    let found = match &id {
        Some(id) => known.find(|capture| capture.id == *id),
        None => known.find(|capture| capture.place == "stored"),
    };
    let wanted = id.as_deref().unwrap_or("that is whole");
    let capture = found.ok_or_else(|| input(robot, format!("there is no capture {wanted}: see edgeflow captures list {robot}")))?;
    if capture.place != "stored" {
        return Err(input(&capture.id, format!("it is not in the control plane: {}", capture.place())));
    }
    let out = out.unwrap_or_else(|| format!("{robot}_{}.mcap", capture.id).into());
    if out.exists() {
        return Err(input(&out.display().to_string(), "there is such a file already: name another one with --out".to_owned()));
    }
    let bar = transfer::bar(capture.size_bytes);
    let path = format!("{path}/{}", encode(&capture.id));
    transfer::fetch(&client, &path, (capture.size_bytes, &capture.sha256), &out, &bar).await?;
    bar.finish_and_clear();
    let told = serde_json::json!({ "id": capture.id, "file": out, "size_bytes": capture.size_bytes, "sha256": capture.sha256 });
    output::said(format!("{} {}", out.display(), size(capture.size_bytes)), &told)
}

fn input(path: &str, reason: String) -> CliError {
    CliError::Input { path: path.to_owned(), reason }
}
