//! Who is connected by one door: at most one connection per robot, the newest. Every door has one of these.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{
    Notify, OwnedMutexGuard,
    broadcast::{self, error::RecvError},
    watch,
};

use crate::app::Outcome;

/// What other tasks can tell a connection.
pub(crate) struct Signals {
    /// The robot's desired state has changed.
    pub(crate) desired: Notify,
    end: watch::Sender<Option<Outcome>>,
}

impl Signals {
    /// Waits until the connection has to end, and says why.
    pub(crate) async fn ended(&self) -> Outcome {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.unwrap_or(Outcome::Closed),
            Err(_) => Outcome::Closed,
        }
    }

    /// Why the connection has to end, if it has to.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        *self.end.borrow()
    }

    fn end(&self, outcome: Outcome) {
        // The first reason stands.
        self.end.send_if_modified(|end| end.is_none().then(|| *end = Some(outcome)).is_some());
    }
}

struct Slot {
    id: u64,
    signals: Arc<Signals>,
    /// Held by the connection that serves the robot until its last document is ingested.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The connections, by robot.
pub(crate) struct Sessions<R> {
    slots: Mutex<Slots<R>>,
}

struct Slots<R> {
    next_id: u64,
    by_robot: HashMap<R, Slot>,
    closing: bool,
}

/// A connection's place, until a newer one takes it or [`Sessions::forget`] clears it.
pub(crate) struct Place {
    id: u64,
    pub(crate) signals: Arc<Signals>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Place {
    /// Waits until the connection before this one has finished its last document, so that documents stay in order.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }
}

impl<R: Clone + Eq + Hash> Sessions<R> {
    pub(crate) fn new() -> Self {
        Self { slots: Mutex::new(Slots { next_id: 0, by_robot: HashMap::new(), closing: false }) }
    }

    /// Takes the robot's place and tells the connection that had it to end.
    pub(crate) fn enter(&self, robot: &R) -> Place {
        let mut slots = self.lock();
        let id = slots.next_id;
        slots.next_id += 1;
        let signals = Arc::new(Signals { desired: Notify::new(), end: watch::Sender::new(None) });
        if slots.closing {
            signals.end(Outcome::Shutdown);
        }
        let turn = match slots.by_robot.get(robot) {
            Some(before) => {
                before.signals.end(Outcome::TakenOver);
                before.turn.clone()
            }
            None => Arc::default(),
        };
        slots.by_robot.insert(robot.clone(), Slot { id, signals: signals.clone(), turn: turn.clone() });
        Place { id, signals, turn }
    }

    /// Whether no newer connection has the place, so that the robot is gone when this one is.
    pub(crate) fn is_newest(&self, robot: &R, place: &Place) -> bool {
        let slots = self.lock();
        slots.by_robot.get(robot).is_some_and(|slot| slot.id == place.id)
    }

    /// Forgets a robot that left, unless it is back already.
    pub(crate) fn forget(&self, robot: &R, place: &Place) {
        let mut slots = self.lock();
        if slots.by_robot.get(robot).is_some_and(|slot| slot.id == place.id) {
            slots.by_robot.remove(robot);
        }
    }

    /// Ends the robot's connection, if it has one.
    pub(crate) fn end(&self, robot: &R, outcome: Outcome) {
        if let Some(slot) = self.lock().by_robot.get(robot) {
            slot.signals.end(outcome);
        }
    }

    /// Ends every connection; with [`Outcome::Shutdown`] also those that still come.
    pub(crate) fn end_all(&self, outcome: Outcome) {
        let mut slots = self.lock();
        slots.closing |= outcome == Outcome::Shutdown;
        for slot in slots.by_robot.values() {
            slot.signals.end(outcome);
        }
    }

    /// Tells the robot's connection that its desired state has changed.
    pub(crate) fn desired_changed(&self, robot: &R) {
        if let Some(slot) = self.lock().by_robot.get(robot) {
            slot.signals.desired.notify_one();
        }
    }

    /// Tells every connection to look at its desired state again.
    pub(crate) fn all_desired_changed(&self) {
        for slot in self.lock().by_robot.values() {
            slot.signals.desired.notify_one();
        }
    }

    /// Tells connections of what happens to robots, for as long as it is polled.
    pub(crate) async fn follow(&self, changes: broadcast::Receiver<R>, revocations: broadcast::Receiver<R>) {
        tokio::join!(self.follow_changes(changes), self.follow_revocations(revocations));
    }

    async fn follow_changes(&self, mut changes: broadcast::Receiver<R>) {
        loop {
            match changes.recv().await {
                Ok(robot) => self.desired_changed(&robot),
                // Which ones were missed is unknown: all look again.
                Err(RecvError::Lagged(_)) => self.all_desired_changed(),
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    async fn follow_revocations(&self, mut revocations: broadcast::Receiver<R>) {
        loop {
            match revocations.recv().await {
                Ok(robot) => self.end(&robot, Outcome::Revoked),
                // Which ones were missed is unknown: all have to prove themselves again.
                Err(RecvError::Lagged(_)) => self.end_all(Outcome::Revoked),
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<R>> {
        // Nothing in here panics half-way, so a poisoned lock still holds a whole map.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
