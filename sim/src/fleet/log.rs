//! A robot's log in memory, with the rules of the wire: each class counts by itself, nothing is forgotten before it is acknowledged,
//! and an answer says from where to go on. Ten thousand of them fit where ten thousand databases would not.

use edgeflow_wire::{AckOutcome, Batch, Class, ClassPosition, Content, Entry, Hello, LogAck, Upstream, WIRE_VERSION};
use std::collections::VecDeque;

/// Most entries of one batch.
const MOST: usize = 200;

/// Wall clock and time since the robot booted, microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) t_us: i64,
    pub(crate) boot_us: i64,
}

/// What a robot has said and the control plane has not acknowledged.
#[derive(Debug)]
pub(crate) struct Log {
    epoch: String,
    lanes: [Lane; Class::ALL.len()],
}

#[derive(Debug, Default)]
struct Lane {
    /// Entries before the first that is held.
    acknowledged: u64,
    held: VecDeque<Entry>,
}

impl Lane {
    fn next_seq(&self) -> u64 {
        self.acknowledged + self.held.len() as u64 + 1
    }
}

/// The control plane broke a rule of the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("it refused the epoch of a log that is nobody else's: {0}")]
    Epoch(String),
    #[error("it wants entry {next} of class {class}, but entries up to {acknowledged} were acknowledged and {said} said")]
    Position { class: Class, next: u64, acknowledged: u64, said: u64 },
}

impl Log {
    pub(crate) fn new(epoch: String) -> Self {
        Self { epoch, lanes: Default::default() }
    }

    fn lane(&mut self, class: Class) -> &mut Lane {
        let [critical, event, summary, detail] = &mut self.lanes;
        match class {
            Class::Critical => critical,
            Class::Event => event,
            Class::Summary => summary,
            Class::Detail => detail,
        }
    }

    /// Says something.
    pub(crate) fn append(&mut self, class: Class, now: Moment, content: impl Into<Content>) {
        let lane = self.lane(class);
        lane.held.push_back(Entry { seq: lane.next_seq(), t_us: now.t_us, boot_us: now.boot_us, content: content.into() });
    }

    /// First word on a connection.
    pub(crate) fn hello(&self, software: &str, now: Moment) -> Upstream {
        let stand = |(class, lane): (Class, &Lane)| ClassPosition { class, first_seq: lane.acknowledged + 1, next_seq: lane.next_seq() };
        let classes = Class::ALL.into_iter().zip(&self.lanes).map(stand).collect();
        let (epoch, software) = (self.epoch.clone(), software.to_owned());
        Upstream::Hello(Hello { v: WIRE_VERSION, epoch, software, classes, t_us: now.t_us, boot_us: now.boot_us })
    }

    /// What is to be said next, of the most valuable class that holds something.
    pub(crate) fn batch(&self) -> Option<Upstream> {
        let (class, lane) = Class::ALL.into_iter().zip(&self.lanes).find(|(_, lane)| !lane.held.is_empty())?;
        let entries = lane.held.iter().take(MOST).cloned().collect();
        Some(Upstream::Batch(Batch { v: WIRE_VERSION, epoch: self.epoch.clone(), class, loss: None, entries }))
    }

    /// Forgets what is acknowledged; what is wanted again is still held.
    pub(crate) fn take(&mut self, ack: &LogAck) -> Result<(), Broken> {
        if let AckOutcome::EpochRefused { reason } = &ack.outcome {
            return Err(Broken::Epoch(reason.clone()));
        }
        for next in &ack.next {
            let (class, next) = (next.class, next.next_seq);
            let lane = self.lane(class);
            let said = lane.next_seq() - 1;
            let Some(gone) = next.checked_sub(lane.acknowledged + 1).filter(|_| next <= said + 1) else {
                return Err(Broken::Position { class, next, acknowledged: lane.acknowledged, said });
            };
            lane.held.drain(..usize::try_from(gone).unwrap_or(usize::MAX).min(lane.held.len()));
            lane.acknowledged = next - 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use edgeflow_wire::{Ack, EntryBody, LinkBody};

    const NOW: Moment = Moment { t_us: 5, boot_us: 2 };

    fn said(log: &mut Log, class: Class) {
        log.append(class, NOW, EntryBody::Link(LinkBody { connected: true, uplink: "http".into(), reason: String::new() }));
    }

    fn ack(class: Class, next_seq: u64, outcome: AckOutcome) -> LogAck {
        LogAck { v: WIRE_VERSION, epoch: "e".into(), outcome, next: vec![Ack { class, next_seq }], server_time_us: 0 }
    }

    fn batch(log: &Log) -> Option<(Class, Vec<u64>)> {
        let Upstream::Batch(batch) = log.batch()? else { return None };
        Some((batch.class, batch.entries.iter().map(|entry| entry.seq).collect()))
    }

    #[test]
    fn what_is_not_acknowledged_is_said_again_the_most_valuable_first() {
        let mut log = Log::new("e".into());
        assert!(log.batch().is_none());
        (0..3).for_each(|_| said(&mut log, Class::Event));
        said(&mut log, Class::Critical);
        assert_eq!(batch(&log), Some((Class::Critical, vec![1])));
        log.take(&ack(Class::Critical, 2, AckOutcome::Accepted)).unwrap();
        assert_eq!(batch(&log), Some((Class::Event, vec![1, 2, 3])));
        log.take(&ack(Class::Event, 2, AckOutcome::OutOfOrder)).unwrap();
        assert_eq!(batch(&log), Some((Class::Event, vec![2, 3])));
        said(&mut log, Class::Event);
        assert_eq!(batch(&log), Some((Class::Event, vec![2, 3, 4])));
        let Upstream::Hello(hello) = log.hello("0", NOW) else { unreachable!() };
        assert_eq!((hello.classes[0].first_seq, hello.classes[0].next_seq), (2, 2));
        assert_eq!((hello.classes[1].first_seq, hello.classes[1].next_seq), (2, 5));
    }

    #[test]
    fn a_control_plane_that_forgets_or_invents_is_told_so() {
        let mut log = Log::new("e".into());
        (0..3).for_each(|_| said(&mut log, Class::Summary));
        log.take(&ack(Class::Summary, 3, AckOutcome::Accepted)).unwrap();
        assert!(matches!(log.take(&ack(Class::Summary, 2, AckOutcome::Accepted)), Err(Broken::Position { next: 2, .. })));
        assert!(matches!(log.take(&ack(Class::Summary, 5, AckOutcome::Accepted)), Err(Broken::Position { next: 5, said: 3, .. })));
        log.take(&ack(Class::Summary, 3, AckOutcome::Accepted)).unwrap();
        let refused = AckOutcome::EpochRefused { reason: "a clone".into() };
        assert_eq!(log.take(&ack(Class::Summary, 3, refused)), Err(Broken::Epoch("a clone".into())));
    }
}
