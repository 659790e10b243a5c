//! What happens becomes entries here: each with its moment, a few given up while the host is short, and some of them reasons
//! to report more.

use edgeflow_edge_log::NewEntry;
use edgeflow_wire::{Class, EntryBody, FaultBody};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

use crate::{Clock, LogHandle, Moment, Receipts, escalate::Alarm, policy::Valve};

/// Writes entries with their moments.
#[derive(Debug, Clone)]
pub struct Recorder {
    log: LogHandle,
    clock: Clock,
    /// What may pass; all, when nobody says.
    valve: Option<watch::Receiver<Valve>>,
    alarms: broadcast::Sender<Alarm>,
}

impl Recorder {
    /// Records into `log`.
    pub fn new(log: LogHandle, clock: Clock) -> Self {
        Self { log, clock, valve: None, alarms: broadcast::Sender::new(64) }
    }

    /// The same, which gives up entries while the host is short.
    pub(crate) fn guarded(self, valve: watch::Receiver<Valve>) -> Self {
        Self { valve: Some(valve), ..self }
    }

    /// What happens that may be a reason to report more.
    pub(crate) fn alarms(&self) -> broadcast::Receiver<Alarm> {
        self.alarms.subscribe()
    }

    /// Whether entries of this class are given up now.
    pub(crate) fn sheds(&self, class: Class) -> bool {
        self.valve.as_ref().and_then(|valve| valve.borrow().shed).is_some_and(|shed| class >= shed)
    }

    /// The clock entries are stamped with.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Records what happened at `moment`.
    pub async fn record(&self, class: Class, moment: Moment, body: EntryBody) {
        let alarm = match &body {
            EntryBody::DriftReport(report) if report.flagged => Some(Alarm::Drift),
            EntryBody::Fault(fault) => Some(Alarm::Fault(fault.source.clone())),
            EntryBody::Trigger(trigger) => Some(Alarm::Trigger(trigger.name.clone())),
            _ => None,
        };
        if let Some(alarm) = alarm {
            // Nobody may be listening.
            drop(self.alarms.send(alarm));
        }
        if self.sheds(class) {
            return;
        }
        let entry = NewEntry { class, t_us: moment.t_us, boot_us: moment.boot_us, content: body.into() };
        if self.log.append(entry).await.is_err() {
            tracing::error!("an entry came after the edge log was closed");
        }
    }

    /// Records what happened at `moment`, counted by its producer.
    pub async fn record_counted(&self, class: Class, moment: Moment, body: EntryBody, receipts: &Arc<Receipts>) {
        let entry = NewEntry { class, t_us: moment.t_us, boot_us: moment.boot_us, content: body.into() };
        if self.log.append_counted(entry, receipts).await.is_err() {
            tracing::error!("an entry came after the edge log was closed");
        }
    }

    /// Records what happens now.
    pub async fn record_now(&self, class: Class, body: EntryBody) {
        self.record(class, self.clock.now(), body).await;
    }

    /// Records what happened at `moment` and waits until it is on the disk; false when the log closed before, or entries were given up.
    pub async fn record_durably(&self, class: Class, moment: Moment, body: EntryBody) -> bool {
        self.record(class, moment, body).await;
        self.log.written().await.is_ok()
    }

    /// Records that something is wrong.
    pub async fn fault(&self, source: &str, message: String) {
        tracing::warn!(source, message, "fault");
        self.record_now(Class::Critical, EntryBody::Fault(FaultBody { source: source.to_owned(), message })).await;
    }
}
