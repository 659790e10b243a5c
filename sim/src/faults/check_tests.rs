//! A judge that cannot condemn is none.

use super::*;

fn stored(seq: u64, n: Option<u64>) -> Stored {
    Stored { epoch: "e1".into(), class: "event".into(), seq, n, in_place: false }
}

fn second(seq: u64, n: Option<u64>) -> Stored {
    Stored { epoch: "e2".into(), ..stored(seq, n) }
}

fn account(next_seq: u64, stored: u64, lost: u64) -> Account {
    Account { epoch: "e1".into(), class: "event".into(), next_seq, stored, lost }
}

/// Ten durable events between a link entry and another; all stored.
fn whole() -> Evidence {
    let mut entries = vec![stored(1, None)];
    entries.extend((1..=10).map(|n| stored(n + 1, Some(n))));
    entries.push(stored(12, None));
    Evidence { answers: vec![Answer::Durable; 10], stored: entries, accounts: vec![account(13, 12, 0)], ..Evidence::default() }
}

fn named(epoch: &str, first_seq: u64, last_seq: u64) -> Named {
    Named { epoch: epoch.into(), class: "event".into(), first_seq, last_seq, at_most: false }
}

fn wrong(evidence: &Evidence) -> String {
    check(evidence).wrong.join("; ")
}

#[test]
fn what_is_whole_is_passed_with_its_figures() {
    let verdict = check(&whole());
    assert_eq!(verdict.wrong, Vec::<String>::new());
    assert_eq!((verdict.produced, verdict.durable, verdict.stored, verdict.entries, verdict.epochs), (10, 10, 10, 12, 1));
}

#[test]
fn a_durable_event_that_is_gone_is_found_even_when_the_account_adds_up() {
    let mut evidence = whole();
    evidence.stored.retain(|entry| entry.n != Some(5));
    evidence.accounts = vec![account(13, 11, 0)];
    assert!(wrong(&evidence).contains("do not add up") && wrong(&evidence).contains("1 durable events from 5"), "{}", wrong(&evidence));
    // As if it had never been appended: numbers are whole, the event is not there.
    let mut evidence = whole();
    evidence.stored.retain(|entry| entry.n != Some(5));
    for entry in evidence.stored.iter_mut().filter(|entry| entry.seq > 6) {
        entry.seq -= 1;
    }
    evidence.accounts = vec![account(12, 11, 0)];
    assert!(wrong(&evidence).contains("1 durable events from 5 on are missing"), "{}", wrong(&evidence));
    // The last one.
    let mut evidence = whole();
    evidence.answers.push(Answer::Durable);
    assert!(wrong(&evidence).contains("from 11 on"), "{}", wrong(&evidence));
    // All of them.
    let evidence = Evidence { answers: vec![Answer::Durable; 3], ..Evidence::default() };
    assert!(wrong(&evidence).contains("3 durable events"), "{}", wrong(&evidence));
}

#[test]
fn what_a_loss_record_names_may_be_missing_and_no_more() {
    let mut evidence = whole();
    evidence.stored.retain(|entry| !matches!(entry.n, Some(4..=6)));
    evidence.accounts = vec![account(13, 9, 3)];
    assert!(wrong(&evidence).contains("3 are counted as lost and the records name 0"), "{}", wrong(&evidence));
    evidence.losses = vec![named("e1", 5, 7)];
    let verdict = check(&evidence);
    assert_eq!((verdict.wrong.len(), verdict.lost, verdict.lost_events), (0, 3, 3));
    // Records that overlap, lie beyond the position or name what is stored.
    for (losses, what) in [
        (vec![named("e1", 5, 6), named("e1", 6, 7)], "a loss record names 6 to 7"),
        (vec![named("e1", 5, 7), named("e1", 13, 13)], "a loss record names 13 to 13"),
        (vec![named("e1", 6, 8)], "event 8 is stored and named as lost"),
        (vec![named("e1", 5, 7), named("e2", 1, 1)], "not accounted for"),
    ] {
        let verdict = check(&Evidence { losses, ..evidence.clone() });
        assert!(verdict.wrong.iter().any(|wrong| wrong.contains(what)), "{what}: {:?}", verdict.wrong);
    }
    // A loss elsewhere does not excuse it.
    let mut evidence = whole();
    evidence.stored.retain(|entry| entry.n != Some(5) && entry.seq != 12);
    for entry in evidence.stored.iter_mut().filter(|entry| entry.seq > 6) {
        entry.seq -= 1;
    }
    evidence.accounts = vec![account(12, 10, 1)];
    evidence.losses = vec![named("e1", 11, 11)];
    assert_eq!(wrong(&evidence), "1 durable events from 5 on are missing, and loss records leave room for 0 only");
}

#[test]
fn an_event_that_was_not_promised_may_be_missing_but_not_doubled() {
    for answer in [Answer::Held, Answer::None] {
        let mut evidence = whole();
        evidence.answers.push(answer);
        assert_eq!(wrong(&evidence), "");
        evidence.stored.extend([stored(13, Some(11)), stored(14, Some(11))]);
        evidence.accounts = vec![account(15, 14, 0)];
        assert!(wrong(&evidence).contains("event 11 is stored twice"), "{}", wrong(&evidence));
    }
}

#[test]
fn doubles_disorder_and_inventions_are_found() {
    let mut evidence = whole();
    evidence.stored.push(stored(5, Some(4)));
    assert!(wrong(&evidence).contains("event 5 is stored twice"), "{}", wrong(&evidence));
    let mut evidence = whole();
    (evidence.stored[3].n, evidence.stored[4].n) = (Some(4), Some(3));
    assert!(wrong(&evidence).contains("event 3 is stored out of order"), "{}", wrong(&evidence));
    let mut evidence = whole();
    evidence.stored[11].n = Some(99);
    assert!(wrong(&evidence).contains("event 99 was never produced"), "{}", wrong(&evidence));
    let mut evidence = whole();
    evidence.accounts = vec![account(12, 12, 0)];
    assert!(wrong(&evidence).contains("beyond the position"), "{}", wrong(&evidence));
}

#[test]
fn a_new_epoch_goes_on_where_the_old_one_ended() {
    let mut evidence = whole();
    evidence.answers = vec![Answer::Durable; 12];
    evidence.stored.extend((11..=12).map(|n| second(n - 10, Some(n))));
    evidence.accounts.push(Account { epoch: "e2".into(), class: "event".into(), next_seq: 3, stored: 2, lost: 0 });
    let verdict = check(&evidence);
    assert_eq!((verdict.wrong.len(), verdict.epochs), (0, 2));
    // What was lost in the second epoch does not excuse the first.
    evidence.stored.retain(|entry| entry.n != Some(5));
    for entry in evidence.stored.iter_mut().filter(|entry| entry.epoch == "e1" && entry.seq > 6) {
        entry.seq -= 1;
    }
    evidence.accounts = vec![account(12, 11, 0), Account { epoch: "e2".into(), class: "event".into(), next_seq: 4, stored: 2, lost: 1 }];
    evidence.losses = vec![named("e2", 3, 3)];
    assert!(wrong(&evidence).contains("from 5 on are missing"), "{}", wrong(&evidence));
}

#[test]
fn an_entry_that_the_disk_did_not_keep_is_named_by_the_one_in_its_place_and_no_other() {
    let mut evidence = whole();
    evidence.stored[5] = Stored { in_place: true, ..stored(6, None) };
    let verdict = check(&evidence);
    assert_eq!((verdict.wrong.len(), verdict.lost_events), (0, 1), "{:?}", verdict.wrong);
    // Another one is gone, too.
    evidence.stored.remove(6);
    for entry in evidence.stored.iter_mut().filter(|entry| entry.seq > 7) {
        entry.seq -= 1;
    }
    evidence.accounts = vec![account(12, 11, 0)];
    assert!(
        wrong(&evidence).contains("2 durable events from 5 on are missing, and loss records leave room for 1 only"),
        "{}",
        wrong(&evidence)
    );
    // It is named elsewhere.
    let mut evidence = whole();
    evidence.stored[5].n = None;
    evidence.stored[11].in_place = true;
    assert!(wrong(&evidence).contains("from 5 on are missing"), "{}", wrong(&evidence));
}

#[test]
fn a_log_that_is_gone_is_named_in_a_range_with_a_bound() {
    // Three more were durable and went with the log; its numbers go on behind them.
    let mut evidence = whole();
    evidence.answers = vec![Answer::Durable; 15];
    evidence.stored.extend((14..=15).map(|n| stored(n + 2, Some(n))));
    evidence.accounts = vec![account(18, 14, 3)];
    evidence.losses = vec![named("e1", 13, 15)];
    let verdict = check(&evidence);
    assert_eq!((verdict.wrong.len(), verdict.lost, verdict.at_most, verdict.lost_events), (0, 3, 0, 3), "{:?}", verdict.wrong);
    // One more is gone than the range has room for.
    evidence.stored.remove(11);
    evidence.stored.remove(10);
    for entry in evidence.stored.iter_mut().filter(|entry| entry.seq > 12) {
        entry.seq -= 2;
    }
    (evidence.accounts, evidence.losses) = (vec![account(16, 12, 3)], vec![named("e1", 11, 13)]);
    assert!(
        wrong(&evidence).contains("4 durable events from 10 on are missing, and loss records leave room for 3 only"),
        "{}",
        wrong(&evidence)
    );

    // Nothing was known of its numbers any more: the next epoch begins with as many as there can have been.
    let after = |count: u64, epoch: &str| {
        let mut evidence = whole();
        evidence.answers = vec![Answer::Durable; 15];
        evidence.stored.extend((14..=15).map(|n| second(n - 13 + count, Some(n))));
        evidence.accounts.push(Account { epoch: "e2".into(), class: "event".into(), next_seq: 3 + count, stored: 2, lost: count });
        evidence.losses = vec![Named { at_most: true, ..named(epoch, 1, count) }];
        evidence
    };
    let verdict = check(&after(500, "e2"));
    assert_eq!((verdict.wrong.len(), verdict.lost, verdict.at_most, verdict.lost_events), (0, 0, 500, 3), "{:?}", verdict.wrong);
    assert!(wrong(&after(2, "e2")).contains("3 durable events from 11 on are missing, and loss records leave room for 2 only"));
    // It excuses nothing that the epoch itself lost.
    let mut evidence = after(500, "e2");
    evidence.answers.push(Answer::Durable);
    assert!(wrong(&evidence).contains("1 durable events from 16 on are missing"), "{}", wrong(&evidence));
}

#[test]
fn only_what_a_cloned_robot_moved_to_another_epoch_may_come_again() {
    let mut evidence = whole();
    evidence.stored.push(second(1, Some(10)));
    evidence.accounts.push(Account { epoch: "e2".into(), class: "event".into(), next_seq: 2, stored: 1, lost: 0 });
    assert!(wrong(&evidence).contains("event 10 is stored twice"), "{}", wrong(&evidence));
    evidence.cloned = true;
    let verdict = check(&evidence);
    assert_eq!((verdict.wrong.len(), verdict.again), (0, 1), "{:?}", verdict.wrong);
    // Within one epoch it may not.
    evidence.stored.push(second(2, Some(10)));
    evidence.accounts[1] = Account { epoch: "e2".into(), class: "event".into(), next_seq: 3, stored: 2, lost: 0 };
    assert!(wrong(&evidence).contains("event 10 is stored twice"), "{}", wrong(&evidence));
    let mut evidence = whole();
    evidence.cloned = true;
    evidence.stored.push(stored(13, Some(10)));
    evidence.accounts = vec![account(14, 13, 0)];
    assert!(wrong(&evidence).contains("event 10 is stored twice"), "{}", wrong(&evidence));
}
