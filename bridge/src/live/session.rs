//! One session on the robot: what is tapped goes out as far as rate and bytes allow, what comes in goes to the graph in the same
//! bounds, and both are told of.

use edgeflow_ros::{Node, QosProfile, RawPublisher, RawType, registry};
use edgeflow_uplink::{
    Backoff,
    live::{LiveConfig, LiveEnd, LiveHeard, Throttle},
};
use edgeflow_wire::{
    Class, CommandOutcome, CommandStatusBody, EntryBody, LiveAbout, LiveBody, LiveDirection, LiveKeys, LiveMark, LiveTopicAbout,
    WIRE_VERSION,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, sleep, sleep_until},
};

use super::{
    Means,
    tap::{tap, the_type},
};
use crate::{Recorder, commands::status, policy::Valve};

/// Deadlines are looked at this often: time asleep counts too, and no timer tells of it.
const LOOK: Duration = Duration::from_millis(200);
/// How often the other end is told how things are.
const TELL: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_CAP: Duration = Duration::from_secs(3);

/// A message on its way out, and under which type it came.
type Parcel = (u32, Vec<u8>);

/// What taps and the connection share.
pub(super) struct Shared {
    began: Instant,
    out: Mutex<Throttle<Parcel>>,
    lanes: Mutex<Vec<LiveTopicAbout>>,
    wake: Notify,
}

impl Shared {
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn out(&self) -> MutexGuard<'_, Throttle<Parcel>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<LiveTopicAbout>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a topic's messages do not come.
    pub(super) fn problem(&self, lane: usize, problem: String) {
        if let Some(lane) = self.lanes().get_mut(lane) {
            lane.problem = problem;
        }
    }

    /// The type of a topic from now on; messages carry the number that is returned.
    pub(super) fn typed(&self, lane: usize, ty: &RawType, reliable: bool, latched: bool) -> u32 {
        let epoch = self.lanes().get_mut(lane).map_or(0, |lane| {
            if lane.epoch == 0 || (&lane.type_name, &lane.hash, lane.reliable, lane.latched) != (&ty.name, &ty.hash, reliable, latched) {
                lane.epoch += 1;
            }
            (lane.type_name, lane.hash) = (ty.name.clone(), ty.hash.clone());
            (lane.reliable, lane.latched, lane.problem) = (reliable, latched, String::new());
            lane.epoch
        });
        self.wake.notify_one();
        epoch
    }

    /// A message came, and so many were dropped before it.
    pub(super) fn offer(&self, lane: usize, epoch: u32, body: Vec<u8>, dropped: u64) {
        let mut out = self.out();
        out.dropped(lane, dropped);
        out.offer(lane, body.len(), (epoch, body));
        drop(out);
        self.wake.notify_one();
    }
}

/// A topic on which the operator publishes.
struct Mouth {
    topic: String,
    type_name: Option<String>,
    publisher: Option<RawPublisher>,
}

/// A session.
pub(super) struct Session {
    node: Node,
    recorder: Recorder,
    valve: watch::Receiver<Valve>,
    name: String,
    keys: LiveKeys,
    door: LiveConfig,
    for_s: f64,
    until_boot_us: i64,
    max_kbps: u32,
    shared: Arc<Shared>,
    /// Topics from the robot come first in `shared.lanes`, then these.
    taps: Vec<String>,
    mouths: Vec<Mouth>,
    inward: Throttle<Vec<u8>>,
    /// Messages that were sent, per topic from the robot.
    sent: Vec<u64>,
}

impl Session {
    #[expect(clippy::too_many_arguments, reason = "what a session is, asked for in one place")]
    pub(super) fn new(
        means: &Means,
        name: String,
        keys: LiveKeys,
        door: LiveConfig,
        for_s: f64,
        (max_hz, max_kbps): (f64, u32),
        from_robot: &[String],
        to_robot: Vec<(String, Option<String>)>,
    ) -> Self {
        let about = |direction, topic: &String| LiveTopicAbout {
            direction,
            topic: topic.clone(),
            epoch: 0,
            type_name: String::new(),
            hash: String::new(),
            reliable: false,
            latched: false,
            problem: String::new(),
            counts: edgeflow_wire::LiveCounts::default(),
        };
        let lanes = from_robot.iter().map(|topic| about(LiveDirection::FromRobot, topic));
        let lanes = lanes.chain(to_robot.iter().map(|(topic, _)| about(LiveDirection::ToRobot, topic))).collect();
        let shared = Arc::new(Shared {
            began: Instant::now(),
            out: Mutex::new(Throttle::new(from_robot.len(), max_hz, max_kbps, 0)),
            lanes: Mutex::new(lanes),
            wake: Notify::new(),
        });
        let inward = Throttle::new(to_robot.len(), max_hz, max_kbps, 0);
        let mouths = to_robot.into_iter().map(|(topic, type_name)| Mouth { topic, type_name, publisher: None }).collect();
        Self {
            node: means.node.clone(),
            recorder: means.recorder.clone(),
            valve: means.valve.clone(),
            name,
            keys,
            door,
            for_s,
            until_boot_us: means.recorder.clock().now().boot_us.saturating_add((for_s * 1e6) as i64),
            max_kbps,
            shared,
            taps: from_robot.to_vec(),
            mouths,
            inward,
            sent: vec![0; from_robot.len()],
        }
    }

    /// Runs to its end. Whether it begins is answered, and both are told through the log.
    pub(super) async fn run(mut self, id: String, answer: oneshot::Sender<CommandStatusBody>, stop: watch::Receiver<bool>) {
        let looks = watch::Sender::new(false);
        let mut taps = JoinSet::new();
        for (lane, topic) in self.taps.iter().enumerate() {
            taps.spawn(tap(self.node.clone(), Arc::clone(&self.shared), lane, topic.clone(), looks.subscribe()));
        }
        let began = tokio::select! {
            end = LiveEnd::robot(&self.door, self.keys.clone()) => end,
            reason = over(&self.recorder, self.until_boot_us, stop.clone()) => Err(reason),
        };
        match began {
            Ok(end) => {
                self.find_types();
                let topics = self.topics();
                let told = serde_json::json!({ "session": self.name, "max_kbps": self.max_kbps, "topics": topics });
                self.record(true, "by command".to_owned(), topics).await;
                drop(answer.send(CommandStatusBody { result: told, ..status(&id, CommandOutcome::Done, "") }));
                let reason = self.carry(end, &looks, &stop).await;
                let topics = self.topics();
                self.record(false, reason, topics).await;
            }
            Err(reason) => drop(answer.send(status(&id, CommandOutcome::Failed, reason))),
        }
    }

    async fn record(&self, active: bool, reason: String, topics: Vec<LiveTopicAbout>) {
        tracing::info!(session = self.name, active, reason, "live session");
        let for_s = if active { self.for_s } else { 0.0 };
        let body = LiveBody { session: self.name.clone(), active, reason, for_s, topics };
        self.recorder.record_now(Class::Event, EntryBody::Live(body)).await;
    }

    /// Carries messages until the session is over, over as many connections as that takes. Returns why it is over.
    async fn carry(&mut self, first: LiveEnd, looks: &watch::Sender<bool>, stop: &watch::Receiver<bool>) -> String {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
        let mut end = first;
        loop {
            let ended = self.exchange(&mut end, looks, stop.clone()).await;
            looks.send_replace(false);
            if let Some(reason) = ended {
                end.tell(&self.about(Some(reason.clone()))).await;
                end.close().await;
                return reason;
            }
            tracing::info!(session = self.name, "a live session lost its connection");
            end.close().await;
            self.shared.out().clear();
            end = loop {
                let again = async {
                    sleep(backoff.delay()).await;
                    LiveEnd::robot(&self.door, self.keys.clone()).await
                };
                tokio::select! {
                    again = again => match again {
                        Ok(end) => break end,
                        Err(reason) => tracing::debug!(reason, "a live session does not connect"),
                    },
                    reason = over(&self.recorder, self.until_boot_us, stop.clone()) => return reason,
                }
            };
            backoff.reset();
        }
    }

    /// Carries messages over one connection. Returns why the session is over, or nothing when the connection was lost.
    async fn exchange(&mut self, end: &mut LiveEnd, looks: &watch::Sender<bool>, stop: watch::Receiver<bool>) -> Option<String> {
        let (shared, recorder) = (Arc::clone(&self.shared), self.recorder.clone());
        let over = over(&recorder, self.until_boot_us, stop);
        tokio::pin!(over);
        let mut tell = tokio::time::interval(TELL);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Vec::new();
        loop {
            let short = self.valve.borrow().shed.is_some();
            if short {
                shared.out().clear();
            }
            let epochs: Vec<u32> = shared.lanes().iter().map(|lane| lane.epoch).collect();
            if epochs != told {
                // Told before the first message of a type is sent.
                end.tell(&self.about(None)).await;
                told = epochs;
            }
            let next = shared.out().next(shared.now_us());
            if let Some((lane, (epoch, body))) = next {
                let seq = self.sent.get_mut(lane).map_or(0, |sent| {
                    *sent += 1;
                    *sent
                });
                tokio::select! {
                    () = end.send(lane, LiveMark { epoch, seq }, body) => continue,
                    reason = &mut over => return Some(reason),
                }
            }
            while let Some((lane, body)) = self.inward.next(shared.now_us()) {
                let publisher = self.mouths.get(lane).and_then(|mouth| mouth.publisher.as_ref());
                if let Some(Err(error)) = publisher.map(|publisher| publisher.publish(&body)) {
                    shared.problem(self.taps.len() + lane, error.to_string());
                }
            }
            let ready_us = [shared.out().ready_us(), self.inward.ready_us()].into_iter().flatten().min();
            let ready_at = ready_us.map(|us| shared.began + Duration::from_micros(us));
            tokio::select! {
                reason = &mut over => return Some(reason),
                heard = end.heard() => match heard {
                    LiveHeard::Message { lane, mark, body } => self.take(lane, mark, body),
                    LiveHeard::Operator(here) => {
                        looks.send_replace(here);
                    }
                    LiveHeard::About(_) => {}
                    LiveHeard::Lost => return None,
                },
                () = shared.wake.notified() => {}
                () = sleep_until(ready_at.unwrap_or_else(Instant::now)), if ready_at.is_some() => {}
                _ = tell.tick() => {
                    self.find_types();
                    end.tell(&self.about(None)).await;
                }
            }
        }
    }

    /// A message of the operator's. It passes only in the type that this robot has the topic in.
    fn take(&mut self, lane: usize, mark: LiveMark, body: Vec<u8>) {
        let at = self.taps.len() + lane;
        let typed = self.shared.lanes().get(at).is_some_and(|about| about.epoch == mark.epoch && about.epoch > 0);
        if typed {
            self.inward.offer(lane, body.len(), body);
        } else {
            self.inward.dropped(lane, 1);
        }
    }

    /// Opens topics to the robot whose type has become known.
    fn find_types(&mut self) {
        let taps = self.taps.len();
        for (lane, mouth) in self.mouths.iter_mut().enumerate().filter(|(_, mouth)| mouth.publisher.is_none()) {
            let mut users = self.node.get_publishers_info(&mouth.topic).unwrap_or_default();
            users.extend(self.node.get_subscriptions_info(&mouth.topic).unwrap_or_default());
            let ty = match &mouth.type_name {
                Some(named) if users.is_empty() => registry::resolve(named, None).map(RawType::from).map_err(|error| error.to_string()),
                Some(named) => the_type(&mouth.topic, &users, "uses").and_then(|ty| {
                    if ty.name == *named { Ok(ty) } else { Err(format!("{} is a {} on the robot, not a {named}", mouth.topic, ty.name)) }
                }),
                None => the_type(&mouth.topic, &users, "uses").map_err(|reason| format!("{reason}: name its type beside it")),
            };
            let opened = ty.and_then(|ty| {
                let qos = QosProfile::default().keep_last(10).reliable();
                let publisher = self.node.create_raw_publisher(&mouth.topic, &ty, qos).map_err(|error| error.to_string())?;
                Ok((ty, publisher))
            });
            match opened {
                Ok((ty, publisher)) => {
                    mouth.publisher = Some(publisher);
                    self.shared.typed(taps + lane, &ty, true, false);
                }
                Err(problem) => self.shared.problem(taps + lane, problem),
            }
        }
    }

    /// Topics with what became of their messages so far.
    fn topics(&self) -> Vec<LiveTopicAbout> {
        let mut topics = self.shared.lanes().clone();
        let out = self.shared.out();
        for (at, about) in topics.iter_mut().enumerate() {
            about.counts = match at.checked_sub(self.taps.len()) {
                Some(lane) => self.inward.counts(lane),
                None => out.counts(at),
            };
        }
        topics
    }

    fn about(&self, ended: Option<String>) -> LiveAbout {
        let left_us = self.until_boot_us.saturating_sub(self.recorder.clock().now().boot_us).max(0);
        LiveAbout { v: WIRE_VERSION, remaining_s: left_us as f64 / 1e6, max_kbps: self.max_kbps, ended, topics: self.topics() }
    }
}

/// Returns when a session is over, and why.
async fn over(recorder: &Recorder, until_boot_us: i64, mut stop: watch::Receiver<bool>) -> String {
    loop {
        if *stop.borrow_and_update() {
            return "it was ended by command".to_owned();
        }
        if recorder.clock().now().boot_us >= until_boot_us {
            return "its time is over".to_owned();
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            stopped = stop.changed() => if stopped.is_err() {
                return "the bridge stops".to_owned();
            },
        }
    }
}
