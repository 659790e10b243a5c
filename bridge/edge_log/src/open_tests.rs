//! Opening what a disk did not keep: every number that was given is held, or on record as lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::{LogInspector, NewEntry};
use edgeflow_wire::{Content, Loss};
use std::ops::RangeInclusive;

const BOOT: &str = "this life";
const NEXT_BOOT: &str = "the next one";
const FILES: [&str; 3] = ["edge_log.db", "edge_log.db-wal", "edge_log.heads"];
const EVENT: usize = Class::Event as usize;

fn entry(class: Class, n: u64) -> NewEntry {
    let body = format!("{n} {}", "x".repeat(150)).into();
    NewEntry { class, t_us: n as i64, boot_us: 0, content: Content::Unknown { kind: "n".into(), body } }
}

fn open(dir: &Path, boot: &str) -> (EdgeLog, Opened) {
    EdgeLog::open_in(dir, Options::default(), boot).unwrap()
}

fn append(log: &mut EdgeLog, numbers: RangeInclusive<u64>) {
    for n in numbers {
        assert_eq!(log.append_all(&[entry(Class::Event, n)]).unwrap(), [n]);
    }
}

/// As kill -9, or a power cut that finds everything on the disk, leaves a log.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in FILES.iter().filter(|name| dir.join(name).exists()) {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn change(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn tear(dir: &Path) {
    change(dir.join(FILE), |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0xa5);
    });
}

/// Everything from what is acknowledged on, run by run: numbers held, losses, and what the next append gets. Without a gap.
fn read_all(log: &mut EdgeLog) -> (Vec<u64>, Vec<Loss>, u64) {
    let next = log.positions().unwrap()[EVENT].next_seq;
    let mut at = log.stats().unwrap()[EVENT].acknowledged + 1;
    let (mut held, mut losses) = (Vec::new(), Vec::new());
    while at < next {
        let run = log.read(Class::Event, at, 40, usize::MAX).unwrap();
        if let Some(loss) = run.loss {
            assert_eq!(loss.first_seq, at);
            at = loss.last_seq + 1;
            losses.push(loss);
        }
        for entry in run.entries {
            assert_eq!((entry.seq, entry.t_us as u64), (at, at), "an entry has another's number");
            held.push(entry.seq);
            at += 1;
        }
    }
    assert_eq!(at, next);
    (held, losses, next)
}

fn ranges(losses: &[Loss]) -> Vec<(u64, u64, bool, bool)> {
    losses.iter().map(|loss| (loss.first_seq, loss.last_seq, loss.damaged, loss.at_most)).collect()
}

fn lost(opened: &Opened) -> Lost {
    match opened {
        Opened::Shortened { lost } | Opened::Replaced { lost: Some(lost), .. } => *lost,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_database_is_one_exact_range_per_class_and_its_epoch_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=200);
    log.append_all(&[entry(Class::Critical, 1), entry(Class::Critical, 2)]).unwrap();
    log.acknowledge(Class::Event, 51).unwrap();
    let epoch = log.epoch().to_owned();
    let left = copy(dir.path());
    tear(left.path());
    fs::remove_file(left.path().join("edge_log.db-wal")).unwrap();
    let (mut log, opened) = open(left.path(), BOOT);
    assert!(matches!(&opened, Opened::Replaced { set_aside: Some(path), reason, .. } if path.exists() && !reason.is_empty()), "{opened:?}");
    assert_eq!((lost(&opened), log.epoch()), (Lost { surely: 152, at_most: 152 }, epoch.as_str()));
    let (held, losses, next) = read_all(&mut log);
    assert_eq!((held.len(), ranges(&losses), next), (0, vec![(51, 200, true, false)], 201));
    assert!(losses[0].bytes == 0 && 0 < losses[0].first_t_us && losses[0].first_t_us <= losses[0].last_t_us);
    assert_eq!(log.read(Class::Critical, 1, 9, 9).unwrap().loss.map(|loss| (loss.first_seq, loss.last_seq)), Some((1, 2)));
    assert_eq!(log.stats().unwrap()[EVENT].lost, 150);
    // The control plane held some of it, and what comes now goes on behind it.
    append(&mut log, 201..=203);
    log.acknowledge(Class::Event, 120).unwrap();
    let (held, losses, _) = read_all(&mut log);
    assert_eq!((held, ranges(&losses)), (vec![201, 202, 203], vec![(120, 200, true, false)]));
    drop(log);
    assert_eq!(open(left.path(), BOOT).1, Opened::Continued);
}

#[test]
fn after_a_power_cut_the_range_ends_in_an_upper_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=300);
    for flushed_only in [false, true] {
        let left = copy(dir.path());
        tear(left.path());
        if flushed_only {
            change(left.path().join("edge_log.heads"), |bytes| bytes[2 * 4096..].fill(0));
        }
        let (mut log, opened) = open(left.path(), NEXT_BOOT);
        let (_, losses, next) = read_all(&mut log);
        assert!(next > 300 && next <= 300 + 2 * 257, "{next}");
        assert_eq!((lost(&opened).at_most, losses.len()), (next - 1, 2));
        let [sure, perhaps] = &losses[..] else { panic!("{losses:?}") };
        assert!(!sure.at_most && sure.last_seq <= 300 && perhaps.at_most && perhaps.damaged, "{losses:?}");
        assert_eq!((sure.last_seq == 300, lost(&opened).surely), (!flushed_only, sure.last_seq));
        assert_eq!(log.append_all(&[entry(Class::Event, next)]).unwrap(), [next]);
        // Known in part, it keeps its kind.
        log.acknowledge(Class::Event, next - 3).unwrap();
        assert_eq!(ranges(&read_all(&mut log).1), [(next - 3, next - 1, true, true)]);
    }
}

#[test]
fn without_heads_a_damaged_database_is_a_new_epoch_that_begins_with_as_many_as_there_can_have_been() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=300);
    log.acknowledge(Class::Event, 101).unwrap();
    let epoch = log.epoch().to_owned();
    for (torn, heads_gone) in [(true, true), (true, false), (false, true)] {
        let left = copy(dir.path());
        if torn {
            tear(left.path());
        } else {
            fs::write(left.path().join(FILE), "no database, whatever its name says".repeat(9_000)).unwrap();
        }
        if heads_gone {
            fs::remove_file(left.path().join("edge_log.heads")).unwrap();
        } else {
            change(left.path().join("edge_log.heads"), |bytes| bytes.fill(7));
        }
        let (mut log, opened) = open(left.path(), BOOT);
        assert_ne!(log.epoch(), epoch);
        let (held, losses, next) = read_all(&mut log);
        assert_eq!((held.len(), ranges(&losses)), (0, vec![(1, next - 1, true, true)]));
        assert!(next > 200, "200 were lost, {} are named", next - 1);
        assert!(lost(&opened).surely == 0 && lost(&opened).at_most >= next - 1, "{opened:?}");
        append(&mut log, next..=next);
    }
}

#[test]
fn what_a_damaged_database_says_of_itself_and_what_its_journal_lost_is_the_bound_without_heads() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=30);
    drop(log);
    let conn = Connection::open(dir.path().join(FILE)).unwrap();
    conn.execute("DELETE FROM entry_event WHERE seq = 5", []).unwrap();
    drop(conn);
    fs::remove_file(dir.path().join("edge_log.heads")).unwrap();
    let left = copy(dir.path());
    assert_eq!(lost(&open(left.path(), BOOT).1), Lost { surely: 0, at_most: 30 }, "no journal: what it says itself");

    // Twelve more, with a gap; of the journal that has them SQLite takes nothing.
    let left = copy(dir.path());
    let conn = Connection::open(left.path().join(FILE)).unwrap();
    conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    for n in 31..=42 {
        conn.execute("INSERT INTO entry_event VALUES (?1, ?1, 0, 0, x'7b7d')", [n]).unwrap();
        conn.execute("UPDATE class SET next_seq = ?1 WHERE class = 1", [n + 1]).unwrap();
    }
    let killed = copy(left.path());
    drop(conn);
    change(killed.path().join("edge_log.db-wal"), |bytes| bytes[66..].iter_mut().step_by(4_120).for_each(|byte| *byte ^= 1));
    let at_most = lost(&open(killed.path(), BOOT).1).at_most;
    assert!((42..30_000).contains(&at_most), "{at_most}");
}

#[test]
fn a_database_that_is_gone_is_told_by_the_heads_and_heads_that_are_gone_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=30);
    let epoch = log.epoch().to_owned();
    let without = |gone: &[&str]| {
        let left = copy(dir.path());
        gone.iter().for_each(|name| fs::remove_file(left.path().join(name)).unwrap());
        left
    };
    let left = without(&["edge_log.db", "edge_log.db-wal"]);
    let (mut log, opened) = open(left.path(), BOOT);
    assert!(matches!(opened, Opened::Replaced { set_aside: None, .. }), "{opened:?}");
    assert_eq!(log.epoch(), epoch);
    assert_eq!(ranges(&read_all(&mut log).1), [(1, 30, true, false)]);

    let left = without(&["edge_log.heads"]);
    let (log, opened) = open(left.path(), BOOT);
    assert_eq!((opened, log.epoch()), (Opened::Continued, epoch.as_str()));
    drop(log);
    tear(left.path());
    assert_eq!(lost(&open(left.path(), BOOT).1), Lost { surely: 30, at_most: 30 });

    let left = without(&FILES);
    assert_eq!(open(left.path(), BOOT).1, Opened::Created);
    let left = without(&["edge_log.db", "edge_log.db-wal"]);
    fs::write(left.path().join("edge_log.heads"), "neither").unwrap();
    assert!(matches!(open(left.path(), BOOT).1, Opened::Replaced { lost: None, .. }));
}

#[test]
fn a_byte_that_flips_in_the_journal_loses_no_number_without_saying_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=60);
    log.acknowledge(Class::Event, 11).unwrap();
    append(&mut log, 61..=100);
    let epoch = log.epoch().to_owned();
    let length = fs::read(dir.path().join("edge_log.db-wal")).unwrap().len();
    assert!(length > 100 * 4096, "nothing was carried over yet");
    let mut shortened = 0;
    for step in 0..40 {
        let left = copy(dir.path());
        change(left.path().join("edge_log.db-wal"), |bytes| bytes[length * step / 40 + 100] ^= 0x04);
        for boot in [BOOT, NEXT_BOOT] {
            let left = copy(left.path());
            let (mut log, opened) = open(left.path(), boot);
            assert_eq!(log.epoch(), epoch, "at {step}");
            let (held, losses, next) = read_all(&mut log);
            let named: u64 = losses.iter().map(|loss| loss.last_seq - loss.first_seq + 1).sum();
            assert_eq!(log.stats().unwrap()[EVENT].lost, named);
            if opened == Opened::Continued {
                assert_eq!((held.last(), next, losses.len()), (Some(&100), 101, 0), "at {step}");
                continue;
            }
            shortened += 1;
            assert!(!losses.is_empty() && losses.iter().all(|loss| loss.damaged), "{losses:?}");
            assert_eq!(lost(&opened).at_most, named);
            if boot == BOOT {
                assert_eq!((next, lost(&opened).surely), (101, named), "at {step}");
            } else {
                assert!(next > 100, "at {step}");
            }
            // It goes on, and is whole when it is opened again.
            append(&mut log, next..=next + 2);
            drop(log);
            let (mut log, opened) = open(left.path(), boot);
            assert_eq!((opened, read_all(&mut log).2), (Opened::Continued, next + 3));
        }
    }
    assert!(shortened > 60, "only {shortened} of 80 lost anything");
}

#[test]
fn after_a_power_cut_a_journal_that_lost_what_was_flushed_is_told_from_one_whose_last_transaction_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=40);
    let left = copy(dir.path());
    // What was not flushed of the heads: the power took it.
    change(left.path().join("edge_log.heads"), |bytes| bytes[2 * 4096..].fill(0));
    let wal = fs::read(left.path().join("edge_log.db-wal")).unwrap();
    let frame = 4096 + 24;
    let frames = (wal.len() - 32) / frame;
    assert!(frames > 80 && wal.len() == 32 + frames * frame);
    let commits: Vec<usize> = (0..frames).filter(|at| wal[32 + at * frame + 4..][..4] != [0; 4]).collect();
    let (last_begins, first_ends) = (commits[commits.len() - 2] + 1, commits[0]);
    let mut told = [0, 0];
    for (at, torn) in (0..frames).flat_map(|at| [(at, false), (at, true)]) {
        let left = copy(left.path());
        change(left.path().join("edge_log.db-wal"), |bytes| {
            let page = 32 + at * frame + 24;
            if torn { bytes[page + 2048..page + 4096].fill(0x5a) } else { bytes[page + 100] ^= 1 }
        });
        let (mut log, opened) = open(left.path(), NEXT_BOOT);
        let (held, losses, next) = read_all(&mut log);
        if at >= last_begins {
            // As an unfinished transaction looks.
            assert_eq!((opened, held.last(), losses.len()), (Opened::Continued, Some(&39), 0), "frame {at}");
            told[0] += 1;
        } else if at > first_ends {
            let Opened::Shortened { lost } = opened else { panic!("frame {at}: {opened:?}") };
            assert!(held.len() as u64 + lost.at_most == next - 1 && next > 40 && losses.iter().all(|loss| loss.damaged), "frame {at}");
            told[1] += 1;
        }
    }
    assert!(told[0] > 0 && told[1] > 100, "{told:?}");
    // A whole journal, and one that ends within its last transaction, lost nothing.
    assert_eq!(open(copy(left.path()).path(), NEXT_BOOT).1, Opened::Continued);
    for cut in [1, 5_000, 2 * frame] {
        let left = copy(left.path());
        change(left.path().join("edge_log.db-wal"), |bytes| bytes.truncate(bytes.len() - cut));
        assert_eq!(open(left.path(), NEXT_BOOT).1, Opened::Continued);
    }
    // Of one without its header SQLite takes nothing.
    change(left.path().join("edge_log.db-wal"), |bytes| bytes[9] ^= 1);
    let (mut log, opened) = open(left.path(), NEXT_BOOT);
    assert!(lost(&opened).at_most >= 40 && read_all(&mut log).2 > 40, "{opened:?}");
}

#[test]
fn without_heads_the_end_of_a_journal_that_is_not_read_is_told_by_its_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=100);
    let epoch = log.epoch().to_owned();
    for (gone, flushed) in [(false, true), (false, false), (true, true), (true, false)] {
        let left = copy(dir.path());
        if gone {
            fs::remove_file(left.path().join("edge_log.heads")).unwrap();
        } else {
            change(left.path().join("edge_log.heads"), |bytes| bytes.fill(7));
        }
        change(left.path().join("edge_log.db-wal"), |bytes| {
            let at = if flushed { bytes.len() / 2 } else { bytes.len() - 100 };
            bytes[at] ^= 1;
        });
        let (mut log, opened) = open(left.path(), BOOT);
        let (held, losses, next) = read_all(&mut log);
        assert_eq!(log.epoch(), epoch);
        if gone && !flushed {
            // Nobody knows better: a log from before there were heads, cut off by the power.
            assert_eq!((opened, next), (Opened::Continued, 100));
            continue;
        }
        assert!(next > 100 && lost(&opened).surely == 0, "{opened:?}");
        assert_eq!(ranges(&losses), [(held.len() as u64 + 1, next - 1, true, true)]);
        append(&mut log, next..=next);
    }
}

#[test]
fn a_loss_in_the_middle_is_kept_when_others_leave_and_when_the_epoch_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), BOOT).0;
    append(&mut log, 1..=20);
    let left = copy(dir.path());
    append(&mut log, 21..=30);
    // The database as it was, and the heads as they are.
    fs::copy(dir.path().join("edge_log.heads"), left.path().join("edge_log.heads")).unwrap();
    let (mut log, opened) = open(left.path(), BOOT);
    assert_eq!(opened, Opened::Shortened { lost: Lost { surely: 10, at_most: 10 } });
    append(&mut log, 31..=40);
    let whole = (1..=20).chain(31..=40).collect::<Vec<u64>>();
    let (held, losses, _) = read_all(&mut log);
    assert_eq!((&held, ranges(&losses)), (&whole, vec![(21, 30, true, false)]));
    assert_eq!(losses[0].first_t_us, 20, "not before the newest that is held");
    let overview = LogInspector::open(left.path()).unwrap().overview().unwrap();
    assert_eq!((overview[EVENT].held, overview[EVENT].losses.len()), (30, 1));
    assert_eq!(LogInspector::open(left.path()).unwrap().verify(drop).unwrap(), [""; 0]);
    drop(log);

    // By age: what goes lies on both sides.
    let aged = copy(left.path());
    let options = Options { max_age: [None, Some(Duration::from_micros(100)), None, None], ..Options::default() };
    let mut log = EdgeLog::open_in(aged.path(), options, BOOT).unwrap().0;
    assert_eq!(log.expire(135, 0).unwrap(), 24);
    let (held, losses, _) = read_all(&mut log);
    assert_eq!(held, [35, 36, 37, 38, 39, 40]);
    assert_eq!(ranges(&losses), [(1, 20, false, false), (21, 30, true, false), (31, 34, false, false)]);
    drop(log);

    let mut log = open(left.path(), BOOT).0;
    log.acknowledge(Class::Event, 26).unwrap();
    let (held, losses, _) = read_all(&mut log);
    assert_eq!((held, ranges(&losses)), ((31..=40).collect(), vec![(26, 30, true, false)]));
    log.reopen_epoch().unwrap();
    let run = log.read(Class::Event, 1, 100, usize::MAX).unwrap();
    assert_eq!((run.loss.map(|loss| (loss.first_seq, loss.last_seq, loss.damaged)), run.entries.len()), (Some((1, 5, true)), 10));
}
