//! One route on one topic while it runs: messages in, entries out, and a watch on whether it flows.

use edgeflow_policy::{Tap, Values};
use edgeflow_ros::registry::Projection;
use edgeflow_wire::{EntryBody, Route, TopicSampleBody, TopicWindowBody};
use futures::{FutureExt, StreamExt, stream};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Common,
    board::Counters,
    compile::reading,
    source::{DEPTH, Messages, Source},
    stopped,
};

/// Between two looks at publishers, at most.
const LOOK: Duration = Duration::from_secs(1);
/// A route that stays stuck is subscribed anew this seldom in the end.
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

/// One route on one topic.
pub(crate) struct Runner {
    pub(crate) common: Arc<Common>,
    pub(crate) route: Arc<Route>,
    pub(crate) topic: String,
    pub(crate) source: Box<dyn Source>,
    pub(crate) projections: Vec<Projection>,
    pub(crate) tap: Tap,
    pub(crate) counters: Arc<Counters>,
}

/// Whether messages come as they should.
struct Flow {
    expected: Option<Duration>,
    /// How long silence is borne now: it grows while nothing helps.
    patience: Duration,
    heard: Instant,
    was_published: bool,
    told: bool,
}

impl Flow {
    fn new(expected: Option<Duration>, now: Instant) -> Self {
        Self { expected, patience: expected.unwrap_or(LONGEST_PATIENCE), heard: now, was_published: false, told: false }
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.told = false;
        self.patience = self.expected.unwrap_or(LONGEST_PATIENCE);
    }

    /// Whether the route is stuck at this moment: published, and silent for longer than is borne.
    fn is_stuck(&mut self, published: bool, now: Instant) -> bool {
        if published && !self.was_published {
            self.heard = now;
        }
        self.was_published = published;
        let stuck = self.expected.is_some() && published && now.duration_since(self.heard) >= self.patience;
        if stuck {
            self.heard = now;
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE.max(self.patience));
        }
        stuck
    }
}

impl Runner {
    /// Runs until told to stop; what was gathered is recorded then.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut messages = self.subscribe().await;
        let mut dropped_before = 0;
        let period = self.route.window.map(|window| Duration::from_secs_f64(window.period_s));
        let expected = self.route.expected_period_s.map(Duration::from_secs_f64);
        let look = expected.map_or(LOOK, |expected| (expected / 2).min(LOOK));
        let mut flow = Flow::new(expected, Instant::now());
        let (mut window_began, mut window_ends) = (Instant::now(), period.map(|period| self.next_end(period)));
        let mut next_look = Instant::now();
        loop {
            let due = self.tap.due_us().map(|due_us| self.common.started + Duration::from_micros(due_us));
            let wake = [window_ends, due, Some(next_look)].into_iter().flatten().min().unwrap_or(next_look);
            tokio::select! {
                biased;
                // First: a topic that never pauses must not keep its route alive.
                () = stopped(&mut stop) => break,
                body = messages.bodies.next() => match body {
                    Some(body) => {
                        flow.heard(Instant::now());
                        self.counters.stuck.store(false, Relaxed);
                        self.take(&body).await;
                    }
                    // The context is shut down, or there is no subscription: look again when it is time.
                    None => messages.bodies = stream::pending().boxed(),
                },
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if let (Some(period), Some(ends)) = (period, window_ends)
                && now >= ends
            {
                self.close(window_began).await;
                (window_began, window_ends) = (Instant::now(), Some(self.next_end(period)));
            }
            if due.is_some_and(|due| now >= due)
                && let Some(values) = self.tap.flush(self.now_us())
            {
                self.send(values).await;
            }
            if now >= next_look {
                next_look = now + look;
                if self.look(&mut flow, now).await {
                    dropped_before += messages.dropped.get();
                    drop(messages);
                    messages = self.subscribe().await;
                }
                self.counters.dropped.store(dropped_before + messages.dropped.get(), Relaxed);
            }
        }
        // What waits already belongs to it still.
        for _ in 0..DEPTH {
            let Some(Some(body)) = messages.bodies.next().now_or_never() else { break };
            self.take(&body).await;
        }
        if period.is_some() {
            self.close(window_began).await;
        } else if let Some(values) = self.tap.flush(u64::MAX) {
            self.send(values).await;
        }
    }

    async fn subscribe(&self) -> Messages {
        match self.source.subscribe() {
            Ok(messages) => messages,
            Err(reason) => {
                self.common.recorder.fault(&self.name(), reason).await;
                Messages { bodies: stream::pending().boxed(), dropped: edgeflow_ros::DropCounter::default() }
            }
        }
    }

    fn name(&self) -> String {
        format!("route {} on {}", self.route.name, self.topic)
    }

    fn now_us(&self) -> u64 {
        self.common.now_us()
    }

    /// The next whole multiple of the period since the Unix epoch. Right after one, the one behind it.
    fn next_end(&self, period: Duration) -> Instant {
        let period_us = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
        let rest_us = period_us - self.common.recorder.clock().now().t_us.rem_euclid(period_us);
        let rest_us = if rest_us < period_us / 10 { rest_us + period_us } else { rest_us };
        Instant::now() + Duration::from_micros(rest_us.unsigned_abs())
    }

    /// Whether the route is to be subscribed anew.
    async fn look(&mut self, flow: &mut Flow, now: Instant) -> bool {
        let publishers = self.source.publishers();
        self.counters.publishers.store(publishers as u64, Relaxed);
        if publishers == 0 {
            self.tap.lose(self.now_us());
        }
        if !flow.is_stuck(publishers > 0, now) {
            return false;
        }
        self.counters.stuck.store(true, Relaxed);
        self.counters.resubscribed.fetch_add(1, Relaxed);
        if !std::mem::replace(&mut flow.told, true) {
            let expected = flow.expected.unwrap_or_default();
            let message = format!(
                "{publishers} publish it and nothing came for {expected:?}: subscribed anew; if it stays silent, look at the publisher"
            );
            self.common.recorder.fault(&self.name(), message).await;
        }
        true
    }

    async fn take(&mut self, body: &[u8]) {
        self.counters.received.fetch_add(1, Relaxed);
        let tap = &mut self.tap;
        for (field, projection) in self.projections.iter().enumerate() {
            if let Err(error) = projection.read(body, &mut |scalar| tap.value(field, reading(scalar))) {
                tracing::warn!(route = self.route.name, topic = self.topic, %error, "skipped a malformed message");
                return tap.discard();
            }
        }
        let now_us = self.common.now_us();
        if let Some(values) = tap.end(now_us) {
            self.send(values).await;
        }
    }

    async fn send(&mut self, values: Values) {
        let (route, topic, policy) = (self.route.name.clone(), self.topic.clone(), self.version());
        self.record(EntryBody::TopicSample(TopicSampleBody { route, topic, policy, values })).await;
    }

    async fn close(&mut self, began: Instant) {
        let Some((messages, fields)) = self.tap.close(self.now_us()) else { return };
        let end_us = self.common.recorder.clock().now().t_us;
        // By the clock that only runs forward, so that a step of the other does not stretch the window.
        let start_us = end_us - i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let (route, topic, policy) = (self.route.name.clone(), self.topic.clone(), self.version());
        self.record(EntryBody::TopicWindow(TopicWindowBody { route, topic, policy, start_us, end_us, messages, fields })).await;
    }

    fn version(&self) -> u64 {
        self.common.version.load(Relaxed)
    }

    async fn record(&self, body: EntryBody) {
        let class = self.route.class();
        if self.common.admits(&self.route) {
            let recorder = &self.common.recorder;
            recorder.record_counted(class, recorder.clock().now(), body, &self.counters.receipts).await;
        } else {
            self.counters.withheld.fetch_add(1, Relaxed);
        }
    }
}
