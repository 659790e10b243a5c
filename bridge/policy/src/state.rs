//! States over a window: how long each lasted, and how often it began.

use edgeflow_wire::{StateWindow, TimeInState};
use std::collections::BTreeMap;

/// Different states that are told apart in one window.
pub const MAX_STATES: usize = 32;
/// What all others are together.
pub const OTHER: &str = "(other)";

/// The state of one field, and the time spent in each.
///
/// A state lasts until the next one comes or its source is lost; at the end of a window it goes on in the next.
#[derive(Debug, Clone)]
pub struct States {
    times: BTreeMap<String, TimeInState>,
    current: Option<String>,
    /// Up to here time is accounted for.
    since_us: u64,
    unknown_us: i64,
    count: u64,
}

impl States {
    /// Nothing is known at `at_us`.
    pub fn new(at_us: u64) -> Self {
        Self { times: BTreeMap::new(), current: None, since_us: at_us, unknown_us: 0, count: 0 }
    }

    /// A message says the state.
    pub fn set(&mut self, at_us: u64, state: &str) {
        self.account(at_us);
        self.count += 1;
        if self.current.as_deref() == Some(state) {
            return;
        }
        self.current = Some(state.to_owned());
        self.time_in(state).entered += 1;
    }

    /// Nobody says the state any more.
    pub fn lose(&mut self, at_us: u64) {
        self.account(at_us);
        self.current = None;
    }

    /// Ends the window and begins the next.
    pub fn close(&mut self, at_us: u64) -> StateWindow {
        self.account(at_us);
        let window = StateWindow {
            count: self.count,
            states: std::mem::take(&mut self.times),
            unknown_us: self.unknown_us,
            last: self.current.clone().unwrap_or_default(),
        };
        (self.unknown_us, self.count) = (0, 0);
        window
    }

    fn account(&mut self, at_us: u64) {
        let passed_us = i64::try_from(at_us.saturating_sub(self.since_us)).unwrap_or(i64::MAX);
        self.since_us = self.since_us.max(at_us);
        match self.current.take() {
            Some(state) => {
                if passed_us > 0 {
                    self.time_in(&state).us += passed_us;
                }
                self.current = Some(state);
            }
            None => self.unknown_us += passed_us,
        }
    }

    fn time_in(&mut self, state: &str) -> &mut TimeInState {
        let told_apart = self.times.contains_key(state) || self.times.len() < MAX_STATES;
        self.times.entry(if told_apart { state } else { OTHER }.to_owned()).or_default()
    }
}

/// Adds the window that follows to a window. States beyond [`MAX_STATES`] become [`OTHER`].
pub fn add_states(window: &mut StateWindow, later: &StateWindow) {
    window.count += later.count;
    window.unknown_us += later.unknown_us;
    window.last.clone_from(&later.last);
    for (state, time) in &later.states {
        let told_apart = window.states.contains_key(state) || window.states.len() < MAX_STATES;
        let sum = window.states.entry(if told_apart { state } else { OTHER }.to_owned()).or_default();
        sum.us += time.us;
        sum.entered += time.entered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(us: i64, entered: u64) -> TimeInState {
        TimeInState { us, entered }
    }

    #[test]
    fn a_state_lasts_into_the_next_window_until_it_changes_or_its_source_is_lost() {
        let mut states = States::new(100);
        states.set(110, "IDLE");
        states.set(120, "DRIVING");
        states.set(125, "DRIVING");
        let first = states.close(200);
        assert_eq!(first.states, [("DRIVING".to_owned(), time(80, 1)), ("IDLE".to_owned(), time(10, 1))].into());
        assert_eq!((first.count, first.unknown_us, first.last.as_str()), (3, 10, "DRIVING"));
        states.lose(250);
        let second = states.close(300);
        assert_eq!(second.states, [("DRIVING".to_owned(), time(50, 0))].into(), "it had begun before");
        assert_eq!((second.count, second.unknown_us, second.last.as_str()), (0, 50, ""));
    }

    #[test]
    fn memory_is_bounded_whatever_states_there_are() {
        let mut states = States::new(0);
        for n in 0..1_000_u64 {
            states.set(n, &n.to_string());
        }
        let window = states.close(1_000);
        assert_eq!((window.states.len(), window.states[OTHER]), (MAX_STATES + 1, time(968, 968)));
    }

    proptest! {
        #[test]
        fn all_time_is_accounted_for_and_windows_add_up(
            steps in prop::collection::vec((1..1_000_u64, prop::option::of(0..40_u8)), 0..100), cut in 0..100_usize, rest in 0..1_000_u64,
        ) {
            let (mut whole, mut parts) = (States::new(0), States::new(0));
            let mut first = None;
            let mut now = 0;
            for (at, (passed, state)) in steps.iter().enumerate() {
                if at == cut {
                    first = Some(parts.close(now));
                }
                now += passed;
                for states in [&mut whole, &mut parts] {
                    match state {
                        Some(state) => states.set(now, &state.to_string()),
                        None => states.lose(now),
                    }
                }
            }
            now += rest;
            let (whole, last) = (whole.close(now), parts.close(now));
            let total = |window: &StateWindow| window.unknown_us + window.states.values().map(|time| time.us).sum::<i64>();
            prop_assert_eq!(total(&whole), now as i64);
            let sum = match first {
                Some(mut first) => {
                    add_states(&mut first, &last);
                    first
                }
                None => last,
            };
            prop_assert_eq!((total(&sum), sum.count, sum.unknown_us, &sum.last), (total(&whole), whole.count, whole.unknown_us, &whole.last));
            if whole.states.len() < MAX_STATES {
                prop_assert_eq!(sum, whole);
            }
        }
    }
}
