//! What waits to be done for each robot, in bounded numbers: dealt out here without ever waiting, done in `work.rs`.

use bytes::Bytes;
use edgeflow_core::RobotId;
use edgeflow_wire::Topics;
use rumqttc::mqttbytes::v4::Publish;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{link::Outbox, place::Places};
use crate::{
    app::App,
    mqtt::{limits::Limits, metrics::GatewayMetrics},
};

/// Documents of the whole fleet that may wait, bytes.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Robots that are worked for at a time: each may have a document of some megabytes unfolded.
const AT_A_TIME: usize = 32;
/// Names that something waits for. Robots that are not enrolled are forgotten as soon as they were looked at.
const MAX_NAMES: usize = 50_000;

/// What came from a robot.
#[derive(Debug)]
pub(super) enum News {
    /// It is here, or not any more.
    Here(bool),
    /// A log document.
    Document(Bytes),
}

/// What is known of a robot on this connection.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Who it is, once that was looked up.
    pub(super) robot: Option<RobotId>,
    /// It said that it is here.
    pub(super) here: bool,
    /// What was retained last of its desired state.
    pub(super) desired_sent: Option<u64>,
    /// Number of the newest command that was sent since it came.
    pub(super) commands_sent: i64,
}

#[derive(Default)]
struct Entry {
    known: Known,
    news: VecDeque<News>,
    bytes: usize,
    /// Its desired state or its commands changed.
    look: bool,
    /// It was revoked.
    revoked: bool,
    /// Somebody works for it.
    running: bool,
}

/// One thing to do for a robot.
pub(super) enum Task {
    News(News),
    Look,
    Revoked,
}

/// The robots of one connection to the broker.
pub(super) struct Fleet {
    pub(super) app: Arc<App>,
    pub(super) outbox: Outbox,
    pub(super) metrics: GatewayMetrics,
    pub(super) places: Arc<Places>,
    pub(super) turns: Semaphore,
    limits: Limits,
    entries: Mutex<Entries>,
    workers: TaskTracker,
}

#[derive(Default)]
struct Entries {
    by_name: HashMap<String, Entry>,
    bytes: usize,
}

impl Fleet {
    pub(super) fn new(app: Arc<App>, outbox: Outbox, metrics: GatewayMetrics, places: Arc<Places>, limits: Limits) -> Arc<Self> {
        let (turns, entries, workers) = (Semaphore::new(AT_A_TIME), Mutex::default(), TaskTracker::new());
        Arc::new(Self { app, outbox, metrics, places, turns, limits, entries, workers })
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing in here panics half-way.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message of the broker's.
    pub(super) fn heard(self: &Arc<Self>, publish: &Publish) {
        let Some((name, leaf)) = publish.topic.strip_prefix("edgeflow/targets/").and_then(|rest| rest.split_once('/')) else { return };
        if Topics::new(name).is_err() {
            return;
        }
        match leaf {
            "telemetry" => {
                self.metrics.telemetry.inc();
                self.metrics.telemetry_bytes.inc_by(publish.payload.len() as u64);
                // Copied, since what arrived shares its memory with all that arrived with it.
                self.add(name, News::Document(Bytes::copy_from_slice(&publish.payload)));
            }
            "alive" => self.add(name, News::Here(!publish.payload.is_empty())),
            _ => {}
        }
    }

    fn add(self: &Arc<Self>, name: &str, news: News) {
        self.with(name, |entry, all_bytes, limits| {
            let bytes = news.bytes();
            let full = entry.news.len() >= limits.max_pending_messages || entry.bytes + bytes > limits.max_pending_bytes;
            match (&news, entry.news.back_mut()) {
                (News::Document(_), _) if full || *all_bytes + bytes > MAX_WAITING_BYTES => return false,
                (News::Document(_), _) => {}
                // Whether it is here has to be known in the end, however often that changes meanwhile.
                (News::Here(here), Some(News::Here(last))) => {
                    *last = *here;
                    return true;
                }
                (News::Here(_), _) if full => {
                    *all_bytes -= entry.bytes;
                    entry.bytes = 0;
                    entry.news.clear();
                }
                (News::Here(_), _) => {}
            }
            entry.bytes += bytes;
            *all_bytes += bytes;
            entry.news.push_back(news);
            true
        });
    }

    /// Its desired state or its commands may have changed.
    pub(super) fn look(self: &Arc<Self>, name: &str) {
        self.with(name, |entry, _, _| {
            entry.look = true;
            true
        });
    }

    /// It has no right any more. What it said before and was not looked at yet is not looked at.
    pub(super) fn revoked(self: &Arc<Self>, name: &str) {
        self.with(name, |entry, _, _| {
            entry.revoked = true;
            true
        });
    }

    /// Forgets what came over a connection that was ended.
    pub(super) fn drop_news(&self, name: &str) {
        let mut entries = self.lock();
        let Entries { by_name, bytes } = &mut *entries;
        if let Some(entry) = by_name.get_mut(name) {
            *bytes -= entry.bytes;
            entry.bytes = 0;
            // But for whether it is here in the end.
            let last = entry.news.drain(..).rev().find(|news| matches!(news, News::Here(false)));
            entry.news.extend(last);
        }
    }

    /// All that are known: which of them were revoked is not.
    pub(super) fn all(&self) -> Vec<String> {
        self.lock().by_name.keys().cloned().collect()
    }

    fn with(self: &Arc<Self>, name: &str, change: impl FnOnce(&mut Entry, &mut usize, &Limits) -> bool) {
        let mut entries = self.lock();
        let Entries { by_name, bytes } = &mut *entries;
        if !by_name.contains_key(name) && by_name.len() >= MAX_NAMES {
            self.metrics.dropped.inc();
            return;
        }
        let entry = by_name.entry(name.to_owned()).or_default();
        if !change(entry, bytes, &self.limits) {
            self.metrics.dropped.inc();
        }
        if !std::mem::replace(&mut entry.running, true) {
            self.workers.spawn(self.clone().work(name.to_owned()));
        }
    }

    /// The next thing to do for a robot, and what is known of it; whoever works for it puts that back with the next call. `None`: there
    /// is nothing to do, and nobody works for it any more.
    pub(super) fn next(&self, name: &str, done: Option<Known>) -> Option<(Task, Known)> {
        let mut entries = self.lock();
        let Entries { by_name, bytes } = &mut *entries;
        let entry = by_name.get_mut(name)?;
        if let Some(known) = done {
            entry.known = known;
        }
        let task = if std::mem::take(&mut entry.revoked) {
            *bytes -= entry.bytes;
            (entry.bytes, entry.look) = (0, false);
            entry.news.clear();
            Task::Revoked
        } else if let Some(news) = entry.news.pop_front() {
            entry.bytes -= news.bytes();
            *bytes -= news.bytes();
            Task::News(news)
        } else if std::mem::take(&mut entry.look) {
            Task::Look
        } else {
            entry.running = false;
            if entry.known.robot.is_none() {
                by_name.remove(name);
            }
            return None;
        };
        Some((task, std::mem::take(&mut entry.known)))
    }

    /// Waits until what is being done is done, and tells that nobody is here by this door any more.
    pub(super) async fn end(&self) {
        {
            let mut entries = self.lock();
            entries.bytes = 0;
            for entry in entries.by_name.values_mut() {
                (entry.bytes, entry.look, entry.revoked) = (0, false, false);
                entry.news.clear();
            }
        }
        self.workers.close();
        self.workers.wait().await;
        let gone = std::mem::take(&mut *self.lock());
        for known in gone.by_name.into_values().map(|entry| entry.known) {
            if let (Some(robot), true) = (known.robot, known.here) {
                self.left(&robot).await;
            }
        }
    }
}

impl News {
    fn bytes(&self) -> usize {
        match self {
            News::Here(_) => 0,
            News::Document(document) => document.len(),
        }
    }
}
