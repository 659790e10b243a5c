//! A route that gets stuck, and one that cannot be heard at all: with a source that does what it is told.

#![allow(clippy::unwrap_used)]

use super::{
    Common, Valve,
    board::Counters,
    run::Runner,
    source::{Messages, Source},
};
use crate::{Clock, LogHandle, LogThread, Recorder};
use edgeflow_edge_log::Options;
use edgeflow_policy::{Budget, Tap};
use edgeflow_ros::{DropCounter, registry};
use edgeflow_uplink::{Backlog, Limits};
use edgeflow_wire::{Class, Content, EntryBody, Route, TelemetryPolicy};
use futures::{StreamExt, stream};
use serde_json::json;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::{mpsc, watch};

/// A topic whose first `silent` subscriptions hear nothing, though it is published.
struct Fake {
    silent: usize,
    /// It never pauses: what a publisher that is faster than the robot looks like.
    endless: bool,
    subscriptions: Arc<AtomicUsize>,
    bodies: Mutex<Option<mpsc::UnboundedReceiver<Vec<u8>>>>,
}

impl Source for Arc<Fake> {
    fn subscribe(&self) -> Result<Messages, String> {
        let dropped = DropCounter::default();
        if self.subscriptions.fetch_add(1, Relaxed) < self.silent {
            return Ok(Messages { bodies: stream::pending().boxed(), dropped });
        }
        if self.endless {
            let body = registry::message("std_msgs/msg/Int32").unwrap().encode(&json!({"data": 7})).unwrap();
            return Ok(Messages { bodies: stream::repeat(body).boxed(), dropped });
        }
        let receiver = self.bodies.lock().unwrap().take().ok_or("subscribed once too often")?;
        Ok(Messages {
            bodies: stream::unfold(receiver, |mut bodies| async { bodies.recv().await.map(|body| (body, bodies)) }).boxed(),
            dropped,
        })
    }

    fn publishers(&self) -> usize {
        1
    }
}

struct World {
    _dir: tempfile::TempDir,
    log: LogHandle,
    _thread: LogThread,
    valve: watch::Sender<Valve>,
    common: Arc<Common>,
    bodies: mpsc::UnboundedSender<Vec<u8>>,
    source: Arc<Fake>,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
}

impl World {
    fn new(silent: usize) -> Self {
        Self::of(silent, false)
    }

    fn of(silent: usize, endless: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new().unwrap();
        let (log, thread) = LogHandle::open(dir.path(), Options::default(), clock).unwrap();
        let valve = watch::Sender::new(Valve::default());
        let common = Arc::new(Common::new(Recorder::new(log.clone(), clock), valve.subscribe()));
        let (bodies, receiver) = mpsc::unbounded_channel();
        let source = Arc::new(Fake { silent, endless, subscriptions: Arc::default(), bodies: Mutex::new(Some(receiver)) });
        let counters = Arc::new(Counters::new(Class::Event));
        Self { _dir: dir, log, _thread: thread, valve, common, bodies, source, counters, stop: watch::Sender::new(false) }
    }

    fn run(&self) -> tokio::task::JoinHandle<()> {
        let document = json!({"routes": [{"name": "flag", "allow": ["flag"], "fields": ["data"], "samples": {"on_change": {}},
            "class": "event", "expected_period_s": 0.1}]});
        let route: Route = TelemetryPolicy::parse(&document).unwrap().routes.remove(0);
        let ty = registry::message("std_msgs/msg/Int32").unwrap();
        let (projections, watched) = super::compile::compile(&route, ty).unwrap().into_iter().unzip();
        let runner = Runner {
            common: Arc::clone(&self.common),
            tap: Tap::samples(watched, route.samples.unwrap()),
            route: Arc::new(route),
            topic: "/flag".into(),
            source: Box::new(Arc::clone(&self.source)),
            projections,
            counters: Arc::clone(&self.counters),
        };
        tokio::spawn(runner.run(self.stop.subscribe()))
    }

    fn publish(&self, number: i32) {
        let ty = registry::message("std_msgs/msg/Int32").unwrap();
        self.bodies.send(ty.encode(&json!({"data": number})).unwrap()).unwrap();
    }

    async fn until(&self, class: Class, entries: u64) -> Vec<EntryBody> {
        let mut ends = self.log.ends();
        let enough = ends.wait_for(|ends| ends[class as usize] > entries);
        tokio::time::timeout(std::time::Duration::from_secs(20), enough).await.unwrap().unwrap();
        let batch = self.log.clone().read(class, 1, Limits::default()).await.unwrap();
        let bodies = batch.entries.into_iter().filter_map(|entry| match entry.content {
            Content::Known(body) => Some(body),
            Content::Unknown { .. } => None,
        });
        bodies.collect()
    }
}

#[tokio::test]
async fn a_stuck_route_is_subscribed_anew_until_it_flows_and_told_once() {
    let world = World::new(3);
    world.publish(7);
    let task = world.run();
    let samples = world.until(Class::Event, 1).await;
    assert!(matches!(&samples[..], [EntryBody::TopicSample(sample)] if sample.values.contains_key("data")), "{samples:?}");
    assert_eq!((world.counters.resubscribed.load(Relaxed), world.counters.stuck.load(Relaxed)), (3, false));
    let faults = world.until(Class::Critical, 1).await;
    let [EntryBody::Fault(fault)] = &faults[..] else { unreachable!("told {} times: {faults:?}", faults.len()) };
    assert!(fault.source == "route flag on /flag" && fault.message.contains("subscribed anew"), "{fault:?}");
    world.stop.send_replace(true);
    task.await.unwrap();
    let mut log = world.log.clone();
    log.acknowledge(Class::Event, 2).await.unwrap();
    assert_eq!(world.counters.receipts.counts(), (1, 1), "forwarded and acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_never_pauses_does_not_keep_its_route_alive() {
    let world = World::of(0, true);
    let task = world.run();
    world.until(Class::Event, 1).await;
    world.stop.send_replace(true);
    tokio::time::timeout(std::time::Duration::from_secs(20), task).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn what_may_not_pass_is_withheld_and_counted() {
    let world = World::new(0);
    let task = world.run();
    world.publish(1);
    world.until(Class::Event, 1).await;
    let received = |count: u64| {
        let counters = Arc::clone(&world.counters);
        async move {
            while counters.received.load(Relaxed) < count {
                tokio::task::yield_now().await;
            }
        }
    };
    for valve in [Valve { paused: true, shed: None }, Valve { paused: false, shed: Some(Class::Event) }] {
        world.valve.send_replace(valve);
        let before = world.counters.received.load(Relaxed);
        world.publish(100 + before as i32);
        received(before + 1).await;
    }
    world.valve.send_replace(Valve { paused: false, shed: Some(Class::Summary) });
    world.publish(2);
    world.until(Class::Event, 2).await;
    *world.common.budget.lock().unwrap() = Some(Budget::new(0.01, world.common.now_us()));
    // Of the ten that the budget has at first, priority 5 may take six.
    (10..30).for_each(|number| world.publish(number));
    received(24).await;
    let document = json!({"routes": [{"name": "flag", "allow": ["flag"], "fields": ["data"], "samples": {"max_hz": 1000}, "priority": 9}]});
    let mut escalated: Route = TelemetryPolicy::parse(&document).unwrap().routes.remove(0);
    escalated.name = format!("{}closer/flag", super::ESCALATION);
    world.valve.send_replace(Valve::default());
    let admitted = (0..20_000).filter(|_| world.common.admits(&escalated)).count();
    assert!((6_000..7_000).contains(&admitted), "a minute's worth and no more: {admitted}");
    world.stop.send_replace(true);
    task.await.unwrap();
    world.log.written().await.unwrap();
    assert_eq!((world.counters.withheld.load(Relaxed), world.counters.receipts.counts().0), (2 + 14, 2 + 6));
}
