//! The protocol between log and control plane as a state machine without clock, socket or disk.
//!
//! On each connection: hello, then wait until the control plane says where it stands in every class, then one batch in
//! flight per class. Only a [`LogAck`] moves a position; what stays unanswered is sent again, and duplicates cost nothing.
//! Critical goes first; while a more valuable class has a backlog, the others send small batches, so that they keep a share.

use edgeflow_wire::{AckOutcome, Class, ClassPosition, LogAck};
use std::time::{Duration, Instant};

/// How patient a session is.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Unanswered for this long, a hello or a batch is sent again.
    pub resend_after: Duration,
    /// Least time between two new epochs, should the control plane refuse one after the other.
    pub between_epochs: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { resend_after: Duration::from_secs(4), between_epochs: Duration::from_secs(10) }
    }
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send a hello.
    Hello,
    /// Read on from here, send it and tell [`Session::sent`].
    Send {
        /// Class to read.
        class: Class,
        /// The control plane's position.
        from_seq: u64,
        /// How much of a whole batch.
        share: Share,
    },
    /// Nothing until this moment, or until something happens.
    Wait(Option<Instant>),
}

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// As large as allowed.
    Whole,
    /// Smaller: something more valuable is waiting too.
    Part,
}

/// What an acknowledgement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The control plane holds everything of `class` below `next_seq`.
    Acknowledge {
        /// The class.
        class: Class,
        /// Its position.
        next_seq: u64,
    },
    /// The epoch cannot go on: open a new one and call [`Session::up`] with it.
    NewEpoch {
        /// Why, for people.
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Down,
    Greeting { hello_at: Instant },
    Open,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    /// First sequence number the control plane does not hold.
    position: u64,
    /// What the next append will get.
    end: u64,
    /// Sent up to here (exclusive) and not answered.
    in_flight: Option<(u64, Instant)>,
    /// Nothing is sent before this moment.
    hold_until: Option<Instant>,
}

impl Flow {
    fn blocked_until(&self) -> Option<Instant> {
        self.in_flight.map(|(_, at)| at).max(self.hold_until)
    }
}

/// One robot's side of the protocol.
#[derive(Debug)]
pub struct Session {
    timing: Timing,
    epoch: String,
    phase: Phase,
    flows: [Flow; 4],
    new_epoch_not_before: Option<Instant>,
}

impl Session {
    /// A session that is down.
    pub fn new(timing: Timing) -> Self {
        Self { timing, epoch: String::new(), phase: Phase::Down, flows: [Flow::default(); 4], new_epoch_not_before: None }
    }

    /// A connection came up, or a new epoch began on it: say hello.
    pub fn up(&mut self, epoch: &str, positions: &[ClassPosition], now: Instant) {
        epoch.clone_into(&mut self.epoch);
        self.phase = Phase::Greeting { hello_at: now };
        self.flows = [Flow::default(); 4];
        for position in positions {
            self.flow(position.class).end = position.next_seq;
        }
    }

    /// The connection is gone.
    pub fn down(&mut self) {
        self.phase = Phase::Down;
    }

    /// Whether the control plane has answered on this connection.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The log has grown to here.
    pub fn appended(&mut self, ends: [u64; 4]) {
        for (flow, end) in self.flows.iter_mut().zip(ends) {
            flow.end = flow.end.max(end);
        }
    }

    /// What to do now. A hello or a batch counts as sent once it was asked for.
    pub fn next(&mut self, now: Instant) -> Step {
        match self.phase {
            Phase::Down => Step::Wait(None),
            Phase::Greeting { hello_at } if hello_at <= now => {
                self.phase = Phase::Greeting { hello_at: now + self.timing.resend_after };
                Step::Hello
            }
            Phase::Greeting { hello_at } => Step::Wait(Some(hello_at)),
            Phase::Open => self.next_batch(now),
        }
    }

    /// When [`Session::next`] may have something to do without anything happening before.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Down => None,
            Phase::Greeting { hello_at } => Some(hello_at.max(now)),
            Phase::Open => self.flows.iter().filter(|flow| flow.position < flow.end).filter_map(Flow::blocked_until).min(),
        }
    }

    fn next_batch(&mut self, now: Instant) -> Step {
        let mut wake: Option<Instant> = None;
        let mut share = Share::Whole;
        for class in Class::ALL {
            let resend_after = self.timing.resend_after;
            let flow = self.flow(class);
            let behind = flow.position < flow.end;
            match flow.blocked_until().filter(|at| *at > now) {
                Some(at) if behind => wake = Some(wake.map_or(at, |wake| wake.min(at))),
                None if behind => {
                    flow.in_flight = Some((flow.position, now + resend_after));
                    return Step::Send { class, from_seq: flow.position, share };
                }
                _ => {}
            }
            if behind {
                share = Share::Part;
            }
        }
        Step::Wait(wake)
    }

    /// What was read for a [`Step::Send`] reaches up to `next_seq` (exclusive) and is on its way; or there was nothing to
    /// read, `next_seq` being the position itself.
    pub fn sent(&mut self, class: Class, next_seq: u64) {
        let flow = self.flow(class);
        if next_seq <= flow.position {
            flow.end = flow.position;
            flow.in_flight = None;
        } else {
            flow.end = flow.end.max(next_seq);
            if let Some((upto, _)) = &mut flow.in_flight {
                *upto = next_seq;
            }
        }
    }

    /// The control plane's answer.
    pub fn ack(&mut self, ack: &LogAck, now: Instant) -> Vec<Effect> {
        if self.phase == Phase::Down || ack.epoch != self.epoch {
            return Vec::new();
        }
        match &ack.outcome {
            AckOutcome::EpochRefused { reason } => self.new_epoch(format!("the control plane refused the epoch: {reason}"), now),
            AckOutcome::Accepted | AckOutcome::OutOfOrder => {
                let beyond = ack.next.iter().find(|ack| ack.next_seq > self.flow(ack.class).end).copied();
                if let Some(ack) = beyond {
                    let end = self.flow(ack.class).end;
                    let reason =
                        format!("the control plane holds {} up to {}, this log ends at {end}: it is an old copy", ack.class, ack.next_seq);
                    return self.new_epoch(reason, now);
                }
                if self.phase == Phase::Open {
                    let out_of_order = ack.outcome == AckOutcome::OutOfOrder;
                    return ack.next.iter().filter_map(|next| self.advance(next.class, next.next_seq, out_of_order, now)).collect();
                }
                self.open(ack)
            }
        }
    }

    /// The answer to a hello names every class; a late answer to an old connection's batch does not, and opens nothing.
    fn open(&mut self, ack: &LogAck) -> Vec<Effect> {
        let position = |class| ack.next.iter().find(|next| next.class == class).map(|next| next.next_seq.max(1));
        if !Class::ALL.into_iter().all(|class| position(class).is_some()) {
            return Vec::new();
        }
        self.phase = Phase::Open;
        let mut effects = Vec::new();
        for class in Class::ALL {
            let next_seq = position(class).unwrap_or(1);
            let flow = self.flow(class);
            *flow = Flow { position: next_seq, end: flow.end, in_flight: None, hold_until: None };
            effects.push(Effect::Acknowledge { class, next_seq });
        }
        effects
    }

    fn advance(&mut self, class: Class, next_seq: u64, out_of_order: bool, now: Instant) -> Option<Effect> {
        let resend_after = self.timing.resend_after;
        let flow = self.flow(class);
        let next_seq = next_seq.max(1);
        if out_of_order {
            // Asking for what was just sent is a disagreement that sending faster does not settle.
            flow.hold_until = (next_seq == flow.position).then_some(now + resend_after);
            flow.position = next_seq;
            flow.in_flight = None;
        } else if next_seq > flow.position {
            flow.position = next_seq;
            flow.in_flight = flow.in_flight.filter(|(upto, _)| *upto > next_seq);
            flow.hold_until = None;
        } else {
            return None; // a duplicate of an answer that was already heard
        }
        Some(Effect::Acknowledge { class, next_seq })
    }

    fn new_epoch(&mut self, reason: String, now: Instant) -> Vec<Effect> {
        if let Some(at) = self.new_epoch_not_before.filter(|at| *at > now) {
            self.phase = Phase::Greeting { hello_at: at };
            return Vec::new();
        }
        self.new_epoch_not_before = Some(now + self.timing.between_epochs);
        vec![Effect::NewEpoch { reason }]
    }

    fn flow(&mut self, class: Class) -> &mut Flow {
        &mut self.flows[class as usize]
    }
}

#[cfg(test)]
mod tests;
