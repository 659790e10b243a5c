//! A trigger of a policy: values of messages in, and the moments at which it fires out.

use edgeflow_wire::{PolicyError, Reduce, SampleValue, TelemetryPolicy};
use std::collections::BTreeMap;

use crate::{
    Reading,
    condition::{Condition, Known},
    tap::Many,
};

/// Reads a policy and checks it, conditions included.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn parse(document: &serde_json::Value) -> Result<TelemetryPolicy, PolicyError> {
    let policy = TelemetryPolicy::parse(document)?;
    for (at, trigger) in policy.triggers.iter().enumerate() {
        read(trigger).map_err(|reason| PolicyError { path: format!("triggers[{at}].when"), reason })?;
    }
    Ok(policy)
}

/// The condition of a trigger, whose variables are the ones it watches.
///
/// # Errors
/// What is wrong with it.
pub fn read(trigger: &edgeflow_wire::Trigger) -> Result<Condition, String> {
    let condition = Condition::parse(&trigger.when)?;
    for reference in condition.references() {
        let Some(watch) = trigger.watch.get(&reference.variable) else {
            let known: Vec<&str> = trigger.watch.keys().map(String::as_str).collect();
            return Err(format!("there is no variable {:?}: watch has {}", reference.variable, known.join(", ")));
        };
        match (&watch.field, reference.path.is_empty()) {
            (Some(_), false) => return Err(format!("{reference}: {} is one value and has no fields", reference.variable)),
            (None, true) => return Err(format!("{reference} is a message: name one of its fields")),
            _ => {}
        }
    }
    match trigger.watch.keys().find(|name| !condition.references().iter().any(|reference| reference.variable == **name)) {
        Some(unused) => Err(format!("it does not name {unused}, which watch has")),
        None => Ok(condition),
    }
}

/// When a condition that holds becomes a trigger that fires. Moments are microseconds of a clock that only runs forward.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hold {
    for_us: u64,
    rest_us: u64,
    /// Since when it holds.
    since_us: Option<u64>,
    /// It fired since it holds.
    fired: bool,
    rests_until_us: u64,
}

impl Hold {
    /// It holds or not from now on.
    fn set(&mut self, at_us: u64, holds: bool) {
        if !holds {
            (self.since_us, self.fired) = (None, false);
        } else if self.since_us.is_none() {
            self.since_us = Some(at_us);
        }
    }

    /// When it fires if nothing changes.
    fn due_us(&self) -> Option<u64> {
        let since_us = self.since_us.filter(|_| !self.fired)?;
        Some(since_us.saturating_add(self.for_us).max(self.rests_until_us))
    }

    /// Whether it fires now; if so, since when it held.
    fn fire(&mut self, at_us: u64) -> Option<u64> {
        self.due_us().filter(|due_us| *due_us <= at_us)?;
        self.fired = true;
        self.rests_until_us = at_us.saturating_add(self.rest_us);
        self.since_us
    }
}

/// One thing that a condition names, as it is known.
#[derive(Debug, Clone)]
struct Slot {
    name: String,
    reduce: Option<Reduce>,
    max_age_us: Option<u64>,
    /// Of the present message.
    many: Many,
    fresh: Option<Result<Known, String>>,
    known: Option<(Known, u64)>,
}

/// What came of a look at a trigger's condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// Not all that it names is known.
    Unknown,
    /// It does not hold.
    No,
    /// It holds.
    Holds,
    /// It cannot be computed: this counts as not holding.
    Failed(String),
    /// It holds, for long enough now.
    Fires {
        /// For how long it held, microseconds.
        held_us: u64,
        /// What the condition names, and its values.
        values: BTreeMap<String, SampleValue>,
    },
}

/// A trigger. For each message [`Trigger::value`] as often as there are values, then [`Trigger::end`].
#[derive(Debug, Clone)]
pub struct Trigger {
    condition: Condition,
    slots: Vec<Slot>,
    hold: Hold,
}

impl Trigger {
    /// Of a condition that was read from this trigger.
    pub fn new(trigger: &edgeflow_wire::Trigger, condition: Condition) -> Self {
        let us = |seconds: f64| (seconds * 1e6) as u64;
        let slot = |reference: &crate::Reference| {
            let watch = trigger.watch.get(&reference.variable);
            Slot {
                name: reference.to_string(),
                reduce: watch.and_then(|watch| watch.reduce),
                max_age_us: watch.and_then(|watch| watch.max_age_s).map(us),
                many: Many::default(),
                fresh: None,
                known: None,
            }
        };
        let slots = condition.references().iter().map(slot).collect();
        let (for_us, rest_us) = (us(trigger.for_s), us(trigger.min_interval_s));
        Self { condition, slots, hold: Hold { for_us, rest_us, since_us: None, fired: false, rests_until_us: 0 } }
    }

    /// A value of the present message, of what the condition names in this place.
    pub fn value(&mut self, reference: usize, reading: Reading<'_>) {
        let Some(slot) = self.slots.get_mut(reference) else { return };
        if slot.reduce.is_some() { slot.many.add(reading) } else { slot.fresh = Some(Known::of(reading)) }
    }

    /// The present message, of which the condition names these, is complete. What it has no value of is not known any more.
    pub fn end(&mut self, references: &[usize], at_us: u64) -> Look {
        let mut wrong = None;
        for at in references {
            let Some(slot) = self.slots.get_mut(*at) else { continue };
            if let Some(reduce) = slot.reduce {
                slot.fresh = std::mem::take(&mut slot.many).reduced(reduce).map(Known::of);
            }
            slot.known = match slot.fresh.take() {
                Some(Ok(known)) => Some((known, at_us)),
                Some(Err(reason)) => {
                    wrong = Some(format!("{}: {reason}", slot.name));
                    None
                }
                None => {
                    wrong = Some(format!("{}: the message has no value of it", slot.name));
                    None
                }
            };
        }
        match wrong {
            Some(reason) => {
                self.hold.set(at_us, false);
                Look::Failed(reason)
            }
            None => self.look(at_us),
        }
    }

    /// The present message cannot be read: nothing of it counts, and what it would have told is not known.
    pub fn discard(&mut self, references: &[usize], at_us: u64) {
        for at in references {
            let Some(slot) = self.slots.get_mut(*at) else { continue };
            (slot.many, slot.fresh, slot.known) = (Many::default(), None, None);
        }
        self.hold.set(at_us, false);
    }

    /// When [`Trigger::look`] may say something new without another message.
    pub fn due_us(&self) -> Option<u64> {
        let expiry = |slot: &Slot| slot.known.as_ref().zip(slot.max_age_us).map(|((_, at_us), age)| at_us.saturating_add(age));
        self.slots.iter().filter_map(expiry).chain(self.hold.due_us()).min()
    }

    /// Looks at the condition at this moment.
    pub fn look(&mut self, at_us: u64) -> Look {
        for slot in &mut self.slots {
            let age = slot.max_age_us.unwrap_or(u64::MAX);
            slot.known.take_if(|(_, known_us)| at_us.saturating_sub(*known_us) >= age);
        }
        let known: Option<Vec<Known>> = self.slots.iter().map(|slot| slot.known.as_ref().map(|(known, _)| known.clone())).collect();
        let Some(known) = known else {
            self.hold.set(at_us, false);
            return Look::Unknown;
        };
        let holds = self.condition.holds(&known);
        self.hold.set(at_us, holds == Ok(true));
        match holds {
            Ok(false) => Look::No,
            Err(reason) => Look::Failed(reason),
            Ok(true) => match self.hold.fire(at_us) {
                None => Look::Holds,
                Some(since_us) => {
                    let values = self.slots.iter().zip(&known).map(|(slot, known)| (slot.name.clone(), known.sample())).collect();
                    Look::Fires { held_us: at_us.saturating_sub(since_us), values }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const S: u64 = 1_000_000;

    fn document(change: impl FnOnce(&mut Value)) -> Value {
        let mut trigger = json!({
            "name": "weak", "when": "battery.percentage < 0.2 && speed > 0.1", "min_interval_s": 60,
            "watch": {
                "battery": {"topic": "battery", "type": "sensor_msgs/msg/BatteryState"},
                "speed": {"topic": "odom", "type": "nav_msgs/msg/Odometry", "field": "twist.twist.linear.x"},
            },
        });
        change(&mut trigger);
        json!({ "triggers": [trigger] })
    }

    fn trigger(change: impl FnOnce(&mut Value)) -> Trigger {
        let wire = parse(&document(change)).unwrap().triggers.remove(0);
        Trigger::new(&wire, read(&wire).unwrap())
    }

    fn tell(trigger: &mut Trigger, at_s: u64, reference: usize, value: f64) -> Look {
        trigger.value(reference, Reading::Float(value));
        trigger.end(&[reference], at_s * S)
    }

    fn fires(look: &Look) -> bool {
        matches!(look, Look::Fires { .. })
    }

    #[test]
    fn it_fires_once_each_time_it_comes_to_hold() {
        let mut weak = trigger(|t| t["min_interval_s"] = json!(0));
        assert_eq!(tell(&mut weak, 1, 0, 0.1), Look::Unknown, "the speed is not known yet");
        let look = tell(&mut weak, 2, 1, 0.5);
        let values = BTreeMap::from([("battery.percentage", 0.1), ("speed", 0.5)]);
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), SampleValue::Number(value))).collect();
        assert_eq!(look, Look::Fires { held_us: 0, values });
        assert_eq!(tell(&mut weak, 3, 0, 0.05), Look::Holds, "it holds on: nothing new");
        assert_eq!(tell(&mut weak, 4, 1, 0.0), Look::No);
        assert!(fires(&tell(&mut weak, 5, 1, 0.5)));
    }

    #[test]
    fn it_must_hold_without_a_break_and_then_rests() {
        let mut weak = trigger(|t| t["for_s"] = json!(5));
        tell(&mut weak, 1, 0, 0.1);
        assert_eq!(tell(&mut weak, 10, 1, 0.5), Look::Holds);
        assert_eq!(weak.due_us(), Some(15 * S));
        tell(&mut weak, 14, 1, 0.0);
        assert_eq!(weak.due_us(), None);
        tell(&mut weak, 15, 1, 0.5);
        assert_eq!(weak.look(20 * S - 1), Look::Holds);
        assert!(matches!(weak.look(20 * S), Look::Fires { held_us, .. } if held_us == 5 * S));
        // It comes to hold again within the minute: it fires when that is over, if it still holds then.
        tell(&mut weak, 21, 1, 0.0);
        assert_eq!(tell(&mut weak, 22, 1, 0.5), Look::Holds);
        assert_eq!((weak.look(79 * S), weak.due_us()), (Look::Holds, Some(80 * S)));
        assert!(fires(&weak.look(80 * S)));
    }

    #[test]
    fn what_is_old_is_not_known_and_what_cannot_be_computed_never_fires() {
        let mut weak = trigger(|t| t["watch"]["battery"]["max_age_s"] = json!(10));
        tell(&mut weak, 1, 0, 0.1);
        assert_eq!(weak.due_us(), Some(11 * S));
        assert_eq!(tell(&mut weak, 11, 1, 0.5), Look::Unknown);
        let mut share = trigger(|t| {
            t["watch"] = json!({"n": {"topic": "n", "type": "std_msgs/msg/Int32", "field": "data"}});
            (t["when"], t["for_s"]) = (json!("100 / n > 5"), json!(2));
        });
        share.value(0, Reading::Integer(1));
        assert_eq!(share.end(&[0], 0), Look::Holds);
        share.value(0, Reading::Integer(0));
        assert!(matches!(share.end(&[0], S), Look::Failed(reason) if reason.to_lowercase().contains("zero")));
        share.value(0, Reading::Integer(1));
        assert_eq!((share.end(&[0], 2 * S), share.due_us()), (Look::Holds, Some(4 * S)), "it holds anew from here");
        assert!(matches!(share.end(&[0], 3 * S), Look::Failed(reason) if reason.starts_with("n: the message has no value")));
        share.discard(&[0], 4 * S);
        assert_eq!(share.look(9 * S), Look::Unknown);
    }

    #[test]
    fn many_values_of_a_message_become_one() {
        let mut near = trigger(|t| {
            t["watch"] = json!({"nearest": {"topic": "scan", "type": "sensor_msgs/msg/LaserScan", "field": "ranges[*]", "reduce": "min"}});
            t["when"] = json!("nearest < 0.3");
        });
        [2.0, 0.2, f64::INFINITY].into_iter().for_each(|range| near.value(0, Reading::Float(range)));
        assert!(fires(&near.end(&[0], S)));
        [2.0, 0.4].into_iter().for_each(|range| near.value(0, Reading::Float(range)));
        assert_eq!(near.end(&[0], 2 * S), Look::No);
    }

    #[test]
    fn a_policy_with_a_bad_condition_is_refused_with_its_place() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 6] = [
            ("column", |t| t["when"] = json!("battery.percentage <")),
            ("no variable \"volts\": watch has battery, speed", |t| t["when"] = json!("volts < 1 && speed > 1.0")),
            ("battery is a message", |t| t["when"] = json!("battery < 1 && speed > 1.0")),
            ("speed is one value", |t| t["when"] = json!("battery.percentage < 1 && speed.x > 1.0")),
            ("does not name speed", |t| t["when"] = json!("battery.percentage < 1")),
            ("it is an int", |t| t["when"] = json!("battery.percentage < 1 && speed > 1.0 ? 1 : 2")),
        ];
        for (reason, change) in cases {
            let error = parse(&document(change)).unwrap_err();
            assert!(error.path == "triggers[0].when" && error.reason.contains(reason), "{reason}: {error}");
        }
        assert!(parse(&document(|_| ())).is_ok());
        assert_eq!(parse(&json!({"routes": 1})).unwrap_err().path, "routes");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Between two times it fires lies the rest, and each time it held without a break for as long as it must.
        #[test]
        fn it_never_fires_too_early(for_s in 0_u64..5, rest_s in 0_u64..20, steps in prop::collection::vec((0_u64..4, any::<bool>()), 1..200)) {
            let mut weak = trigger(|t| (t["for_s"], t["min_interval_s"]) = (json!(for_s), json!(rest_s)));
            tell(&mut weak, 0, 0, 0.1);
            let (mut at, mut since, mut last) = (1, None, None);
            for (passed, moving) in steps {
                for _ in 0..passed {
                    at += 1;
                    if fires(&weak.look(at * S)) {
                        prop_assert!(since.is_some_and(|since| at - since >= for_s));
                        prop_assert!(last.is_none_or(|last| at - last >= rest_s));
                        last = Some(at);
                    }
                }
                since = if moving { since.or(Some(at)) } else { None };
                if fires(&tell(&mut weak, at, 1, f64::from(u8::from(moving)))) {
                    prop_assert!(since.is_some_and(|since| at - since >= for_s) && last.is_none_or(|last| at - last >= rest_s));
                    last = Some(at);
                }
            }
        }
    }
}
