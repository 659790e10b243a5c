//! The heads by themselves: in one life of the machine and in the next, whole and damaged.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::collections::BTreeSet;

const BOOT: &str = "this life";

fn rows(next: [u64; 4]) -> [ClassRow; 4] {
    next.map(|next_seq| ClassRow { next_seq, acked_next: next_seq.min(3), lost: 0, bytes: 0 })
}

/// As kill -9 leaves the file.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(dir.join(FILE), copy.path().join(FILE)).unwrap();
    copy
}

fn told(dir: &Path, boot: &str) -> Told {
    match load(dir, boot) {
        Found::Told(told) => told,
        other => panic!("{other:?}"),
    }
}

fn write_one(heads: &mut Heads, next: &mut [u64; 4]) {
    heads.promise(&[0, 1, 0, 0]);
    next[1] += 1;
    heads.note(&rows(*next));
}

#[test]
fn the_same_life_tells_exactly_and_the_next_one_a_bound_that_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = [5, 1, 1, 1];
    let mut heads = Heads::begin(dir.path(), BOOT, "e", &rows(next));
    let mut flushed = BTreeSet::new();
    for _ in 0..1_000 {
        write_one(&mut heads, &mut next);
        let (now, later) = (told(dir.path(), BOOT), told(dir.path(), "another"));
        assert_eq!(now.epoch, "e");
        assert_eq!(now.classes.map(|class| (class.surely, class.next)), next.map(|next| (next, next)));
        assert_eq!(now.classes[1].acked, next[1].min(3));
        assert!(later.classes.iter().zip(next).all(|(class, next)| class.surely <= next && next <= class.next));
        assert!(later.classes[1].next - next[1] <= 2 * AHEAD, "{later:?}");
        assert_eq!(later.classes[0].next, 5, "a class that nobody writes is exact");
        flushed.insert(heads.record.generation);
    }
    assert!(flushed.len() < 6, "flushed {} times", flushed.len());
    // What the power left: what was flushed, and nothing of what was written since.
    let cut = copy(dir.path());
    let mut bytes = fs::read(cut.path().join(FILE)).unwrap();
    bytes[NOW * SLOT_BYTES..].fill(0);
    fs::write(cut.path().join(FILE), bytes).unwrap();
    let left = told(cut.path(), "another").classes[1];
    assert!(left.surely <= next[1] && next[1] <= left.next, "{left:?}");
    // A log that was closed is known exactly.
    drop(heads);
    assert_eq!(told(dir.path(), "another").classes.map(|class| (class.surely, class.next)), next.map(|next| (next, next)));
}

#[test]
fn a_group_larger_than_the_bound_is_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut heads = Heads::begin(dir.path(), BOOT, "e", &rows([1; 4]));
    heads.promise(&[0, 0, 10_000, 0]);
    // The power is cut before the transaction, or after it.
    assert!(told(dir.path(), "another").classes[2].next > 10_000);
}

#[test]
fn damage_to_one_record_leaves_the_others_and_damage_to_all_is_told_from_no_file() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load(dir.path(), BOOT), Found::Missing);
    let mut heads = Heads::begin(dir.path(), BOOT, "e", &rows([1; 4]));
    let mut next = [1; 4];
    (0..300).for_each(|_| write_one(&mut heads, &mut next));
    let damage = |slots: &[usize]| {
        let copy = copy(dir.path());
        let mut bytes = fs::read(copy.path().join(FILE)).unwrap();
        slots.iter().for_each(|slot| bytes[slot * SLOT_BYTES + 40] ^= 0x10);
        fs::write(copy.path().join(FILE), bytes).unwrap();
        load(copy.path(), BOOT)
    };
    for slots in [[0, 0], [1, 1], [0, 1]] {
        let Found::Told(told) = damage(&slots) else { panic!("{slots:?}") };
        assert_eq!((told.classes[1].surely, told.classes[1].next), (301, 301), "{slots:?}");
    }
    for slots in [[2, 2], [0, 2], [1, 2]] {
        let Found::Told(told) = damage(&slots) else { panic!("{slots:?}") };
        let class = told.classes[1];
        assert!(class.surely <= 301 && 301 <= class.next && class.next <= 301 + 2 * AHEAD, "{slots:?}: {class:?}");
    }
    assert_eq!(damage(&[0, 1, 2]), Found::Unreadable);
    fs::write(dir.path().join(FILE), "").unwrap();
    assert_eq!(load(dir.path(), BOOT), Found::Unreadable);
}

#[test]
fn a_new_epoch_is_known_before_its_first_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let mut heads = Heads::begin(dir.path(), BOOT, "old", &rows([900; 4]));
    heads.promise(&[1; 4]);
    heads.note(&rows([901; 4]));
    heads.rename("new", &rows([901; 4]));
    let between = told(dir.path(), BOOT);
    assert_eq!((between.epoch.as_str(), between.classes[0].next), ("new", 901));
    heads.note(&rows([30; 4]));
    let after = told(dir.path(), BOOT);
    assert_eq!((after.epoch.as_str(), after.classes[0].surely, after.classes[0].next), ("new", 30, 30));
}

#[test]
fn a_disk_that_does_not_take_it_leaves_no_old_record_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut heads = Heads::begin(dir.path(), BOOT, "e", &rows([1; 4]));
    // Opened for reading only: writing fails.
    heads.file = Some(File::open(dir.path().join(FILE)).unwrap());
    let mut next = [1; 4];
    write_one(&mut heads, &mut next);
    assert_eq!(load(dir.path(), BOOT), Found::Missing);
    write_one(&mut heads, &mut next);
    assert_eq!(load(dir.path(), BOOT), Found::Missing, "it is not tried again at once");
    heads.tried = Instant::now().checked_sub(EVERY).unwrap();
    write_one(&mut heads, &mut next);
    assert_eq!(told(dir.path(), BOOT).classes[1].next, 4);
}
