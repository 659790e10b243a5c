//! A robot that is its log and its uplink, as `bridge_node` has them.

use edgeflow_bridge::{Clock, LogHandle, LogSnapshot, LogThread};
use edgeflow_edge_log::{EdgeLog, NewEntry, Options};
use edgeflow_uplink::{Bandwidth, Limits, LinkState, Mqtt, MqttConfig, Pump, Timing};
use edgeflow_wire::{ApplicationEventBody, Class, EntryBody, EventSeverity};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::control_plane::ControlPlane;

pub(crate) struct Robot {
    _dir: TempDir,
    log: LogHandle,
    thread: LogThread,
    uplink: MqttConfig,
    pump: Option<JoinHandle<()>>,
    clock: Clock,
}

impl Robot {
    /// Not connected yet, with so many entries that nobody has seen.
    pub(crate) async fn with_backlog(plane: &ControlPlane, name: &str, entries: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new().unwrap();
        let (mut log, _) = EdgeLog::open(dir.path(), Options::default()).unwrap();
        let all: Vec<NewEntry> = (0..entries).map(|n| entry(n, clock)).collect();
        for group in all.chunks(1_000) {
            log.append_all(group).unwrap();
        }
        drop(log);
        let (log, thread) = LogHandle::open(dir.path(), Options::default(), clock).unwrap();
        let uplink = MqttConfig::new(&plane.mqtt, name, plane.enrol(name).await);
        Self { _dir: dir, log, thread, uplink, pump: None, clock }
    }

    pub(crate) fn connect(&mut self) {
        let (documents, _) = mpsc::channel(1);
        let pump = Pump {
            ends: self.log.ends(),
            backlog: self.log.clone(),
            state: watch::Sender::new(LinkState::default()),
            documents,
            timing: Timing::default(),
            limits: Limits::default(),
            bandwidth: Bandwidth::unlimited(),
        };
        self.pump = Some(tokio::spawn(pump.run(Box::new(Mqtt::new(self.uplink.clone()).unwrap()))));
    }

    /// Appends one event.
    pub(crate) async fn append(&self, n: u64) {
        self.log.append(entry(n, self.clock)).await.unwrap();
    }

    /// Waits until so many events are acknowledged.
    pub(crate) async fn acknowledged(&self, entries: u64, mut seen: impl FnMut(u64)) {
        let mut snapshot = self.log.snapshot();
        let acknowledged =
            |log: &LogSnapshot| log.classes.iter().find(|stats| stats.class == Class::Event).map_or(0, |stats| stats.acknowledged);
        loop {
            let now = acknowledged(&snapshot.borrow_and_update());
            seen(now);
            if now >= entries {
                return;
            }
            snapshot.changed().await.unwrap();
        }
    }

    pub(crate) async fn stop(self) {
        if let Some(pump) = self.pump {
            pump.abort();
            assert!(pump.await.unwrap_err().is_cancelled());
        }
        drop(self.log);
        self.thread.closed().await;
    }
}

/// About 300 bytes in the log, and never twice the same, so that zstd has something to do.
fn entry(n: u64, clock: Clock) -> NewEntry {
    let now = clock.now();
    let scrambled = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let body = EntryBody::ApplicationEvent(ApplicationEventBody {
        source: "bench".into(),
        name: "thing_happened".into(),
        severity: EventSeverity::Info,
        message: format!("robot passed gate {} on its way to dock {:016x}, {:016x} left", n % 977, scrambled, scrambled.rotate_left(21)),
        data: Value::from(vec![n as f64 / 7.0, (scrambled >> 40) as f64 / 1_000.0, (scrambled & 0xffff) as f64]),
    });
    NewEntry { class: Class::Event, t_us: now.t_us, boot_us: now.boot_us, content: body.into() }
}
