//! Log, pump and MQTT together, against a control plane whose link is cut at the worst moments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use common::{ControlPlane, Held, TOKEN};
use edgeflow_bridge::{Clock, LogHandle, LogThread, Recorder};
use edgeflow_edge_log::Options;
use edgeflow_uplink::{Bandwidth, Limits, LinkState, Mqtt, MqttConfig, Pump, Timing};
use edgeflow_wire::{Class, EntryBody, FaultBody, LinkBody};
use std::{path::Path, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

const ROBOT: &str = "robot-1";

struct Robot {
    recorder: Recorder,
    log: LogHandle,
    state: watch::Receiver<LinkState>,
    pump: JoinHandle<()>,
    _thread: LogThread,
}

fn robot(dir: &Path, options: Options, plane: &ControlPlane, token: &str) -> Robot {
    let clock = Clock::new().unwrap();
    let (log, thread) = LogHandle::open(dir, options, clock).unwrap();
    let state = watch::Sender::new(LinkState::default());
    let (documents, mut incoming) = mpsc::channel(4);
    tokio::spawn(async move { while incoming.recv().await.is_some() {} });
    let mut config = MqttConfig::new(plane.address.to_string(), ROBOT, token);
    (config.retry_first, config.retry_cap) = (Duration::from_millis(10), Duration::from_millis(50));
    let pump = Pump {
        backlog: log.clone(),
        ends: log.ends(),
        state: state.clone(),
        documents,
        timing: Timing { resend_after: Duration::from_millis(500), between_epochs: Duration::from_millis(50), ..Timing::default() },
        limits: Limits { max_entries: 20, max_bytes: 64 * 1024 },
        bandwidth: Bandwidth::unlimited(),
    };
    let uplink = Mqtt::new(config).unwrap();
    Robot {
        recorder: Recorder::new(log.clone(), clock),
        log,
        state: state.subscribe(),
        pump: tokio::spawn(pump.run(Box::new(uplink))),
        _thread: thread,
    }
}

/// As a disk may: whoever looks at the tables next finds that they are none.
fn damage(dir: &Path) {
    let disk = rusqlite::Connection::open(dir.join("edge_log.db")).unwrap();
    disk.busy_timeout(Duration::from_secs(5)).unwrap();
    disk.execute_batch(
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'no table' WHERE name = 'entry_event'; PRAGMA schema_version = 1000;",
    )
    .unwrap();
}

impl Robot {
    async fn produce(&self, entries: u64) {
        for n in 0..entries {
            let body = LinkBody { connected: false, uplink: "test".into(), reason: n.to_string() };
            self.recorder.record_now(Class::Event, EntryBody::Link(body)).await;
            if n % 3 == 0 {
                let body = FaultBody { source: "test".into(), message: n.to_string() };
                self.recorder.record_now(Class::Critical, EntryBody::Fault(body)).await;
            }
        }
    }

    fn epoch(&self) -> String {
        self.log.snapshot().borrow().epoch.clone()
    }
}

fn stored(held: &Held, epoch: &str, class: Class) -> Vec<u64> {
    held.entries.get(&(epoch.to_owned(), class)).map(|entries| entries.iter().map(|entry| entry.seq).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_cut_again_and_again_arrives_once_and_in_order() {
    let plane = ControlPlane::start(Held { cut_before: vec![2, 5], cut_after: vec![3, 7, 11], ..Held::default() }).await;
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path(), Options::default(), &plane, TOKEN);
    robot.produce(300).await;
    let epoch = robot.epoch();
    plane
        .until("everything is stored", |held| {
            stored(held, &epoch, Class::Event).len() >= 300 && stored(held, &epoch, Class::Critical).len() >= 100
        })
        .await;
    robot.produce(30).await;
    plane.cut();
    plane.until("the rest is stored", |held| stored(held, &epoch, Class::Event).len() >= 330).await;
    {
        let held = plane.held.lock().unwrap();
        assert_eq!(stored(&held, &epoch, Class::Event), (1..=330).collect::<Vec<_>>());
        assert!(held.hellos >= 5, "only {} connections: nothing was cut", held.hellos);
        assert!(held.lost.is_empty() && held.entries.keys().all(|(stored, _)| *stored == epoch));
    }
    // What is acknowledged is forgotten here.
    let mut snapshot = robot.log.snapshot();
    let event = Class::Event as usize;
    snapshot.wait_for(|log| log.classes[event].acknowledged == 330 && log.classes[event].held_bytes == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_evicted_is_named_and_the_rest_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(Held::default()).await;
    let options = Options { budget_bytes: 8_000, ..Options::default() };
    let clock = Clock::new().unwrap();
    let (log, thread) = LogHandle::open(dir.path(), options, clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    for n in 0..200 {
        let body = LinkBody { connected: false, uplink: "test".into(), reason: n.to_string() };
        recorder.record_now(Class::Event, EntryBody::Link(body)).await;
    }
    drop((log, recorder));
    thread.closed().await;

    let robot = robot(dir.path(), options, &plane, TOKEN);
    let epoch = robot.epoch();
    let key = (epoch.clone(), Class::Event);
    plane.until("all is stored or lost", |held| held.positions.get(&key) == Some(&201)).await;
    let held = plane.held.lock().unwrap();
    let entries = stored(&held, &epoch, Class::Event);
    assert!(held.lost[&key] > 100 && entries.len() as u64 + held.lost[&key] == 200, "{} lost", held.lost[&key]);
    assert_eq!(entries, (held.lost[&key] + 1..=200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_epoch_goes_on_in_a_new_one_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(Held::default()).await;
    let robot = robot(dir.path(), Options::default(), &plane, TOKEN);
    let old = robot.epoch();
    plane.held.lock().unwrap().refused.push(old.clone());
    plane.cut();
    robot.produce(10).await;
    let mut snapshot = robot.log.snapshot();
    let new = snapshot.wait_for(|log| log.epoch != old).await.unwrap().epoch.clone();
    plane.until("the new epoch has everything", |held| stored(held, &new, Class::Event).len() == 10).await;
    let held = plane.held.lock().unwrap();
    assert_eq!(stored(&held, &new, Class::Event), (1..=10).collect::<Vec<_>>());
    assert!(held.kinds("fault").iter().any(|entry| serde_json::to_string(&entry.content).unwrap().contains("new epoch")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_and_the_log_waits() {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(Held::default()).await;
    let mut robot = robot(dir.path(), Options::default(), &plane, "wrong");
    robot.produce(3).await;
    let state = robot.state.wait_for(|state| !state.reason.is_empty()).await.unwrap().clone();
    assert!(!state.connected && state.reason.contains("token_file"), "{state:?}");
    assert_eq!(plane.held.lock().unwrap().hellos, 0);
    robot.pump.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_while_the_link_stands_goes_on_over_the_same_connection_in_a_new_epoch_only_without_its_heads() {
    let plane = ControlPlane::start(Held::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path(), Options::default(), &plane, TOKEN);
    robot.produce(50).await;
    let before = robot.epoch();
    plane.until("the first epoch is stored", |held| stored(held, &before, Class::Event).len() == 50).await;
    let snapshot = robot.log.snapshot();
    snapshot.clone().wait_for(|log| log.classes.iter().all(|class| class.acknowledged == class.appended)).await.unwrap();

    let told = |held: &Held, what: &str| held.kinds("fault").iter().any(|fault| format!("{fault:?}").contains(what));
    damage(dir.path());
    robot.produce(10).await;
    plane
        .until("the numbers go on", |held| {
            stored(held, &before, Class::Event).len() == 60 && told(held, "damaged") && told(held, ": 0 entries are on record as lost")
        })
        .await;
    assert_eq!(robot.epoch(), before);

    snapshot.clone().wait_for(|log| log.classes.iter().all(|class| class.acknowledged == class.appended)).await.unwrap();
    std::fs::remove_file(dir.path().join("edge_log.heads")).unwrap();
    damage(dir.path());
    robot.produce(10).await;
    snapshot.clone().wait_for(|log| log.epoch != before).await.unwrap();
    let after = robot.epoch();
    plane
        .until("the second epoch is stored", |held| {
            let lost = held.lost.get(&(after.clone(), Class::Event)).copied().unwrap_or_default();
            let events = stored(held, &after, Class::Event);
            events.len() == 10 && lost > 0 && events.first() == Some(&(lost + 1)) && told(held, "at most")
        })
        .await;
    assert!(!robot.pump.is_finished());
}
