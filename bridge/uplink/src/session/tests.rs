//! The protocol against answers that are late, doubled, missing, wrong or from another life.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use edgeflow_wire::{Ack, WIRE_VERSION};
use proptest::prelude::*;

fn positions(ends: [u64; 4]) -> Vec<ClassPosition> {
    held([1; 4], ends)
}

/// Of a log that holds what lies between.
fn held(first: [u64; 4], ends: [u64; 4]) -> Vec<ClassPosition> {
    let position = |class: Class| ClassPosition { class, first_seq: first[class as usize], next_seq: ends[class as usize] };
    Class::ALL.map(position).into()
}

/// What the log lets go of.
fn let_go(first: &mut [u64; 4], effects: &[Effect]) {
    for effect in effects {
        if let Effect::Acknowledge { class, next_seq } = effect {
            first[*class as usize] = first[*class as usize].max(*next_seq);
        }
    }
}

fn ack(outcome: AckOutcome, next: &[(Class, u64)]) -> LogAck {
    let next = next.iter().map(|(class, next_seq)| Ack { class: *class, next_seq: *next_seq }).collect();
    LogAck { v: WIRE_VERSION, epoch: "e".to_owned(), outcome, next, server_time_us: 0 }
}

fn accepted(next: &[(Class, u64)]) -> LogAck {
    ack(AckOutcome::Accepted, next)
}

fn hello_answer(next: [u64; 4]) -> LogAck {
    accepted(&Class::ALL.into_iter().zip(next).collect::<Vec<_>>())
}

/// A session that has been greeted and stands at `next` of `ends`.
fn open(ends: [u64; 4], next: [u64; 4], now: Instant) -> Session {
    let mut session = Session::new(Timing::default());
    session.up("e", &held(next, ends), now);
    assert_eq!(session.next(now), Step::Hello);
    assert_eq!(session.ack(&hello_answer(next), now).len(), 4);
    assert!(session.is_open());
    session
}

fn send(class: Class, from_seq: u64, share: Share) -> Step {
    Step::Send { class, from_seq, share }
}

#[test]
fn nothing_is_sent_before_the_hello_is_answered_and_the_hello_is_repeated() {
    let now = Instant::now();
    let mut session = Session::new(Timing::default());
    assert_eq!(session.next(now), Step::Wait(None));
    session.up("e", &positions([5; 4]), now);
    assert_eq!(session.next(now), Step::Hello);
    let again = now + Timing::default().resend_after;
    assert_eq!(session.next(now), Step::Wait(Some(again)));
    assert!(session.ack(&accepted(&[(Class::Event, 3)]), now).is_empty(), "a batch's late answer opens nothing");
    assert!(!session.is_open());
    assert_eq!(session.next(again), Step::Hello);
}

#[test]
fn critical_goes_first_and_the_others_keep_a_share() {
    let now = Instant::now();
    let mut session = open([10, 1, 10, 10], [4, 1, 1, 10], now);
    assert_eq!(session.next(now), send(Class::Critical, 4, Share::Whole));
    assert_eq!(session.next(now), send(Class::Summary, 1, Share::Part));
    assert!(matches!(session.next(now), Step::Wait(Some(_))), "one batch in flight per class, and no class that is done");
    session.sent(Class::Critical, 10);
    let effects = session.ack(&accepted(&[(Class::Critical, 10)]), now);
    assert_eq!(effects, [Effect::Acknowledge { class: Class::Critical, next_seq: 10 }]);
    session.sent(Class::Summary, 4);
    session.ack(&accepted(&[(Class::Summary, 4)]), now);
    assert_eq!(session.next(now), send(Class::Summary, 4, Share::Whole));
}

#[test]
fn an_unanswered_batch_is_sent_again_and_a_doubled_answer_changes_nothing() {
    let now = Instant::now();
    let mut session = open([1, 9, 1, 1], [1; 4], now);
    assert_eq!(session.next(now), send(Class::Event, 1, Share::Whole));
    session.sent(Class::Event, 5);
    let later = now + Timing::default().resend_after;
    assert_eq!(session.next(now), Step::Wait(Some(later)));
    assert_eq!(session.next(later), send(Class::Event, 1, Share::Whole));
    session.sent(Class::Event, 5);
    assert_eq!(session.ack(&accepted(&[(Class::Event, 5)]), later).len(), 1);
    assert!(session.ack(&accepted(&[(Class::Event, 5)]), later).is_empty());
    assert_eq!(session.next(later), send(Class::Event, 5, Share::Whole));
}

#[test]
fn a_control_plane_that_lost_its_memory_gets_what_it_asks_for() {
    let now = Instant::now();
    let mut session = open([1, 9, 1, 1], [1, 7, 1, 1], now);
    assert_eq!(session.next(now), send(Class::Event, 7, Share::Whole));
    session.sent(Class::Event, 9);
    session.ack(&ack(AckOutcome::OutOfOrder, &[(Class::Event, 3)]), now);
    assert_eq!(session.next(now), send(Class::Event, 3, Share::Whole));
    session.sent(Class::Event, 9);
    // It insists on what it was just sent: no hot loop.
    session.ack(&ack(AckOutcome::OutOfOrder, &[(Class::Event, 3)]), now);
    assert!(matches!(session.next(now), Step::Wait(Some(_))));
    assert_eq!(session.next(now + Timing::default().resend_after), send(Class::Event, 3, Share::Whole));
}

#[test]
fn an_old_copy_of_the_log_and_a_refused_epoch_begin_a_new_one_but_not_in_a_hot_loop() {
    let now = Instant::now();
    let mut session = Session::new(Timing::default());
    session.up("e", &positions([5; 4]), now);
    session.next(now);
    let effects = session.ack(&hello_answer([5, 9, 5, 5]), now);
    assert!(matches!(&effects[..], [Effect::NewEpoch { reason }] if reason.contains("event") && reason.contains('9')), "{effects:?}");
    session.up("e", &positions([5; 4]), now);
    assert_eq!(session.next(now), Step::Hello);
    let refused = ack(AckOutcome::EpochRefused { reason: "cloned".into() }, &[]);
    assert!(session.ack(&refused, now).is_empty());
    let later = now + Timing::default().between_epochs;
    assert_eq!(session.next(now), Step::Wait(Some(later)));
    assert_eq!(session.next(later), Step::Hello);
    assert_eq!(session.ack(&refused, later).len(), 1);
}

#[test]
fn answers_for_another_epoch_are_ignored() {
    let now = Instant::now();
    let mut session = open([9; 4], [1; 4], now);
    let mut other = accepted(&[(Class::Event, 5)]);
    other.epoch = "other".into();
    assert!(session.ack(&other, now).is_empty());
}

#[test]
fn a_read_that_finds_nothing_does_not_spin() {
    let now = Instant::now();
    let mut session = open([1, 9, 1, 1], [1; 4], now);
    session.next(now);
    session.sent(Class::Event, 1);
    assert_eq!(session.next(now), Step::Wait(None));
    session.appended([1, 2, 1, 1]);
    assert_eq!(session.next(now), send(Class::Event, 1, Share::Whole));
}

/// Sends what may be sent, ten entries a batch: where each batch began.
fn drain(session: &mut Session, now: Instant) -> Vec<u64> {
    let mut from = Vec::new();
    while let Step::Send { class, from_seq, .. } = session.next(now) {
        session.sent(class, from_seq + 10);
        from.push(from_seq);
    }
    from
}

#[test]
fn more_is_in_flight_while_answers_come_at_once_and_one_batch_when_an_answer_is_missing() {
    let mut now = Instant::now();
    let mut session = open([1, 1_001, 1, 1], [1; 4], now);
    let mut sent = Vec::new();
    for answered in [11, 21, 31, 41] {
        sent.push(drain(&mut session, now));
        now += Duration::from_millis(20);
        session.ack(&accepted(&[(Class::Event, answered)]), now);
    }
    sent.push(drain(&mut session, now));
    assert_eq!(sent, [vec![1], vec![11, 21], vec![31, 41], vec![51, 61], vec![71]], "four in flight, never more");
    let later = now + Timing::default().resend_after;
    assert_eq!(drain(&mut session, later), [41], "all over again, one by one");
    assert_eq!(session.next(later), Step::Wait(Some(later + 2 * Timing::default().resend_after)), "and more patiently");
}

#[test]
fn a_slow_link_is_given_its_time_and_carries_each_batch_once() {
    let mut now = Instant::now();
    let mut session = open([1, 101, 1, 1], [1; 4], now);
    let round_trip = Duration::from_secs(10);
    let mut sent = 0;
    for batch in 0..10 {
        let answered_at = now + round_trip;
        while now < answered_at {
            sent += drain(&mut session, now).len();
            now = session.next_wake(now).unwrap().clamp(now + Duration::from_millis(1), answered_at);
        }
        session.ack(&accepted(&[(Class::Event, batch * 10 + 11)]), now);
    }
    assert!(sent <= 12, "{sent} batches for 10: only the first may go twice before the link is known");
}

/// Two logs under one epoch: that the control plane holds a number says nothing of what stands under it here.
#[test]
fn what_was_never_acknowledged_is_sent_to_be_compared_whatever_the_control_plane_holds() {
    let now = Instant::now();
    let mut session = Session::new(Timing::default());
    session.up("e", &held([1, 5, 1, 1], [1, 20, 1, 1]), now);
    assert_eq!(session.next(now), Step::Hello);
    let effects = session.ack(&hello_answer([1, 17, 1, 1]), now);
    assert!(effects.contains(&Effect::Acknowledge { class: Class::Event, next_seq: 5 }), "{effects:?}");
    assert_eq!(session.next(now), send(Class::Event, 5, Share::Whole));
    session.sent(Class::Event, 10);
    let effects = session.ack(&accepted(&[(Class::Event, 17)]), now);
    assert_eq!(effects, [Effect::Acknowledge { class: Class::Event, next_seq: 10 }], "no more than what was compared");
    assert_eq!(session.next(now), send(Class::Event, 10, Share::Whole));
    // A late answer to what was sent before counts in full, though that is being sent again.
    session.sent(Class::Event, 15);
    let late = now + 2 * Timing::default().resend_after;
    assert_eq!(session.next(late), send(Class::Event, 10, Share::Whole));
    assert_eq!(session.ack(&accepted(&[(Class::Event, 17)]), late), [Effect::Acknowledge { class: Class::Event, next_seq: 15 }]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A control plane as the contract has it, over a network that loses, doubles and cuts: everything arrives once, in order.
    #[test]
    fn everything_arrives_over_a_bad_network(
        ends in prop::array::uniform4(1_u64..60),
        fates in prop::collection::vec(0_u8..6, 400),
    ) {
        let mut now = Instant::now();
        let mut session = Session::new(Timing::default());
        let mut stored = [1_u64; 4]; // the control plane's positions
        let mut first = [1_u64; 4];
        let mut fates = fates.into_iter().chain(std::iter::repeat(5));
        session.up("e", &positions(ends), now);
        for _ in 0..4_000 {
            let answer = match session.next(now) {
                Step::Hello => hello_answer(stored),
                Step::Send { class, from_seq, .. } => {
                    let to = (from_seq + 7).min(ends[class as usize]);
                    session.sent(class, to);
                    let position = &mut stored[class as usize];
                    let fate = fates.next().unwrap();
                    if fate == 0 {
                        continue; // lost on the way up
                    }
                    // The one before was lost: the control plane takes no gap.
                    if from_seq > *position {
                        ack(AckOutcome::OutOfOrder, &[(class, *position)])
                    } else {
                        *position = to.max(*position);
                        accepted(&[(class, *position)])
                    }
                }
                Step::Wait(None) if session.is_open() => break,
                Step::Wait(at) => {
                    now = at.unwrap_or(now);
                    continue;
                }
            };
            match fates.next().unwrap() {
                0 => {} // lost on the way down
                1 => { let_go(&mut first, &session.ack(&answer, now)); let_go(&mut first, &session.ack(&answer, now)); }
                2 => { session.down(); session.up("e", &held(first, ends), now); }
                _ => let_go(&mut first, &session.ack(&answer, now)),
            }
        }
        prop_assert_eq!(stored, ends);
        prop_assert_eq!(first, ends);
    }

    /// Links that are left in the middle, whose documents arrive later or never, and long after newer ones of another link:
    /// what the control plane stores, it stores once and in order, and in the end it has everything.
    #[test]
    fn everything_arrives_once_over_links_that_are_switched(
        ends in prop::array::uniform4(1_u64..60),
        fates in prop::collection::vec(0_u8..8, 600),
    ) {
        let mut now = Instant::now();
        let mut session = Session::new(Timing::default());
        let mut stored: [Vec<u64>; 4] = Default::default();
        let mut first = [1_u64; 4];
        // What is on its way on each link, the current one last. Answers come back on the link they belong to only.
        let mut links: Vec<std::collections::VecDeque<Option<(Class, u64, u64)>>> = vec![Default::default()];
        let mut fates = fates.into_iter().chain(std::iter::repeat(7));
        session.up("e", &positions(ends), now);
        for _ in 0..8_000 {
            let step = session.next(now);
            match step {
                Step::Hello => links.last_mut().unwrap().push_back(None),
                Step::Send { class, from_seq, .. } => {
                    let to = (from_seq + 7).min(ends[class as usize]);
                    session.sent(class, to);
                    links.last_mut().unwrap().push_back(Some((class, from_seq, to)));
                }
                Step::Wait(_) => {}
            }
            let current = links.len() - 1;
            let link = match fates.next().unwrap() {
                0 => {
                    // Switched: sometimes the old link's end is told first, sometimes only the new one's beginning.
                    if fates.next().unwrap() < 4 { session.down(); }
                    links.push(Default::default());
                    session.up("e", &held(first, ends), now);
                    continue;
                }
                1 => fates.next().unwrap() as usize % links.len(), // an old link delivers late
                2 => { links[current].pop_front(); continue } // lost
                _ => current,
            };
            let Some(document) = links[link].pop_front() else {
                if matches!(step, Step::Wait(None)) && session.is_open() && links[current].is_empty() { break }
                if let Step::Wait(Some(at)) = step { now = now.max(at) }
                continue;
            };
            let answer = match document {
                None => hello_answer(std::array::from_fn(|class| stored[class].len() as u64 + 1)),
                Some((class, from_seq, to)) => {
                    let stored = &mut stored[class as usize];
                    let next = stored.len() as u64 + 1;
                    let outcome = if from_seq > next { AckOutcome::OutOfOrder } else { AckOutcome::Accepted };
                    if from_seq <= next { stored.extend(next..to.max(next)) }
                    ack(outcome, &[(class, stored.len() as u64 + 1)])
                }
            };
            if link == current { let_go(&mut first, &session.ack(&answer, now)); }
        }
        for (stored, end) in stored.iter().zip(ends) {
            prop_assert_eq!(stored, &(1..end).collect::<Vec<_>>());
        }
    }
}
