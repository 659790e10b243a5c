//! Random appends, acknowledgements, evictions, reads and reopenings against a model that keeps everything in memory.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{EdgeLog, LogError, NewEntry, Options};
use edgeflow_wire::{Class, Content};
use proptest::prelude::*;
use std::{collections::VecDeque, time::Duration};

const BUDGET_BYTES: u64 = 4_000;
const OVERHEAD_BYTES: u64 = 32;
const MAX_AGE_US: i64 = 20;
/// Between the two clocks.
const BOOTED_US: i64 = 1_000_000;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(Class, usize)>),
    /// Acknowledges this share of what is appended, in percent.
    Acknowledge(Class, u64),
    Read(Class, u64),
    /// Lets time pass and gives up what is too old.
    Expire(i64),
    Restart,
    NewEpoch,
}

#[derive(Debug, Default)]
struct ClassModel {
    next: u64,
    acked_next: u64,
    /// seq, t_us, cost
    held: VecDeque<(u64, i64, u64)>,
    lost: u64,
}

#[derive(Debug)]
struct Model {
    classes: [ClassModel; 4],
    clock: i64,
}

impl Model {
    fn new() -> Self {
        Self { classes: std::array::from_fn(|_| ClassModel { next: 1, acked_next: 1, ..ClassModel::default() }), clock: 0 }
    }

    fn append(&mut self, class: Class, cost: u64) -> (u64, i64) {
        self.clock += 1;
        let model = &mut self.classes[class as usize];
        model.held.push_back((model.next, self.clock, cost));
        model.next += 1;
        (model.next - 1, self.clock)
    }

    fn evict(&mut self) {
        for class in (0..4).rev() {
            while self.total() > BUDGET_BYTES {
                let model = &mut self.classes[class];
                if model.held.pop_front().is_none() {
                    break;
                }
                model.lost += 1;
            }
        }
    }

    fn expire(&mut self, passed_us: i64) -> u64 {
        self.clock += passed_us;
        let mut lost = 0;
        for class in [Class::Summary, Class::Detail] {
            let model = &mut self.classes[class as usize];
            while model.held.front().is_some_and(|(_, t_us, _)| self.clock - t_us > MAX_AGE_US) {
                model.held.pop_front();
                model.lost += 1;
                lost += 1;
            }
        }
        lost
    }

    fn total(&self) -> u64 {
        self.classes.iter().flat_map(|model| &model.held).map(|(_, _, cost)| cost).sum()
    }
}

fn content(size: usize) -> Content {
    Content::Unknown { kind: "test".to_owned(), body: serde_json::Value::String("x".repeat(size)) }
}

fn cost(size: usize) -> u64 {
    serde_json::to_vec(&content(size)).unwrap().len() as u64 + OVERHEAD_BYTES
}

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(Class::ALL.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((class(), 0_usize..400), 1..8).prop_map(Step::Append),
        3 => (class(), 0_u64..=100).prop_map(|(class, percent)| Step::Acknowledge(class, percent)),
        3 => (class(), 0_u64..=100).prop_map(|(class, percent)| Step::Read(class, percent)),
        1 => (0_i64..40).prop_map(Step::Expire),
        1 => Just(Step::Restart),
        1 => Just(Step::NewEpoch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_behaves_like_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let max_age = Some(Duration::from_micros(MAX_AGE_US as u64));
        let options = Options { budget_bytes: BUDGET_BYTES, max_age: [None, None, max_age, max_age] };
        let mut log = EdgeLog::open(dir.path(), options).unwrap().0;
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Append(entries) => {
                    let mut new = Vec::new();
                    let mut expected = Vec::new();
                    for (class, size) in entries {
                        let (seq, t_us) = model.append(class, cost(size));
                        expected.push(seq);
                        new.push(NewEntry { class, t_us, boot_us: t_us - BOOTED_US, content: content(size) });
                    }
                    model.evict();
                    prop_assert_eq!(log.append_all(&new).unwrap(), expected);
                }
                Step::Acknowledge(class, percent) => {
                    let model = &mut model.classes[class as usize];
                    let next = 1 + (model.next - 1) * percent / 100;
                    log.acknowledge(class, next).unwrap();
                    model.acked_next = model.acked_next.max(next);
                    model.held.retain(|(seq, _, _)| *seq >= model.acked_next);
                    let beyond = model.next + 1;
                    let refused = matches!(log.acknowledge(class, beyond), Err(LogError::BeyondEnd { .. }));
                    prop_assert!(refused, "acknowledged what was never appended");
                }
                Step::Read(class, percent) => check_read(&mut log, &model, class, percent)?,
                Step::Expire(passed_us) => {
                    let lost = model.expire(passed_us);
                    prop_assert_eq!(log.expire(model.clock, model.clock - BOOTED_US).unwrap(), lost);
                }
                Step::Restart => {
                    let epoch = log.epoch().to_owned();
                    drop(log);
                    log = EdgeLog::open(dir.path(), options).unwrap().0;
                    prop_assert_eq!(log.epoch(), epoch);
                }
                Step::NewEpoch => {
                    let before = log.epoch().to_owned();
                    prop_assert_ne!(log.reopen_epoch().unwrap(), before);
                    for model in &mut model.classes {
                        let offset = model.acked_next - 1;
                        model.held.iter_mut().for_each(|entry| entry.0 -= offset);
                        model.next -= offset;
                        model.acked_next = 1;
                        model.lost = model.held.front().map_or(model.next, |entry| entry.0) - 1;
                    }
                }
            }
            for ((stats, position), model) in log.stats().unwrap().iter().zip(log.positions().unwrap()).zip(&model.classes) {
                prop_assert_eq!(stats.appended, model.next - 1);
                prop_assert_eq!(stats.acknowledged, model.acked_next - 1);
                prop_assert_eq!(stats.lost, model.lost);
                prop_assert_eq!(stats.held_bytes, model.held.iter().map(|(_, _, cost)| cost).sum::<u64>());
                prop_assert_eq!(position.first_seq, model.held.front().map_or(model.next, |entry| entry.0));
                prop_assert_eq!(position.next_seq, model.next);
            }
        }
        for class in Class::ALL {
            check_read(&mut log, &model, class, 0)?;
        }
    }
}

/// Reads from a position, or from the oldest thing known, and compares: the loss and then every held entry in order.
fn check_read(log: &mut EdgeLog, model: &Model, class: Class, percent: u64) -> Result<(), TestCaseError> {
    let model = &model.classes[class as usize];
    let from = 1 + (model.next - 1) * percent / 100;
    let run = log.read(class, from, usize::MAX >> 1, usize::MAX).unwrap();
    let from = from.max(model.acked_next);
    let first_held = model.held.front().map_or(model.next, |entry| entry.0);
    if from < first_held {
        let loss = run.loss.unwrap();
        prop_assert_eq!((loss.first_seq, loss.last_seq), (from, first_held - 1));
        prop_assert!(loss.first_t_us <= loss.last_t_us && loss.last_t_us > 0);
    } else {
        prop_assert!(run.loss.is_none());
    }
    let read: Vec<_> = run.entries.iter().map(|entry| (entry.seq, entry.t_us)).collect();
    let expected: Vec<_> = model.held.iter().filter(|entry| entry.0 >= from).map(|entry| (entry.0, entry.1)).collect();
    prop_assert_eq!(read, expected);
    prop_assert!(run.entries.iter().all(|entry| entry.boot_us == entry.t_us - BOOTED_US));
    Ok(())
}
