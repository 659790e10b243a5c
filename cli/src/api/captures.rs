//! `edgeflow captures`: recordings that robots made of their topics.

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    client::{Client, encode},
    items, json,
};
use crate::{error::CliError, output, when::when};

#[derive(Subcommand)]
pub(crate) enum CapturesCommand {
    /// Captures of a robot, newest first: those in the control plane, on their way, and gone.
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
            if raw {
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
    let part = out.with_extension("mcap.part");
    let failed = |source| CliError::Write { path: part.display().to_string(), source };
    let mut have = fs::metadata(&part).map_or(0, |metadata| metadata.len());
    if have > capture.size_bytes {
        fs::remove_file(&part).map_err(failed)?;
        have = 0;
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(capture.size_bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_position(have);
    if have < capture.size_bytes {
        let mut file = OpenOptions::new().create(true).append(true).open(&part).map_err(failed)?;
        let take = |bytes: &[u8]| {
            bar.inc(bytes.len() as u64);
            file.write_all(bytes).map_err(failed)
        };
        client.download(&format!("{path}/{}", encode(&capture.id)), have, take).await?;
        file.sync_all().map_err(failed)?;
    }
    bar.finish_and_clear();
    if digest(&part).map_err(failed)? != capture.sha256 {
        fs::remove_file(&part).map_err(failed)?;
        return Err(input(&capture.id, "what came does not have its SHA-256 and was removed: fetch it again".to_owned()));
    }
    fs::rename(&part, &out).map_err(failed)?;
    output::line(format!("{} {}", out.display(), size(capture.size_bytes)))
}

fn input(path: &str, reason: String) -> CliError {
    CliError::Input { path: path.to_owned(), reason }
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
