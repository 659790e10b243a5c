//! A judge that cannot condemn is none.

use super::*;

fn stored(seq: u64, n: Option<u64>) -> Stored {
    Stored { epoch: "e1".into(), class: "event".into(), seq, n, tells: Tells::Nothing }
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
    Evidence { answers: vec![Answer::Durable; 10], stored: entries, accounts: vec![account(13, 12, 0)], cloned: false }
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
    assert!(wrong(&evidence).contains("do not add up") && !wrong(&evidence).contains("durable"), "{}", wrong(&evidence));
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
    let verdict = check(&evidence);
    assert_eq!((verdict.wrong.len(), verdict.lost, verdict.lost_events), (0, 3, 3));
    // A loss elsewhere does not excuse it.
    let mut evidence = whole();
    evidence.stored.retain(|entry| entry.n != Some(5) && entry.seq != 12);
    for entry in evidence.stored.iter_mut().filter(|entry| entry.seq > 6) {
        entry.seq -= 1;
    }
    evidence.accounts = vec![account(12, 10, 1)];
    assert!(wrong(&evidence).contains("from 5 on are missing"), "{}", wrong(&evidence));
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
    assert!(wrong(&evidence).contains("from 5 on are missing"), "{}", wrong(&evidence));
}

#[test]
fn an_entry_that_the_disk_did_not_keep_is_named_by_the_one_in_its_place_and_no_other() {
    let mut evidence = whole();
    evidence.stored[5] = Stored { tells: Tells::InPlace, ..stored(6, None) };
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
    evidence.stored[11].tells = Tells::InPlace;
    assert!(wrong(&evidence).contains("from 5 on are missing"), "{}", wrong(&evidence));
}

#[test]
fn a_log_that_is_gone_is_named_by_the_epoch_after_it() {
    // Three more were durable and went with the log; the next epoch begins with a word on it.
    let with = |tells| {
        let mut evidence = whole();
        evidence.answers = vec![Answer::Durable; 15];
        evidence.stored.push(Stored { class: "critical".into(), tells, ..second(1, None) });
        evidence.stored.extend((14..=15).map(|n| second(n - 13, Some(n))));
        let of = |class: &str, next_seq, stored| Account { epoch: "e2".into(), class: class.into(), next_seq, stored, lost: 0 };
        evidence.accounts.extend([of("critical", 2, 1), of("event", 3, 2)]);
        evidence
    };
    for tells in [Tells::LogLost(Some(3)), Tells::LogLost(None)] {
        let verdict = check(&with(tells));
        assert_eq!((verdict.wrong.len(), verdict.lost_events, verdict.epochs), (0, 3, 2), "{:?}", verdict.wrong);
    }
    for tells in [Tells::Nothing, Tells::LogLost(Some(2))] {
        assert!(wrong(&with(tells)).contains("3 durable events from 11 on are missing"), "{tells:?}");
    }
    // It excuses nothing that the epoch itself lost.
    let mut evidence = with(Tells::LogLost(None));
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
