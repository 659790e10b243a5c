//! The proof that nothing was lost and nothing doubled: what the robot produced against what the control plane stores,
//! sequence number by sequence number, at a moment when neither moves.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::DemoError;
use super::control_plane::{ControlPlane, Entry};
use super::observed::Uplink;
use super::report::Entries;
use super::robots::Robot;
use super::wait::{Look, until};

/// How long a robot may take to have everything acknowledged.
const QUIET: Duration = Duration::from_secs(45);

/// What one robot's log and the control plane's copy of it come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Counts over all classes.
    pub(crate) entries: Entries,
    /// Mission events stored.
    pub(crate) missions: u64,
}

/// Counts a robot's entries on both sides, at a moment when everything it has appended is acknowledged.
pub(crate) async fn of(robot: &Robot, control_plane: &ControlPlane, show: impl FnMut(&str)) -> Result<Proof, DemoError> {
    let what = format!("{}'s log to be acknowledged to its end and to stand still", robot.name);
    until(&what, QUIET, show, async || {
        let Some(before) = robot.observed().uplink.clone() else {
            return Ok(Look::NotYet(format!("{}'s bridge has not spoken yet", robot.name)));
        };
        if before.unacknowledged() > 0 {
            return Ok(Look::NotYet(format!("{} of its {} entries are not acknowledged", before.unacknowledged(), before.appended())));
        }
        let log = control_plane.log(&robot.name).await?;
        let mut stored = Vec::new();
        for class in &before.classes {
            stored.extend(control_plane.entries(&robot.name, ("class", &class.name)).await?);
        }
        let missions = control_plane.entries(&robot.name, ("kind", "mission")).await?;
        // Only if a word spoken after all this was read still says the same, it was read at a moment of rest.
        let read_at = now_ns();
        let after = next_word(robot, read_at).await?;
        if after.appended() != before.appended() {
            return Ok(Look::NotYet("it goes on appending".to_owned()));
        }
        let entries = compare(&robot.name, &after, &stored)?;
        let by_its_own_count = Entries {
            stored: log.entries.stored,
            duplicated: log.entries.duplicated,
            missing: log.entries.missing,
            lost_recorded: log.entries.lost_recorded,
            ..entries
        };
        if by_its_own_count != entries {
            return Err(DemoError::NotHeld(format!(
                "{}: the control plane counts {by_its_own_count:?}, its entries come to {entries:?}",
                robot.name
            )));
        }
        let missions = in_order(&robot.name, &missions)?;
        Ok(Look::Done(Proof { entries, missions }))
    })
    .await
}

/// The bridge's first word after a moment.
async fn next_word(robot: &Robot, after_ns: i64) -> Result<Uplink, DemoError> {
    let what = format!("a word of {}'s bridge", robot.name);
    until(
        &what,
        Duration::from_secs(10),
        |_| {},
        async || {
            Ok(match &robot.observed().uplink {
                Some(word) if word.stamp > after_ns => Look::Done(word.clone()),
                _ => Look::NotYet("it is silent".to_owned()),
            })
        },
    )
    .await
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Compares what was produced with what is stored. Entries out of the order of their sequence numbers are an error;
/// what is missing or doubled is counted.
fn compare(robot: &str, produced: &Uplink, stored: &[Entry]) -> Result<Entries, DemoError> {
    let mut entries = Entries { produced: produced.appended(), stored: stored.len() as u64, ..Entries::default() };
    for class in &produced.classes {
        let rows: Vec<&Entry> = stored.iter().filter(|entry| entry.class == class.name && entry.epoch == produced.epoch).collect();
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].received_us > pair[1].received_us) {
            return Err(DemoError::NotHeld(format!(
                "{robot}: {} entry {} was taken up after entry {}, which follows it",
                class.name, pair[0].seq, pair[1].seq
            )));
        }
        let distinct: HashSet<u64> = rows.iter().map(|row| row.seq).collect();
        entries.duplicated += (rows.len() - distinct.len()) as u64;
        entries.missing += (1..=class.appended).filter(|seq| !distinct.contains(seq)).count() as u64;
        if let Some(row) = rows.iter().find(|row| row.seq > class.appended) {
            return Err(DemoError::NotHeld(format!("{robot}: {} entry {} is stored, but was never appended", class.name, row.seq)));
        }
    }
    if let Some(entry) = stored.iter().find(|entry| entry.epoch != produced.epoch) {
        return Err(DemoError::NotHeld(format!("{robot}: entries of another log ({}) are stored", entry.epoch)));
    }
    Ok(entries)
}

/// Mission events must be 1, 2, 3, ... in the order of the log. Returns how many there are.
fn in_order(robot: &str, missions: &[Entry]) -> Result<u64, DemoError> {
    let mut expected = 0;
    for entry in missions {
        expected += 1;
        let sequence = entry.body.get("sequence").and_then(serde_json::Value::as_u64);
        if sequence != Some(expected) {
            return Err(DemoError::NotHeld(format!("{robot}: mission event {expected} is stored as {sequence:?}")));
        }
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::observed::Class;
    use super::*;

    fn produced(appended: u64) -> Uplink {
        let class = Class { name: "event".into(), appended, acknowledged: appended };
        Uplink { stamp: 0, connected: true, by: "mqtt".into(), epoch: "e".into(), classes: vec![class] }
    }

    fn rows(seqs: &[u64]) -> Vec<Entry> {
        let row = |(at, seq): (usize, &u64)| Entry {
            epoch: "e".into(),
            class: "event".into(),
            seq: *seq,
            kind: String::new(),
            received_us: at as i64,
            body: serde_json::json!({ "sequence": seq }),
        };
        seqs.iter().enumerate().map(row).collect()
    }

    #[test]
    fn whole_logs_come_to_nothing_missing_and_nothing_doubled() {
        let entries = compare("r", &produced(3), &rows(&[1, 2, 3])).unwrap();
        assert_eq!(entries, Entries { produced: 3, stored: 3, duplicated: 0, missing: 0, lost_recorded: 0 });
    }

    #[test]
    fn a_gap_and_a_repeat_are_counted() {
        let entries = compare("r", &produced(4), &rows(&[1, 3, 3, 4])).unwrap();
        assert_eq!((entries.missing, entries.duplicated), (1, 1));
    }

    #[test]
    fn entries_taken_up_out_of_order_never_appended_or_of_another_log_are_refused() {
        let mut late = rows(&[1, 2]);
        late[0].received_us = 9;
        assert!(compare("r", &produced(2), &late).unwrap_err().to_string().contains("entry 1"));
        assert!(compare("r", &produced(1), &rows(&[1, 2])).unwrap_err().to_string().contains("never appended"));
        let mut other = rows(&[1]);
        other[0].epoch = "f".into();
        assert!(compare("r", &produced(1), &other).unwrap_err().to_string().contains("another log"));
    }

    #[test]
    fn missions_must_count_from_1_without_gaps() {
        assert_eq!(in_order("r", &rows(&[1, 2, 3])).unwrap(), 3);
        assert!(in_order("r", &rows(&[1, 3])).is_err());
        assert!(in_order("r", &rows(&[1, 1])).is_err());
        assert!(in_order("r", &rows(&[2])).is_err());
    }
}
