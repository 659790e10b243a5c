//! What goes wrong, and when: from a seed, so that a run can be had again.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::time::Duration;

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A robot's network is cut.
    Partition,
    /// Only a robot's way to the broker is cut, so that it has to use another.
    BrokerCut,
    /// A robot's connections stand and nothing passes.
    HalfOpen,
    /// A robot's connections are reset, and new ones for a while.
    Reset,
    /// A robot's network is late and thin.
    Slow {
        /// On the way, milliseconds.
        delay_ms: u64,
        /// Of each connection, bytes per second.
        bytes_per_s: u64,
    },
    /// `kill -9` of a robot's bridge, which is started again afterwards.
    KillBridge,
    /// A robot's disk has no room.
    DiskFull {
        /// `kill -9` of its bridge meanwhile, which is started again at once.
        kill: bool,
    },
    /// Its network is cut, its bridge is killed at the end of that, and a page of its log comes back from the disk half zero, or with bytes
    /// changed.
    DamagedLog {
        /// Half a page is zero, as after a torn write; otherwise some of its bytes are others.
        torn: bool,
        /// A page of what.
        part: Part,
    },
    /// Its data folder is copied to a second bridge of the same identity, and both live for a while; then the second is gone.
    Clone,
    /// A robot's wall clock steps, and stays where it is.
    ClockStep {
        /// Where to, seconds from the true time.
        to_s: i64,
    },
    /// What a robot sent before is sent again by a client with its token, doubled and out of order.
    Replay,
    /// `kill -9` of the control plane, and with it of the broker.
    KillServer,
}

/// What of a robot's log is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The database.
    Database,
    /// Its journal.
    Journal,
    /// A page of the journal, and the beginning of the database and of what tells how far the log had come.
    All,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Database => "the database",
            Part::Journal => "the journal",
            Part::All => "everything",
        })
    }
}

impl Fault {
    /// Its name, as tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Partition => "partition",
            Fault::BrokerCut => "broker-cut",
            Fault::HalfOpen => "half-open",
            Fault::Reset => "reset",
            Fault::Slow { .. } => "slow",
            Fault::KillBridge => "kill-bridge",
            Fault::DiskFull { .. } => "disk-full",
            Fault::DamagedLog { .. } => "damaged-log",
            Fault::Clone => "clone",
            Fault::ClockStep { .. } => "clock-step",
            Fault::Replay => "replay",
            Fault::KillServer => "kill-server",
        }
    }

    /// Every name.
    pub const NAMES: [&str; 12] = [
        "partition",
        "broker-cut",
        "half-open",
        "reset",
        "slow",
        "kill-bridge",
        "disk-full",
        "damaged-log",
        "clone",
        "clock-step",
        "replay",
        "kill-server",
    ];
}

/// A fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// From the begin of the faults.
    pub at: Duration,
    /// How long it lasts; for a kill, how long until the program is started again.
    pub lasts: Duration,
    /// Index of the robot; none for the control plane.
    pub robot: Option<usize>,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.robot.map_or_else(|| "control plane".to_owned(), name_of);
        write!(f, "{:>7.1} s  {who:<13} {:<11} {:>5.1} s", self.at.as_secs_f64(), self.fault.name(), self.lasts.as_secs_f64())?;
        match self.fault {
            Fault::Slow { delay_ms, bytes_per_s } => write!(f, "  {delay_ms} ms, {bytes_per_s} bytes/s"),
            Fault::DiskFull { kill: true } => write!(f, "  killed meanwhile"),
            Fault::DamagedLog { torn, part } => {
                write!(f, "  {part}: {}", if torn { "half a page is zero" } else { "bytes of a page are others" })
            }
            Fault::ClockStep { to_s } => write!(f, "  to {:+.1} h", to_s as f64 / 3_600.0),
            _ => Ok(()),
        }
    }
}

/// A robot's name by its index.
pub fn name_of(robot: usize) -> String {
    format!("robot-{}", robot + 1)
}

/// What a robot can suffer besides what all can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Its disk can be filled.
    pub disk: bool,
    /// Its log can be damaged and cloned: it lies in a folder that we see.
    pub open_disk: bool,
    /// Its wall clock can be stepped.
    pub clock: bool,
    /// What it sends can be recorded and sent again.
    pub replay: bool,
}

/// A schedule for so many robots over so long, in the order of time. A robot suffers one fault at a time; the control plane's deaths
/// come whenever they come. Every kind that is possible comes, if there is time for it.
pub fn schedule(seed: u64, robots: &[Capabilities], lasts: Duration) -> Vec<Planned> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut planned = Vec::new();
    let mut round = 0..;
    for (robot, can) in robots.iter().enumerate() {
        // A stream of its own, so that one robot more or less changes nothing for the others.
        let mut chance = StdRng::seed_from_u64(seed ^ (robot as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut at = seconds(&mut chance, 1.0, 6.0);
        // The first is what only this robot can suffer, or else goes round, so that all kinds come; the others come by chance.
        let special = [can.disk.then_some(Fault::DiskFull { kill: false }), can.clock.then_some(Fault::ClockStep { to_s: 0 })];
        let mut first = special.into_iter().flatten().next().or_else(|| {
            let common = common(*can);
            round.next().and_then(|nth: usize| common.get(nth % common.len()).copied())
        });
        let kinds = kinds(*can);
        loop {
            let kind = first.take().or_else(|| kinds.choose(&mut chance).copied());
            let Some(kind) = kind else { break };
            let (fault, length) = particulars(kind, &mut chance);
            if at + length > lasts {
                break;
            }
            planned.push(Planned { at, lasts: length, robot: Some(robot), fault });
            at += length + seconds(&mut chance, 3.0, 15.0);
        }
    }
    let mut at = seconds(&mut chance, 5.0, 15.0);
    loop {
        let down = seconds(&mut chance, 0.2, 5.0);
        if at + down > lasts {
            break;
        }
        planned.push(Planned { at, lasts: down, robot: None, fault: Fault::KillServer });
        at += down + seconds(&mut chance, 10.0, 30.0);
    }
    planned.sort_by_key(|planned| (planned.at, planned.robot));
    planned
}

/// What may happen to any robot.
const COMMON: [Fault; 9] = [
    Fault::Partition,
    Fault::HalfOpen,
    Fault::Reset,
    Fault::KillBridge,
    Fault::Replay,
    Fault::DamagedLog { torn: false, part: Part::Database },
    Fault::Clone,
    Fault::BrokerCut,
    Fault::Slow { delay_ms: 0, bytes_per_s: 0 },
];

fn common(can: Capabilities) -> Vec<Fault> {
    let possible = |fault: &Fault| match fault {
        Fault::Replay => can.replay,
        Fault::DamagedLog { .. } | Fault::Clone => can.open_disk,
        _ => true,
    };
    COMMON.into_iter().filter(possible).collect()
}

/// What may happen to this one; what is listed twice happens twice as often.
fn kinds(can: Capabilities) -> Vec<Fault> {
    let mut kinds = common(can);
    kinds.extend([Fault::HalfOpen, Fault::KillBridge]);
    if can.disk {
        kinds.extend([Fault::DiskFull { kill: false }; 2]);
    }
    if can.clock {
        kinds.extend([Fault::ClockStep { to_s: 0 }; 2]);
    }
    kinds
}

fn particulars(kind: Fault, chance: &mut StdRng) -> (Fault, Duration) {
    match kind {
        Fault::Partition => (kind, seconds(chance, 0.1, 15.0)),
        // Shorter and longer than it takes a robot to use another uplink.
        Fault::BrokerCut => (kind, seconds(chance, 5.0, 25.0)),
        // Shorter and longer than the robot's patience with a silent broker.
        Fault::HalfOpen => (kind, seconds(chance, 1.0, 15.0)),
        Fault::Reset => (kind, seconds(chance, 0.0, 3.0)),
        Fault::Slow { .. } => {
            let fault = Fault::Slow { delay_ms: chance.random_range(20..1_500), bytes_per_s: chance.random_range(500..20_000) };
            (fault, seconds(chance, 3.0, 15.0))
        }
        Fault::KillBridge | Fault::KillServer => (kind, seconds(chance, 0.0, 4.0)),
        Fault::DiskFull { .. } => (Fault::DiskFull { kill: chance.random() }, seconds(chance, 3.0, 12.0)),
        Fault::DamagedLog { .. } => {
            let part = match chance.random_range(0..5) {
                0 | 1 => Part::Database,
                2 | 3 => Part::Journal,
                _ => Part::All,
            };
            (Fault::DamagedLog { torn: chance.random(), part }, seconds(chance, 0.5, 8.0))
        }
        // Long enough for both to come up and say something, with a moment before to let the log be taken.
        Fault::Clone => (kind, seconds(chance, 8.0, 20.0)),
        Fault::ClockStep { .. } => {
            let hours = chance.random_range(1..100);
            let to_s = hours * 3_600 * if chance.random() { 1 } else { -1 };
            (Fault::ClockStep { to_s }, seconds(chance, 1.0, 3.0))
        }
        Fault::Replay => (kind, seconds(chance, 1.0, 2.0)),
    }
}

fn seconds(chance: &mut StdRng, from: f64, to: f64) -> Duration {
    Duration::from_millis((chance.random_range(from..to) * 1e3) as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    const MINUTE: Duration = Duration::from_secs(60);

    fn fleet() -> Vec<Capabilities> {
        (0..20)
            .map(|index| Capabilities { disk: index % 10 == 3, open_disk: index % 10 != 3, clock: index % 4 == 1, replay: true })
            .collect()
    }

    #[test]
    fn the_same_seed_is_the_same_schedule_and_another_is_another() {
        assert_eq!(schedule(7, &fleet(), MINUTE), schedule(7, &fleet(), MINUTE));
        assert_ne!(schedule(7, &fleet(), MINUTE), schedule(8, &fleet(), MINUTE));
        let longer = schedule(7, &fleet(), 2 * MINUTE);
        assert!(schedule(7, &fleet(), MINUTE).iter().all(|planned| longer.contains(planned)));
    }

    #[test]
    fn every_kind_comes_in_a_minute_whatever_the_seed() {
        for seed in 0..50 {
            let names: BTreeSet<&str> = schedule(seed, &fleet(), MINUTE).iter().map(|planned| planned.fault.name()).collect();
            assert_eq!(names, BTreeSet::from(Fault::NAMES), "seed {seed}");
        }
    }

    #[test]
    fn what_nobody_can_suffer_does_not_come() {
        let planned = schedule(1, &[Capabilities::default(); 30], 2 * MINUTE);
        let names: BTreeSet<&str> = planned.iter().map(|planned| planned.fault.name()).collect();
        assert!(names.is_disjoint(&BTreeSet::from(["replay", "disk-full", "damaged-log", "clone", "clock-step"])), "{names:?}");
    }

    #[test]
    fn a_robot_suffers_one_fault_at_a_time_only_what_it_can_and_all_end_in_time() {
        let fleet = fleet();
        for seed in 0..20 {
            let planned = schedule(seed, &fleet, 3 * MINUTE);
            assert!(planned.is_sorted_by_key(|planned| planned.at));
            for robot in (0..fleet.len()).map(Some).chain([None]) {
                let mut free = Duration::ZERO;
                for planned in planned.iter().filter(|planned| planned.robot == robot) {
                    assert!(planned.at >= free);
                    free = planned.at + planned.lasts;
                    assert!(free <= 3 * MINUTE);
                    let can = robot.map(|robot| fleet[robot]).unwrap_or_default();
                    assert!(can.disk || !matches!(planned.fault, Fault::DiskFull { .. }));
                    assert!(can.open_disk || !matches!(planned.fault, Fault::DamagedLog { .. } | Fault::Clone));
                    assert!(can.replay || planned.fault != Fault::Replay);
                    assert!(can.clock || !matches!(planned.fault, Fault::ClockStep { .. }));
                    assert_eq!(planned.fault == Fault::KillServer, robot.is_none());
                }
            }
        }
    }
}
