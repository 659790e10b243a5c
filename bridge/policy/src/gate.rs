//! Which of many samples are sent: so many a second, and only what changed. The last change is always sent in the end.

use edgeflow_wire::{SampleValue, Samples};

use crate::Values;

#[derive(Debug, Clone)]
pub(crate) struct Gate {
    least_us: u64,
    deadband: Option<f64>,
    /// Nothing is sent before.
    due_us: u64,
    sent: Option<Values>,
    /// A change that came too early.
    pending: Option<Values>,
}

impl Gate {
    pub(crate) fn new(samples: Samples) -> Self {
        // Checked to be within 0.0001 to 1000.
        let least_us = samples.max_hz.map_or(0, |max_hz| (1e6 / max_hz) as u64);
        Self { least_us, deadband: samples.on_change.map(|change| change.deadband), due_us: 0, sent: None, pending: None }
    }

    pub(crate) fn offer(&mut self, at_us: u64, values: Values) -> Option<Values> {
        if let (Some(deadband), Some(sent)) = (self.deadband, &self.sent)
            && !changed(sent, &values, deadband)
        {
            self.pending = None;
            return None;
        }
        if at_us < self.due_us {
            self.pending = self.deadband.is_some().then_some(values);
            return None;
        }
        Some(self.send(at_us, values))
    }

    /// When [`Gate::flush`] has something to send.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.pending.as_ref().map(|_| self.due_us)
    }

    pub(crate) fn flush(&mut self, at_us: u64) -> Option<Values> {
        let values = if at_us >= self.due_us { self.pending.take()? } else { return None };
        Some(self.send(at_us, values))
    }

    fn send(&mut self, at_us: u64, values: Values) -> Values {
        // In step with what went before, so that 10 Hz thinned to 5 Hz is every second one, unless that is long ago.
        self.due_us = if self.due_us + self.least_us > at_us { self.due_us + self.least_us } else { at_us + self.least_us };
        self.pending = None;
        self.sent = self.deadband.map(|_| values.clone());
        values
    }
}

fn changed(sent: &Values, now: &Values, deadband: f64) -> bool {
    sent.len() != now.len()
        || sent.iter().zip(now).any(|((path, before), (other, after))| path != other || differs(before, after, deadband))
}

fn differs(before: &SampleValue, after: &SampleValue, deadband: f64) -> bool {
    match (before, after) {
        (SampleValue::Number(before), SampleValue::Number(after)) if before.is_finite() && after.is_finite() => {
            (before - after).abs() > deadband
        }
        (SampleValue::Number(before), SampleValue::Number(after)) => before.to_bits() != after.to_bits(),
        (before, after) => before != after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_wire::OnChange;

    fn values(number: f64) -> Values {
        [("a".to_owned(), SampleValue::Number(number))].into()
    }

    fn gate(max_hz: Option<f64>, deadband: Option<f64>) -> Gate {
        Gate::new(Samples { max_hz, on_change: deadband.map(|deadband| OnChange { deadband }) })
    }

    #[test]
    fn a_rate_is_kept_in_step() {
        let mut gate = gate(Some(5.0), None);
        let sent: Vec<u64> = (0..10).map(|n| n * 100_000).filter(|at| gate.offer(*at, values(0.0)).is_some()).collect();
        assert_eq!(sent, [0, 200_000, 400_000, 600_000, 800_000]);
        assert!(gate.offer(9_000_000, values(0.0)).is_some() && gate.offer(9_100_000, values(0.0)).is_none(), "no burst after a pause");
        assert_eq!(gate.due_us(), None);
    }

    #[test]
    fn only_changes_beyond_the_deadband_are_sent() {
        let mut gate = gate(None, Some(0.5));
        let sent: Vec<f64> = [0.0, 0.4, 0.6, 1.0, 1.2, f64::NAN, f64::NAN, 1.2]
            .into_iter()
            .enumerate()
            .filter(|(at, number)| gate.offer(*at as u64, values(*number)).is_some())
            .map(|(_, number)| number)
            .collect();
        assert_eq!(format!("{sent:?}"), "[0.0, 0.6, 1.2, NaN, 1.2]");
        assert!(gate.offer(99, Values::new()).is_some(), "a field that is gone is a change");
    }

    #[test]
    fn the_last_change_is_sent_when_its_time_has_come() {
        let mut gate = gate(Some(1.0), Some(0.0));
        assert!(gate.offer(0, values(1.0)).is_some());
        assert!(gate.offer(10, values(2.0)).is_none() && gate.offer(20, values(3.0)).is_none());
        assert_eq!((gate.due_us(), gate.flush(999_999)), (Some(1_000_000), None));
        assert_eq!((gate.flush(1_000_000), gate.due_us()), (Some(values(3.0)), None));
        assert!(gate.offer(1_000_010, values(4.0)).is_none() && gate.offer(1_000_020, values(3.0)).is_none());
        assert_eq!(gate.due_us(), None, "it is again what was sent");
    }
}
