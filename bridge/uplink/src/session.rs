//! The protocol between log and control plane as a state machine without clock, socket or disk.
//!
//! On each connection: hello, then wait until the control plane says where it stands in every class, then a few batches in
//! flight per class. Only a [`LogAck`] moves a position; what stays unanswered is sent again, and duplicates cost nothing.
//! Critical goes first; while a more valuable class has a backlog, the others send small batches, so that they keep a share.
//!
//! How many are in flight follows the link: one at first, more while answers come at once, one again when an answer is
//! missing. How long an answer may take follows it too, or a slow link would carry the same batch twice and then three times.

use edgeflow_wire::{AckOutcome, Class, ClassPosition, LogAck};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How patient a session is.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Unanswered for this long, a hello or a batch is sent again; up to 16 times as long where answers take their time.
    pub resend_after: Duration,
    /// Most batches of a class in flight.
    pub max_in_flight: usize,
    /// Least time between two new epochs, should the control plane refuse one after the other.
    pub between_epochs: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { resend_after: Duration::from_secs(4), max_in_flight: 4, between_epochs: Duration::from_secs(10) }
    }
}

/// How many times `resend_after` a slow link may take.
const SLOWEST: u32 = 16;
/// An answer within this part of [`Timing::resend_after`] comes at once.
const AT_ONCE: u32 = 8;

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

#[derive(Debug, Clone, Default)]
struct Flow {
    /// First sequence number the control plane does not hold.
    position: u64,
    /// Oldest that the log still held at its hello: what is below was acknowledged, or is lost.
    first: u64,
    /// What the next append will get.
    end: u64,
    /// Sent up to here (exclusive) on this connection at some time.
    sent: u64,
    /// Next to be sent: `position`, or beyond what is in flight.
    next: u64,
    /// Sent up to here (exclusive) and not answered, oldest first, and when to give it up.
    in_flight: VecDeque<(u64, Instant)>,
    /// Since when `position` is asked for: the oldest batch was first sent then.
    asked_at: Option<Instant>,
    /// Batches that may be in flight.
    window: usize,
    /// How long an answer may take.
    patience: Duration,
    /// Nothing is sent before this moment.
    hold_until: Option<Instant>,
}

impl Flow {
    fn new(position: u64, end: u64, timing: &Timing) -> Self {
        Self { position, end, next: position, sent: position, window: 1, patience: timing.resend_after, ..Self::default() }
    }

    fn blocked_until(&self) -> Option<Instant> {
        self.in_flight.front().map(|(_, at)| *at).max(self.hold_until)
    }

    /// Begins again at `position`.
    fn rewind(&mut self, position: u64) {
        (self.position, self.next) = (position, position);
        self.in_flight.clear();
    }

    /// No answer in time: what is in flight is given up, and the link is taken for a slow one.
    fn time_out(&mut self, timing: &Timing) {
        self.rewind(self.position);
        self.window = 1;
        self.patience = (self.patience * 2).min(timing.resend_after * SLOWEST);
    }

    /// The control plane holds everything below `position` now.
    fn answered(&mut self, position: u64, now: Instant, timing: &Timing) {
        self.position = position;
        self.next = self.next.max(position);
        let before = self.in_flight.len();
        self.in_flight.retain(|(upto, _)| *upto > position);
        self.hold_until = None;
        let took = self.asked_at.map(|at| now.saturating_duration_since(at)).filter(|_| self.in_flight.len() < before);
        if let Some(took) = took {
            self.patience = (took * 2).clamp(timing.resend_after, timing.resend_after * SLOWEST);
            self.window = if took * AT_ONCE <= timing.resend_after { (self.window + 1).min(timing.max_in_flight.max(1)) } else { 1 };
        }
        self.asked_at = self.in_flight.front().map(|_| now);
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
        Self { timing, epoch: String::new(), phase: Phase::Down, flows: Default::default(), new_epoch_not_before: None }
    }

    /// A connection came up, or a new epoch began on it: say hello.
    pub fn up(&mut self, epoch: &str, positions: &[ClassPosition], now: Instant) {
        epoch.clone_into(&mut self.epoch);
        self.phase = Phase::Greeting { hello_at: now };
        self.flows = Default::default();
        for position in positions {
            let flow = self.flow(position.class);
            (flow.first, flow.end) = (position.first_seq, position.next_seq);
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

    /// Whether a log that ends here is not the one that said hello: none grows shorter.
    pub fn is_another(&self, ends: [u64; 4]) -> bool {
        self.phase != Phase::Down && self.flows.iter().zip(ends).any(|(flow, end)| end < flow.end)
    }

    /// Whether this is the epoch of the log that said hello.
    pub fn is_of(&self, epoch: &str) -> bool {
        self.epoch == epoch
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
            let timing = self.timing;
            let flow = self.flow(class);
            let behind = flow.position < flow.end;
            if flow.in_flight.front().is_some_and(|(_, at)| *at <= now) {
                flow.time_out(&timing);
            }
            let held = flow.hold_until.is_some_and(|at| at > now);
            if !held && flow.next < flow.end && flow.in_flight.len() < flow.window {
                flow.in_flight.push_back((flow.next, now + flow.patience));
                flow.asked_at.get_or_insert(now);
                return Step::Send { class, from_seq: flow.next, share };
            }
            if behind && let Some(at) = flow.blocked_until() {
                wake = Some(wake.map_or(at, |wake| wake.min(at)));
            }
            if behind {
                share = Share::Part;
            }
        }
        Step::Wait(wake)
    }

    /// What was read for the last [`Step::Send`] reaches up to `next_seq` (exclusive) and is on its way; or there was nothing to
    /// read, `next_seq` being what it was to begin with.
    pub fn sent(&mut self, class: Class, next_seq: u64) {
        let flow = self.flow(class);
        if next_seq <= flow.next {
            flow.in_flight.pop_back();
            flow.end = flow.next;
        } else {
            flow.end = flow.end.max(next_seq);
            flow.next = next_seq;
            flow.sent = flow.sent.max(next_seq);
            if let Some((upto, _)) = flow.in_flight.back_mut() {
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
    ///
    /// What the control plane holds and this log was never told of is sent all the same, to be compared: it came from this log before a
    /// link broke, or from a clone, whose entries are others under the same numbers.
    fn open(&mut self, ack: &LogAck) -> Vec<Effect> {
        let position = |class| ack.next.iter().find(|next| next.class == class).map(|next| next.next_seq.max(1));
        if !Class::ALL.into_iter().all(|class| position(class).is_some()) {
            return Vec::new();
        }
        self.phase = Phase::Open;
        let mut effects = Vec::new();
        for class in Class::ALL {
            let next_seq = position(class).unwrap_or(1);
            let timing = self.timing;
            let flow = self.flow(class);
            let next_seq = next_seq.min(flow.first.max(1));
            *flow = Flow::new(next_seq, flow.end, &timing);
            effects.push(Effect::Acknowledge { class, next_seq });
        }
        effects
    }

    fn advance(&mut self, class: Class, next_seq: u64, out_of_order: bool, now: Instant) -> Option<Effect> {
        let timing = self.timing;
        let flow = self.flow(class);
        // Beyond what was sent nothing was compared.
        let next_seq = next_seq.clamp(1, flow.sent.max(1));
        if out_of_order {
            // Asking for what was just sent is a disagreement that sending faster does not settle.
            flow.hold_until = (next_seq == flow.position).then_some(now + timing.resend_after);
            flow.rewind(next_seq);
        } else if next_seq > flow.position {
            flow.answered(next_seq, now, &timing);
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
