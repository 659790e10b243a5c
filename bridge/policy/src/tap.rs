//! One route on one topic: values of messages in, windows or samples out.

use edgeflow_wire::{FieldWindow, Reduce, SampleValue, Samples};
use std::collections::BTreeMap;

use crate::{Numbers, Reading, States, gate::Gate};

/// Field path to value.
pub type Values = BTreeMap<String, SampleValue>;

/// How the values of a field are taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// As amounts.
    Number,
    /// As states; integers have these names.
    State(Vec<(i128, String)>),
    /// As they are. Only for samples.
    Plain,
}

/// A field that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Watched {
    /// Its path, as the policy has it.
    pub path: String,
    /// How its values are taken.
    pub kind: Kind,
    /// How many values of one message become one.
    pub reduce: Option<Reduce>,
}

#[derive(Debug, Clone)]
struct Field {
    watched: Watched,
    /// Of the present message.
    many: Many,
    /// The present message's state, when `has_state`.
    state: String,
    has_state: bool,
    sample: Option<SampleValue>,
    sums: Sums,
}

#[derive(Debug, Clone)]
enum Sums {
    Numbers(Numbers),
    States(States),
    None,
}

/// Values of one message on their way to one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Many {
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
    boolean: bool,
    whole: bool,
}

impl Many {
    pub(crate) fn add(&mut self, reading: Reading<'_>) {
        let Some(value) = reading.amount().filter(|value| value.is_finite()) else { return };
        if self.count == 0 {
            *self = Self { min: value, max: value, boolean: true, whole: true, ..Self::default() };
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.boolean &= matches!(reading, Reading::Bool(_));
        self.whole &= !matches!(reading, Reading::Float(_));
    }

    /// What they become; none of none, but for their count.
    pub(crate) fn reduced(self, reduce: Reduce) -> Option<Reading<'static>> {
        if reduce == Reduce::Count {
            return Some(Reading::Integer(self.count.into()));
        }
        if self.count == 0 {
            return None;
        }
        let value = match reduce {
            Reduce::Min => self.min,
            Reduce::Max => self.max,
            Reduce::Mean => return Some(Reading::Float(self.sum / self.count as f64)),
            Reduce::Sum => return Some(Reading::Float(self.sum)),
            Reduce::Count => return None,
        };
        Some(match (self.boolean, self.whole) {
            (true, _) => Reading::Bool(value != 0.0),
            (_, true) => Reading::Integer(value as i128),
            _ => Reading::Float(value),
        })
    }
}

/// One route on one topic. For each message [`Tap::value`] as often as there are values, then [`Tap::end`].
#[derive(Debug, Clone)]
pub struct Tap {
    fields: Vec<Field>,
    gate: Option<Gate>,
    messages: u64,
}

impl Tap {
    /// Sums up these fields; time in states begins at `at_us`.
    pub fn window(watched: Vec<Watched>, at_us: u64) -> Self {
        let sums = |watched: &Watched| match watched.kind {
            Kind::Number => Sums::Numbers(Numbers::default()),
            Kind::State(_) | Kind::Plain => Sums::States(States::new(at_us)),
        };
        Self::new(watched, None, sums)
    }

    /// Sends single values of these fields.
    pub fn samples(watched: Vec<Watched>, samples: Samples) -> Self {
        Self::new(watched, Some(Gate::new(samples)), |_| Sums::None)
    }

    fn new(watched: Vec<Watched>, gate: Option<Gate>, sums: impl Fn(&Watched) -> Sums) -> Self {
        let field = |watched: Watched| {
            let sums = sums(&watched);
            Field { watched, many: Many::default(), state: String::new(), has_state: false, sample: None, sums }
        };
        Self { fields: watched.into_iter().map(field).collect(), gate, messages: 0 }
    }

    /// A value of the present message, of the field of this number.
    pub fn value(&mut self, field: usize, reading: Reading<'_>) {
        let Some(field) = self.fields.get_mut(field) else { return };
        if field.watched.reduce.is_some() { field.many.add(reading) } else { field.take(reading) }
    }

    /// The present message is complete. What is to be sent of it, if anything.
    pub fn end(&mut self, at_us: u64) -> Option<Values> {
        self.messages += 1;
        let mut values = Values::new();
        for field in &mut self.fields {
            if let Some(reduce) = field.watched.reduce
                && let Some(reading) = std::mem::take(&mut field.many).reduced(reduce)
            {
                field.take(reading);
            }
            if let Sums::States(states) = &mut field.sums
                && std::mem::take(&mut field.has_state)
            {
                states.set(at_us, &field.state);
            }
            if let Some(sample) = field.sample.take() {
                values.insert(field.watched.path.clone(), sample);
            }
        }
        let gate = self.gate.as_mut()?;
        if values.is_empty() { None } else { gate.offer(at_us, values) }
    }

    /// The present message cannot be read: nothing of it counts, but that it came.
    pub fn discard(&mut self) {
        for field in &mut self.fields {
            (field.many, field.has_state, field.sample) = (Many::default(), false, None);
        }
    }

    /// Nobody publishes any more: from now on states are not known.
    pub fn lose(&mut self, at_us: u64) {
        for field in &mut self.fields {
            if let Sums::States(states) = &mut field.sums {
                states.lose(at_us);
            }
        }
    }

    /// When [`Tap::flush`] has something to send without another message.
    pub fn due_us(&self) -> Option<u64> {
        self.gate.as_ref().and_then(Gate::due_us)
    }

    /// A change that had to wait.
    pub fn flush(&mut self, at_us: u64) -> Option<Values> {
        self.gate.as_mut().and_then(|gate| gate.flush(at_us))
    }

    /// Ends the window: how many messages there were and what they said; `None` when there is nothing to say.
    pub fn close(&mut self, at_us: u64) -> Option<(u64, BTreeMap<String, FieldWindow>)> {
        let mut windows = BTreeMap::new();
        for field in &mut self.fields {
            let window = match &mut field.sums {
                Sums::Numbers(numbers) => {
                    let numbers = std::mem::take(numbers);
                    (!numbers.is_empty()).then(|| FieldWindow::Number(numbers.window()))
                }
                Sums::States(states) => Some(states.close(at_us)).filter(|window| !window.states.is_empty()).map(FieldWindow::State),
                Sums::None => None,
            };
            if let Some(window) = window {
                windows.insert(field.watched.path.clone(), window);
            }
        }
        let messages = std::mem::take(&mut self.messages);
        (messages > 0 || !windows.is_empty()).then_some((messages, windows))
    }
}

impl Field {
    fn take(&mut self, reading: Reading<'_>) {
        match (&self.watched.kind, &mut self.sums) {
            (_, Sums::Numbers(numbers)) => reading.amount().into_iter().for_each(|value| numbers.add(value)),
            (Kind::State(names), Sums::States(_)) => {
                reading.state(names, &mut self.state);
                self.has_state = true;
            }
            (Kind::Plain | Kind::Number, Sums::States(_)) => {
                reading.state(&[], &mut self.state);
                self.has_state = true;
            }
            (Kind::State(names), Sums::None) => {
                reading.state(names, &mut self.state);
                self.sample = Some(SampleValue::Text(self.state.clone()));
            }
            (Kind::Number, Sums::None) => self.sample = reading.amount().map(SampleValue::Number),
            (Kind::Plain, Sums::None) => self.sample = Some(reading.sample()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use edgeflow_wire::OnChange;
    use serde_json::{Value, json};

    fn watched(path: &str, kind: Kind, reduce: Option<Reduce>) -> Watched {
        Watched { path: path.into(), kind, reduce }
    }

    fn closed(tap: &mut Tap, at_us: u64) -> (u64, Value) {
        let (messages, fields) = tap.close(at_us).unwrap();
        (messages, serde_json::to_value(fields).unwrap())
    }

    #[test]
    fn a_window_has_amounts_and_states_and_then_begins_anew() {
        let names = vec![(0, "OK".to_owned()), (2, "ERROR".to_owned())];
        let fields = vec![
            watched("v", Kind::Number, None),
            watched("level", Kind::State(names), Some(Reduce::Max)),
            watched("n[*]", Kind::Number, None),
        ];
        let mut tap = Tap::window(fields, 0);
        for (at, level) in [(10, 0), (20, 2), (30, 7)] {
            tap.value(0, Reading::Float(at as f64));
            tap.value(1, Reading::Integer(level));
            tap.value(1, Reading::Integer(0));
            tap.value(2, Reading::Integer(1));
            tap.value(2, Reading::Integer(2));
            assert_eq!(tap.end(at), None);
        }
        let (messages, fields) = closed(&mut tap, 100);
        assert_eq!((messages, &fields["v"]["mean"], &fields["n[*]"]["count"]), (3, &json!(20.0), &json!(6)));
        let states = json!({"OK": {"us": 10, "entered": 1}, "ERROR": {"us": 10, "entered": 1}, "7": {"us": 70, "entered": 1}});
        assert_eq!((&fields["level"]["states"], &fields["level"]["unknown_us"]), (&states, &json!(10)));
        let (messages, fields) = closed(&mut tap, 200);
        assert_eq!(
            (messages, fields),
            (0, json!({"level": {"as": "state", "count": 0, "states": {"7": {"us": 100, "entered": 0}}, "unknown_us": 0, "last": "7"}}))
        );
        tap.lose(200);
        assert!(tap.close(300).is_none(), "nothing is known: nothing is said");
    }

    #[test]
    fn samples_are_what_the_message_says_or_what_it_is_reduced_to() {
        let fields = vec![
            watched("flag", Kind::Plain, None),
            watched("big", Kind::Plain, None),
            watched("mode", Kind::State(vec![(1, "AUTO".into())]), None),
            watched("r[*]", Kind::Plain, Some(Reduce::Min)),
            watched("all[*]", Kind::Plain, Some(Reduce::Max)),
            watched("n[*]", Kind::Plain, Some(Reduce::Count)),
        ];
        let mut tap = Tap::samples(fields, Samples { max_hz: None, on_change: Some(OnChange::default()) });
        let mut message = |ranges: &[f64]| {
            tap.value(0, Reading::Bool(true));
            tap.value(1, Reading::Integer(i128::from(u64::MAX)));
            tap.value(2, Reading::Integer(1));
            ranges.iter().for_each(|range| tap.value(3, Reading::Float(*range)));
            tap.value(4, Reading::Bool(false));
            tap.value(4, Reading::Bool(true));
            tap.end(1)
        };
        let sample = serde_json::to_value(message(&[2.5, f64::INFINITY, 0.5]).unwrap()).unwrap();
        assert_eq!(sample, json!({"flag": true, "big": "18446744073709551615", "mode": "AUTO", "r[*]": 0.5, "all[*]": true, "n[*]": 0.0}));
        assert_eq!(message(&[0.5]), None, "nothing changed");
        assert!(!message(&[]).unwrap().contains_key("r[*]"), "the least of none is no value");
    }

    #[test]
    fn a_message_that_cannot_be_read_leaves_nothing() {
        let mut tap = Tap::window(vec![watched("s", Kind::Plain, None)], 0);
        tap.value(0, Reading::Text("half"));
        tap.discard();
        assert!(tap.close(10).is_none());
        tap.value(0, Reading::Text("whole"));
        assert!(tap.end(15).is_none());
        let (_, fields) = closed(&mut tap, 20);
        assert_eq!(fields["s"]["states"], json!({"whole": {"us": 5, "entered": 1}}));
    }
}
