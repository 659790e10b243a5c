//! The judgement after the faults: every event that a robot was told is durable is stored once, in order, or lies in a range that a
//! loss record names. Pure, so that it can itself be shown to fail.

use std::collections::{BTreeMap, BTreeSet};

/// How a bridge answered to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is on the robot's disk (201): it must arrive, or be named as lost.
    Durable,
    /// The bridge holds it in memory (202): it may arrive.
    Held,
    /// No answer: it may arrive.
    None,
}

/// An entry that the control plane holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Value class.
    pub class: String,
    /// Place in its class.
    pub seq: u64,
    /// The event's number, when it is one of ours.
    pub n: Option<u64>,
    /// It stands in the place of an entry whose bytes the disk did not keep.
    pub in_place: bool,
}

/// A range of sequence numbers that a loss record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Value class.
    pub class: String,
    /// The first of them.
    pub first_seq: u64,
    /// The last of them.
    pub last_seq: u64,
    /// The robot's disk did not keep whether there were so many.
    pub at_most: bool,
}

impl Named {
    fn count(&self) -> u64 {
        (self.last_seq + 1).saturating_sub(self.first_seq)
    }
}

/// The control plane's account of one class of one epoch; epochs in the order of their first sight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Value class.
    pub class: String,
    /// First sequence number that is not held.
    pub next_seq: u64,
    /// Rows.
    pub stored: u64,
    /// Sequence numbers that loss records name.
    pub lost: u64,
}

/// Everything known of one robot.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The answer to each event, the first being number 1.
    pub answers: Vec<Answer>,
    /// Every entry, in the order of arrival.
    pub stored: Vec<Stored>,
    /// The account of every class and epoch.
    pub accounts: Vec<Account>,
    /// Every loss record.
    pub losses: Vec<Named>,
    /// It had a clone. Where the control plane takes what one of the two says for the other's, both move on to epochs of their own, with
    /// what neither was told has arrived: that may have, under the number it had before.
    pub cloned: bool,
}

/// Figures for the table, and what does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events that were handed over.
    pub produced: u64,
    /// Events that the robot was told are durable.
    pub durable: u64,
    /// Our events that are stored.
    pub stored: u64,
    /// Entries of all kinds that are stored.
    pub entries: u64,
    /// Sequence numbers that loss records name as lost.
    pub lost: u64,
    /// Sequence numbers that they name as lost at most.
    pub at_most: u64,
    /// Durable events that are not stored and lie in such a range.
    pub lost_events: u64,
    /// Events that came again under another epoch, of a robot that had a clone.
    pub again: u64,
    /// Epochs of the log.
    pub epochs: usize,
    /// What does not hold; nothing when all does.
    pub wrong: Vec<String>,
}

/// Judges one robot.
pub fn check(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict {
        produced: evidence.answers.len() as u64,
        durable: evidence.answers.iter().filter(|answer| **answer == Answer::Durable).count() as u64,
        entries: evidence.stored.len() as u64,
        lost: evidence.losses.iter().filter(|loss| !loss.at_most).map(Named::count).sum(),
        at_most: evidence.losses.iter().filter(|loss| loss.at_most).map(Named::count).sum(),
        ..Verdict::default()
    };
    let epochs = epochs(&evidence.accounts);
    verdict.epochs = epochs.len();
    let mut held: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for entry in &evidence.stored {
        if !held.entry((&entry.epoch, &entry.class)).or_default().insert(entry.seq) {
            verdict.wrong.push(format!("{} {} is stored twice", entry.class, entry.seq));
        }
    }
    for account in &evidence.accounts {
        let named = evidence.losses.iter().filter(|loss| loss.epoch == account.epoch && loss.class == account.class).collect();
        account_holds(account, held.get(&(account.epoch.as_str(), account.class.as_str())), named, &mut verdict.wrong);
    }
    let accounted =
        |(epoch, class): &(&str, &str)| evidence.accounts.iter().any(|account| account.epoch == *epoch && account.class == *class);
    let named = evidence.losses.iter().map(|loss| (loss.epoch.as_str(), loss.class.as_str()));
    if let Some((epoch, class)) = held.keys().copied().chain(named).find(|key| !accounted(key)) {
        verdict.wrong.push(format!("{class} of epoch {epoch} is stored or named as lost but not accounted for"));
    }
    events_hold(evidence, &epochs, &mut verdict);
    verdict
}

/// Whether every sequence number below the position is either stored or in one range that a loss record names.
fn account_holds(account: &Account, held: Option<&BTreeSet<u64>>, mut named: Vec<&Named>, wrong: &mut Vec<String>) {
    let count = held.map_or(0, BTreeSet::len) as u64;
    let Account { class, next_seq, stored, lost, .. } = account;
    if *stored != count {
        wrong.push(format!("{class}: {stored} rows are counted and {count} listed"));
    }
    if let Some(beyond) = held.and_then(BTreeSet::last).filter(|last| *last >= next_seq) {
        wrong.push(format!("{class} {beyond} is stored beyond the position {next_seq}"));
    }
    named.sort_by_key(|loss| loss.first_seq);
    let mut free = 1;
    for loss in &named {
        let Named { first_seq, last_seq, .. } = loss;
        if *first_seq < free || last_seq < first_seq || last_seq >= next_seq {
            wrong.push(format!("{class}: a loss record names {first_seq} to {last_seq}, after {free} and before the position {next_seq}"));
            return;
        }
        if let Some(both) = held.and_then(|seqs| seqs.range(*first_seq..=*last_seq).next()) {
            wrong.push(format!("{class} {both} is stored and named as lost"));
        }
        free = last_seq + 1;
    }
    let listed: u64 = named.iter().map(|loss| loss.count()).sum();
    if listed != *lost {
        wrong.push(format!("{class}: {lost} are counted as lost and the records name {listed}"));
    }
    if count + lost != next_seq - 1 {
        wrong.push(format!("{class}: {count} stored and {lost} named as lost do not add up to the {} before the position", next_seq - 1));
    }
}

fn epochs(accounts: &[Account]) -> Vec<&str> {
    let mut epochs: Vec<&str> = Vec::new();
    for account in accounts {
        if !epochs.contains(&account.epoch.as_str()) {
            epochs.push(&account.epoch);
        }
    }
    epochs
}

/// Our events: once, in order, and what is missing where loss records leave a gap.
fn events_hold(evidence: &Evidence, epochs: &[&str], verdict: &mut Verdict) {
    let place = |entry: &Stored| (epochs.iter().position(|epoch| *epoch == entry.epoch), entry.seq);
    let mut events: Vec<&Stored> = evidence.stored.iter().filter(|entry| entry.n.is_some()).collect();
    events.sort_by_key(|entry| place(entry));
    verdict.stored = events.len() as u64;
    let mut last = 0;
    let mut before: Option<&Stored> = None;
    let mut seen: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for entry in events {
        let n = entry.n.unwrap_or_default();
        let epochs = seen.entry(n).or_default();
        if epochs.insert(&entry.epoch) && epochs.len() > 1 && evidence.cloned {
            verdict.again += 1;
            continue;
        }
        if n == 0 || n > verdict.produced {
            verdict.wrong.push(format!("event {n} was never produced"));
        } else if n <= last {
            let what = if n == last { "is stored twice" } else { "is stored out of order" };
            verdict.wrong.push(format!("event {n} {what}: at {} {}, after event {last}", entry.class, entry.seq));
        }
        gap_holds(evidence, last, before, Some(entry), verdict);
        last = last.max(n);
        before = Some(entry);
    }
    gap_holds(evidence, last, before, None, verdict);
}

/// The durable events between two stored ones must have sequence numbers between theirs that are named as lost, or entries in their
/// place that say so.
fn gap_holds(evidence: &Evidence, last: u64, before: Option<&Stored>, after: Option<&Stored>, verdict: &mut Verdict) {
    let until = after.and_then(|entry| entry.n).unwrap_or(verdict.produced + 1);
    let missing: Vec<u64> = (last + 1..until).filter(|n| answer(evidence, *n) == Some(Answer::Durable)).collect();
    if missing.is_empty() {
        return;
    }
    let mut room = 0;
    let class = before.or(after).map_or("event", |entry| entry.class.as_str());
    for account in evidence.accounts.iter().filter(|account| account.class == class) {
        // Of the epochs of both neighbours and of those between them; an epoch outside has nothing to do with the gap.
        let from = before.filter(|entry| entry.epoch == account.epoch).map_or(1, |entry| entry.seq + 1);
        let to = after.filter(|entry| entry.epoch == account.epoch).map_or(account.next_seq, |entry| entry.seq);
        if between(evidence, account, before, after) && from < to {
            let of_it = evidence.losses.iter().filter(|loss| loss.epoch == account.epoch && loss.class == class);
            room += of_it.map(|loss| to.min(loss.last_seq + 1).saturating_sub(from.max(loss.first_seq))).sum::<u64>();
        }
    }
    room += evidence.stored.iter().filter(|entry| entry.in_place && entry.class == class && in_gap(evidence, entry, before, after)).count()
        as u64;
    if (missing.len() as u64) <= room {
        verdict.lost_events += missing.len() as u64;
    } else {
        let first = missing.first().copied().unwrap_or_default();
        verdict
            .wrong
            .push(format!("{} durable events from {first} on are missing, and loss records leave room for {room} only", missing.len()));
    }
}

/// Whether an entry lies between two events.
fn in_gap(evidence: &Evidence, entry: &Stored, before: Option<&Stored>, after: Option<&Stored>) -> bool {
    let order = |epoch: &str| evidence.accounts.iter().position(|other| other.epoch == epoch);
    let at = order(&entry.epoch);
    let (first, last) = (before.map(|before| (order(&before.epoch), before.seq)), after.map(|after| (order(&after.epoch), after.seq)));
    first.is_none_or(|first| (at, entry.seq) > first) && last.is_none_or(|last| (at, entry.seq) < last)
}

fn between(evidence: &Evidence, account: &Account, before: Option<&Stored>, after: Option<&Stored>) -> bool {
    let order = |epoch: &str| evidence.accounts.iter().position(|other| other.epoch == epoch);
    let (first, last) = (before.and_then(|entry| order(&entry.epoch)), after.and_then(|entry| order(&entry.epoch)));
    let at = order(&account.epoch);
    first.is_none_or(|first| at >= Some(first)) && last.is_none_or(|last| at <= Some(last))
}

fn answer(evidence: &Evidence, n: u64) -> Option<Answer> {
    evidence.answers.get(usize::try_from(n).ok()?.checked_sub(1)?).copied()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
