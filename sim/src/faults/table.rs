//! What came of a run, for people.

use std::collections::BTreeMap;

use super::check::Verdict;
use super::schedule::Fault;

/// One robot's row.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// What it suffered, by the fault's name.
    pub(super) suffered: BTreeMap<&'static str, u32>,
    /// What came of it.
    pub(super) verdict: Verdict,
}

/// The rows, their sums, and what does not hold.
pub(super) fn table(rows: &[Row], server_kills: u32) -> String {
    let mut text = format!(
        "{:<10} {:>8} {:>8} {:>8} {:>8} {:>6} {:>7} {:>6} {:>6} {:>6}  faults\n",
        "robot", "produced", "durable", "stored", "entries", "lost", "at most", "of us", "again", "epochs"
    );
    let mut sum = Row { name: "all".to_owned(), ..Row::default() };
    sum.suffered.insert(Fault::KillServer.name(), server_kills);
    for row in rows {
        text.push_str(&line(row));
        let (all, one) = (&mut sum.verdict, &row.verdict);
        all.produced += one.produced;
        all.durable += one.durable;
        all.stored += one.stored;
        all.entries += one.entries;
        all.lost += one.lost;
        all.at_most += one.at_most;
        all.lost_events += one.lost_events;
        all.again += one.again;
        all.epochs += one.epochs;
        for (name, count) in &row.suffered {
            *sum.suffered.entry(name).or_default() += count;
        }
    }
    text.push_str(&line(&sum));
    for row in rows {
        for wrong in &row.verdict.wrong {
            text.push_str(&format!("{}: {wrong}\n", row.name));
        }
    }
    text
}

fn line(row: &Row) -> String {
    let Verdict { produced, durable, stored, entries, lost, at_most, lost_events, again, epochs, wrong } = &row.verdict;
    let faults: Vec<String> = row.suffered.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    let mark = if wrong.is_empty() { "" } else { "  <- does not hold" };
    format!(
        "{:<10} {produced:>8} {durable:>8} {stored:>8} {entries:>8} {lost:>6} {at_most:>7} {lost_events:>6} {again:>6} {epochs:>6}  {}{mark}\n",
        row.name,
        faults.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_and_what_does_not_hold_is_said() {
        let verdict =
            Verdict { produced: 5, durable: 4, stored: 3, wrong: vec!["event 4 is stored twice".to_owned()], ..Verdict::default() };
        let rows = [
            Row { name: "robot-1".into(), suffered: BTreeMap::from([("reset", 2)]), verdict },
            Row {
                name: "robot-2".into(),
                suffered: BTreeMap::from([("reset", 1)]),
                verdict: Verdict { produced: 7, ..Verdict::default() },
            },
        ];
        let text = table(&rows, 3);
        assert!(text.contains("robot-1: event 4 is stored twice") && text.contains("kill-server 3, reset 3"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("all") && line.contains(" 12 ")), "{text}");
    }
}
