//! Telemetry channels: named once with their unit, so that a number never stands without one. The list survives a restart:
//! a program need not notice that the bridge was gone.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use edgeflow_wire::Class;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Local, Refusal, parse};

/// Most channels of one robot.
const MAX_CHANNELS: usize = 256;
/// Longest program or channel name.
const MAX_NAME: usize = 64;
const FILE: &str = "channels.json";

/// What a channel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channel {
    /// Unit of its numbers, such as `degC`; empty when they have none.
    #[serde(default)]
    pub(crate) unit: String,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
    /// `summary` (the default) or `detail`: what goes first when the log is full.
    #[serde(default = "summary")]
    pub(crate) class: Class,
}

fn summary() -> Class {
    Class::Summary
}

/// Those of this robot, in memory and in a file.
pub(crate) struct Channels {
    path: PathBuf,
    known: Mutex<BTreeMap<String, Channel>>,
}

impl Channels {
    /// Reads the list. A file that cannot be read is an empty list: programs register again when they are told to.
    pub(crate) fn open(data_dir: &std::path::Path) -> Self {
        let path = data_dir.join(FILE);
        let known = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "the list of channels is damaged and begins anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { path, known: Mutex::new(known) }
    }

    pub(super) fn get(&self, name: &str) -> Option<Channel> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn all(&self) -> BTreeMap<String, Channel> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the list on the disk first, then in memory. True when something changed.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Channel>) -> Result<(), Refusal>) -> Result<bool, Refusal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = known.clone();
        change(&mut next)?;
        if next == *known {
            return Ok(false);
        }
        self.write(&next)
            .map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("cannot write {}: {error}", self.path.display())))?;
        *known = next;
        Ok(true)
    }

    fn write(&self, channels: &BTreeMap<String, Channel>) -> std::io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(channels)?)?;
        file.sync_all()?;
        std::fs::rename(fresh, &self.path)
    }
}

/// `program/channel`: two plain names, so that no program can speak for what the bridge itself measures.
pub(super) fn full_name(program: &str, channel: &str) -> Result<String, Refusal> {
    for name in [program, channel] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
            return Err(Refusal::bad(format!("{name:?} is no name: use up to {MAX_NAME} letters, digits, '_', '-' or '.'")));
        }
    }
    Ok(format!("{program}/{channel}"))
}

/// Those that are registered.
pub(super) async fn list(State(local): State<Arc<Local>>) -> Json<BTreeMap<String, Channel>> {
    Json(local.channels.all())
}

/// Registers a channel, or changes what it is.
pub(super) async fn register(
    State(local): State<Arc<Local>>,
    Path((program, channel)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let name = full_name(&program, &channel)?;
    let what: Channel = parse(&body)?;
    if !matches!(what.class, Class::Summary | Class::Detail) {
        return Err(Refusal::bad("class: numbers are \"summary\" or \"detail\"; tell what is more valuable as an event"));
    }
    let is_new = local.channels.get(&name).is_none();
    local.channels.change(|known| {
        if is_new && known.len() >= MAX_CHANNELS {
            let message = format!("{MAX_CHANNELS} channels are registered: DELETE those that nobody uses");
            return Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, message));
        }
        known.insert(name, what);
        Ok(())
    })?;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::OK })
}

/// Takes a channel from the list. What it sent stays.
pub(super) async fn forget(
    State(local): State<Arc<Local>>,
    Path((program, channel)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let name = full_name(&program, &channel)?;
    let known = local.channels.change(|known| {
        known.remove(&name);
        Ok(())
    })?;
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::new(StatusCode::NOT_FOUND, format!("no channel {name}"))) }
}
