//! The rule of ingestion, by example and against a model of a robot that evicts, repeats itself, restarts and is cut off.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use edgeflow_wire::{Class, Content, WIRE_VERSION};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn entry(seq: u64) -> Entry {
    let content = Content::Unknown { kind: "test".into(), body: serde_json::json!({ "seq": seq }) };
    Entry { seq, t_us: seq as i64 * 10, boot_us: seq as i64, content }
}

fn loss(first_seq: u64, last_seq: u64) -> Loss {
    Loss { first_seq, last_seq, bytes: 1, ..Loss::default() }
}

fn batch(loss: Option<Loss>, seqs: std::ops::Range<u64>) -> Batch {
    Batch { v: WIRE_VERSION, epoch: "e".into(), class: Class::Event, loss, entries: seqs.map(entry).collect() }
}

fn at(next_seq: u64, robot_first_seq: u64) -> Position {
    Position { next_seq, robot_first_seq }
}

fn lost(first_seq: u64, last_seq: u64, cause: LossCause) -> LostRange {
    LostRange { first_seq, last_seq, cause }
}

#[test]
fn the_run_that_was_wanted_moves_the_position() {
    assert_eq!(plan(at(3, 1), &batch(None, 3..6)), Plan::Apply { skip: 0, lost: vec![], next_seq: 6 });
}

#[test]
fn duplicates_and_overlaps_cost_nothing() {
    assert_eq!(plan(at(6, 1), &batch(None, 3..6)), Plan::Apply { skip: 3, lost: vec![], next_seq: 6 });
    assert_eq!(plan(at(5, 1), &batch(None, 3..8)), Plan::Apply { skip: 2, lost: vec![], next_seq: 8 });
    assert_eq!(plan(at(100, 1), &batch(Some(loss(1, 2)), 3..8)), Plan::Apply { skip: 5, lost: vec![], next_seq: 100 });
}

#[test]
fn a_gap_nobody_accounts_for_is_out_of_order() {
    assert_eq!(plan(at(3, 1), &batch(None, 5..6)), Plan::OutOfOrder);
    assert_eq!(plan(at(3, 1), &batch(Some(loss(5, 7)), 8..9)), Plan::OutOfOrder);
    assert_eq!(plan(at(3, 4), &batch(None, 5..6)), Plan::OutOfOrder, "the robot still holds 4");
}

#[test]
fn an_evicted_range_is_recorded_as_far_as_it_is_new() {
    let evicted = |first, last| lost(first, last, LossCause::Evicted);
    assert_eq!(plan(at(3, 1), &batch(Some(loss(3, 7)), 8..9)), Plan::Apply { skip: 0, lost: vec![evicted(3, 7)], next_seq: 9 });
    assert_eq!(plan(at(5, 1), &batch(Some(loss(1, 7)), 8..9)), Plan::Apply { skip: 0, lost: vec![evicted(5, 7)], next_seq: 9 });
    assert_eq!(plan(at(5, 1), &batch(Some(loss(1, 7)), 8..8)), Plan::Apply { skip: 0, lost: vec![evicted(5, 7)], next_seq: 8 });
}

#[test]
fn what_the_robots_disk_did_not_keep_is_recorded_as_that_even_in_the_middle_and_by_itself() {
    let damaged = |first, last, at_most| Some(Loss { damaged: true, at_most, ..loss(first, last) });
    let lost = |first, last, cause| vec![LostRange { first_seq: first, last_seq: last, cause }];
    let taken = plan(at(3, 1), &batch(damaged(3, 7, false), 8..8));
    assert_eq!(taken, Plan::Apply { skip: 0, lost: lost(3, 7, LossCause::LogDamaged), next_seq: 8 });
    let taken = plan(at(8, 1), &batch(damaged(5, 9, true), 10..12));
    assert_eq!(taken, Plan::Apply { skip: 0, lost: lost(8, 9, LossCause::LogDamagedAtMost), next_seq: 12 });
    for cause in [LossCause::Evicted, LossCause::LogDamaged, LossCause::LogDamagedAtMost, LossCause::ServerRewound] {
        assert_eq!(LossCause::parse(cause.as_str()).unwrap(), cause);
    }
}

#[test]
fn what_the_robot_trimmed_because_we_once_had_it_is_a_rewind() {
    let rewound = lost(3, 9, LossCause::ServerRewound);
    assert_eq!(plan(at(3, 10), &batch(None, 10..12)), Plan::Apply { skip: 0, lost: vec![rewound], next_seq: 12 });
    let both = vec![lost(3, 5, LossCause::ServerRewound), lost(6, 9, LossCause::Evicted)];
    assert_eq!(plan(at(3, 10), &batch(Some(loss(6, 9)), 10..11)), Plan::Apply { skip: 0, lost: both, next_seq: 11 });
}

#[test]
fn malformed_batches_are_refused_with_the_reason() {
    let mut gap = batch(None, 1..4);
    gap.entries.remove(1);
    let mut huge = batch(None, 1..2);
    huge.entries[0].seq = u64::MAX;
    let mut no_epoch = batch(None, 1..2);
    no_epoch.epoch.clear();
    for (bad, word) in [
        (batch(None, 0..2), "begin at 1"),
        (batch(None, 1..1), "neither"),
        (gap, "was due"),
        (huge, "was due"),
        (no_epoch, "epoch"),
        (batch(Some(loss(5, 3)), 6..7), "no range"),
        (batch(Some(loss(1, 3)), 5..7), "ends at 3"),
        (batch(Some(loss(1, u64::MAX)), 5..7), "no range"),
    ] {
        let reason = check(&bad).unwrap_err().to_string();
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_log_with_fewer_entries_than_are_held_was_put_back() {
    let claimed = ClassPosition { class: Class::Event, first_seq: 1, next_seq: 10 };
    assert!(greet(10, &claimed).is_ok());
    assert!(greet(11, &claimed).unwrap_err().contains("9 entries but 10 are held"));
}

fn held(entry: &Entry) -> Held {
    let (kind, body) = body_of(entry).unwrap();
    Held { seq: entry.seq, t_us: entry.t_us, boot_us: entry.boot_us, kind, body }
}

#[test]
fn an_entry_agrees_with_itself_across_versions_and_with_nothing_else() {
    let original = entry(4);
    assert!(agrees(&held(&original), &original));
    let richer =
        Entry { content: Content::Unknown { kind: "test".into(), body: serde_json::json!({ "seq": 4, "later": 1 }) }, ..original.clone() };
    assert!(agrees(&held(&original), &richer) && agrees(&held(&richer), &original));
    let other = Content::Unknown { kind: "test".into(), body: serde_json::json!({ "seq": 5 }) };
    assert!(!agrees(&held(&original), &Entry { content: other, ..original.clone() }));
    assert!(!agrees(&held(&original), &Entry { t_us: 1, ..original.clone() }));
    assert!(!agrees(&held(&original), &Entry { boot_us: 99, ..original }));
}

/// One thing that can befall robot, link and server.
#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Evict(u8),
    /// Sends `len` entries from `back` below the robot's idea of the position; the answer may be lost on the way.
    Send {
        back: u8,
        len: u8,
        answer_lost: bool,
    },
    /// Sends from ahead of the position, as a robot with a wrong idea would.
    Skip(u8),
    Reconnect,
    /// The server loses its newest writes, as a restored backup does.
    Rewind,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u8..20).prop_map(Step::Append),
        1 => (1u8..20).prop_map(Step::Evict),
        6 => (0u8..10, 0u8..20, any::<bool>()).prop_map(|(back, len, answer_lost)| Step::Send { back, len, answer_lost }),
        1 => (1u8..5).prop_map(Step::Skip),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Rewind),
    ]
}

#[derive(Default, Clone)]
struct Server {
    position: Position,
    stored: BTreeMap<u64, Held>,
    lost: BTreeMap<u64, LossCause>,
}

impl Server {
    fn take(&mut self, batch: &Batch) -> u64 {
        check(batch).unwrap();
        if let Plan::Apply { skip, lost, next_seq } = plan(self.position, batch) {
            for entry in &batch.entries[..skip] {
                assert!(self.stored.get(&entry.seq).is_none_or(|held| agrees(held, entry)));
            }
            for range in lost {
                for seq in range.first_seq..=range.last_seq {
                    assert!(!self.stored.contains_key(&seq) && self.lost.insert(seq, range.cause).is_none());
                }
            }
            for entry in &batch.entries[skip..] {
                assert!(self.stored.insert(entry.seq, held(entry)).is_none(), "{} stored twice", entry.seq);
            }
            assert!(next_seq >= self.position.next_seq);
            self.position.next_seq = next_seq;
        }
        self.position.next_seq
    }
}

struct Robot {
    first: u64,
    next: u64,
    acked: u64,
    evicted: Option<Loss>,
}

impl Robot {
    fn send(&self, from: u64, len: u64) -> Option<Batch> {
        let from = from.max(self.first);
        let to = (from + len).min(self.next);
        let covers = self.evicted.clone().filter(|loss| loss.last_seq + 1 == from);
        (from < to || covers.is_some()).then(|| batch(covers, from..to.max(from)))
    }

    fn learn(&mut self, next: u64) {
        self.acked = next;
        self.first = self.first.max(next.min(self.next));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_entry_is_stored_once_or_recorded_as_lost(steps in proptest::collection::vec(step(), 1..80)) {
        let mut robot = Robot { first: 1, next: 1, acked: 1, evicted: None };
        let mut server = Server::default();
        let mut backup = server.clone();
        let hello = |robot: &mut Robot, server: &mut Server| {
            server.position.robot_first_seq = robot.first;
            let claimed = ClassPosition { class: Class::Event, first_seq: robot.first, next_seq: robot.next };
            greet(server.position.next_seq, &claimed).unwrap();
            robot.learn(server.position.next_seq);
        };
        for step in steps.into_iter().chain([Step::Append(1), Step::Reconnect]) {
            match step {
                Step::Append(count) => robot.next += u64::from(count),
                Step::Evict(count) => {
                    let to = (robot.first + u64::from(count)).min(robot.next);
                    if to > robot.first {
                        let from = match &robot.evicted {
                            Some(loss) if loss.last_seq + 1 == robot.first => loss.first_seq,
                            _ => robot.first,
                        };
                        robot.evicted = Some(loss(from, to - 1));
                        robot.first = to;
                    }
                }
                Step::Send { back, len, answer_lost } => {
                    if let Some(batch) = robot.send(robot.acked.saturating_sub(u64::from(back)).max(1), u64::from(len)) {
                        let next = server.take(&batch);
                        if !answer_lost {
                            robot.learn(next);
                        }
                    }
                }
                Step::Skip(ahead) => {
                    let from = robot.acked.max(robot.first) + u64::from(ahead);
                    if from < robot.next {
                        server.take(&batch(None, from..robot.next));
                    }
                }
                Step::Reconnect => {
                    backup = server.clone();
                    hello(&mut robot, &mut server);
                }
                Step::Rewind => {
                    server = backup.clone();
                    hello(&mut robot, &mut server);
                }
            }
        }
        // The link holds now and there is something to say (a robot that holds nothing reports a rewind with its next entry).
        for _ in 0..1000 {
            if server.position.next_seq == robot.next {
                break;
            }
            if let Some(batch) = robot.send(robot.acked, 7) {
                let next = server.take(&batch);
                robot.learn(next);
            }
        }
        prop_assert_eq!(server.position.next_seq, robot.next);
        for seq in 1..robot.next {
            let stored = server.stored.contains_key(&seq);
            let lost = server.lost.contains_key(&seq);
            prop_assert!(stored != lost, "{} stored {} lost {}", seq, stored, lost);
        }
    }
}
