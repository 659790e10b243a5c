//! Entries grow old by a clock that does not step; a loss record says what went.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{EdgeLog, NewEntry, Options};
use edgeflow_wire::{Class, Content, Loss};

const HOUR_US: i64 = 3_600_000_000;

fn entry(class: Class, t_us: i64, boot_us: i64) -> NewEntry {
    NewEntry { class, t_us, boot_us, content: Content::Unknown { kind: "n".into(), body: t_us.into() } }
}

fn loss(log: &mut EdgeLog, class: Class) -> Option<Loss> {
    log.read(class, 1, 1, usize::MAX).unwrap().loss
}

#[test]
fn summaries_are_kept_for_three_days_and_facts_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    for hour in 0..100 {
        let at = hour * HOUR_US;
        log.append_all(&Class::ALL.map(|class| entry(class, at, at))).unwrap();
    }
    // Hours 0 to 26 are more than 72 hours ago.
    assert_eq!(log.expire(99 * HOUR_US, 99 * HOUR_US).unwrap(), 2 * 27);
    assert_eq!(log.expire(99 * HOUR_US, 99 * HOUR_US).unwrap(), 0);
    for class in [Class::Critical, Class::Event] {
        assert_eq!(loss(&mut log, class), None);
    }
    for class in [Class::Summary, Class::Detail] {
        let loss = loss(&mut log, class).unwrap();
        assert_eq!((loss.first_seq, loss.last_seq, loss.first_t_us, loss.last_t_us), (1, 27, 0, 26 * HOUR_US));
    }
}

#[test]
fn a_wall_clock_that_jumps_a_week_ahead_makes_nothing_old_that_this_life_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    // A robot without a battery for its clock: January 1970, until it finds the time.
    log.append_all(&[entry(Class::Summary, 0, 60), entry(Class::Summary, HOUR_US, HOUR_US)]).unwrap();
    let week_us = 7 * 24 * HOUR_US;
    assert_eq!(log.expire(week_us, 2 * HOUR_US).unwrap(), 0);
    assert_eq!(log.reopen_epoch().map(drop).and_then(|()| log.expire(week_us, 2 * HOUR_US)).unwrap(), 0);
    assert_eq!(log.expire(week_us, week_us).unwrap(), 2);
    drop(log);

    // What an earlier life wrote has only the wall clock left; a moment in the future is not old.
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    log.append_all(&[entry(Class::Summary, week_us, 0), entry(Class::Summary, 2 * week_us, 1)]).unwrap();
    drop(log);
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    assert_eq!(log.expire(week_us + 71 * HOUR_US, 5).unwrap(), 0);
    assert_eq!(log.expire(week_us + 73 * HOUR_US, 5).unwrap(), 1);
    assert_eq!(log.stats().unwrap()[Class::Summary as usize].lost, 3);
}

#[test]
fn a_long_backlog_goes_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    let old: Vec<NewEntry> = (0..12_000).map(|n| entry(Class::Detail, n, n)).collect();
    log.append_all(&old).unwrap();
    let now = 100 * HOUR_US;
    assert_eq!([log.expire(now, now).unwrap(), log.expire(now, now).unwrap(), log.expire(now, now).unwrap()], [10_000, 2_000, 0]);
    let loss = loss(&mut log, Class::Detail).unwrap();
    assert_eq!((loss.first_seq, loss.last_seq), (1, 12_000));
}
