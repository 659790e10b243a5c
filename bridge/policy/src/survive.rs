//! When the host is short of something, what is given up first, and when it comes back.

use edgeflow_wire::Class;

/// What the host has left. What is not known is not short.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Host {
    /// How busy all processors are, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Memory that programs can get, megabytes.
    pub memory_mb: Option<u64>,
    /// Room where the log is, megabytes.
    pub disk_mb: Option<u64>,
}

/// When the host is short. 0: never.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// Busier than this.
    pub cpu_percent: f64,
    /// Less memory than this, megabytes.
    pub memory_mb: u64,
    /// Less room than this, megabytes.
    pub disk_mb: u64,
}

/// Short for so long, one class more is given up, microseconds.
const SHED_AFTER_US: u64 = 10_000_000;
/// Well for so long, one comes back, microseconds.
const RECOVER_AFTER_US: u64 = 30_000_000;
/// Well is not just beyond the threshold: processors this much less busy, percent,
const CPU_MARGIN: f64 = 10.0;
/// and half as much memory or room again.
const MARGIN: (u64, u64) = (3, 2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feeling {
    Well,
    /// Neither: nothing changes.
    Between,
    Short,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// This class and those below it are given up now; `None`: nothing is.
    pub shed: Option<Class>,
    /// Why, for people.
    pub reason: String,
}

/// Decides what is given up: `detail` first, then `summary`, never more; and takes its time in both directions.
#[derive(Debug, Clone)]
pub struct Survival {
    thresholds: Thresholds,
    shed: Option<Class>,
    feeling: Feeling,
    since_us: u64,
}

impl Survival {
    /// Nothing is given up.
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, shed: None, feeling: Feeling::Between, since_us: 0 }
    }

    /// Looks at the host; what changed, if anything.
    pub fn look(&mut self, at_us: u64, host: Host) -> Option<Shift> {
        let (feeling, reason) = self.feel(host);
        if feeling != self.feeling {
            (self.feeling, self.since_us) = (feeling, at_us);
        }
        let lasted_us = at_us.saturating_sub(self.since_us);
        let next = match (feeling, self.shed) {
            (Feeling::Short, None) if lasted_us >= SHED_AFTER_US => Some(Class::Detail),
            (Feeling::Short, Some(Class::Detail)) if lasted_us >= SHED_AFTER_US => Some(Class::Summary),
            (Feeling::Well, Some(Class::Summary)) if lasted_us >= RECOVER_AFTER_US => Some(Class::Detail),
            (Feeling::Well, Some(_)) if lasted_us >= RECOVER_AFTER_US => None,
            _ => return None,
        };
        self.shed = next;
        self.since_us = at_us;
        Some(Shift { shed: next, reason })
    }

    fn feel(&self, host: Host) -> (Feeling, String) {
        let Thresholds { cpu_percent, memory_mb, disk_mb } = self.thresholds;
        let mut short = Vec::new();
        let mut well = true;
        if let Some(busy) = host.cpu_percent.filter(|_| cpu_percent > 0.0) {
            if busy > cpu_percent {
                short.push(format!("the processors are {busy:.0} % busy"));
            }
            well &= busy <= cpu_percent - CPU_MARGIN;
        }
        for (left, least, what) in [(host.memory_mb, memory_mb, "memory"), (host.disk_mb, disk_mb, "disk")] {
            let Some(left) = left.filter(|_| least > 0) else { continue };
            if left < least {
                short.push(format!("{left} MB of {what} are left"));
            }
            well &= left >= least.saturating_mul(MARGIN.0) / MARGIN.1;
        }
        match (short.is_empty(), well) {
            (false, _) => (Feeling::Short, short.join(", ")),
            (true, true) => (Feeling::Well, "the host has enough again".to_owned()),
            (true, false) => (Feeling::Between, String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn survival() -> Survival {
        Survival::new(Thresholds { cpu_percent: 90.0, memory_mb: 100, disk_mb: 200 })
    }

    fn host(cpu_percent: f64, memory_mb: u64, disk_mb: u64) -> Host {
        Host { cpu_percent: Some(cpu_percent), memory_mb: Some(memory_mb), disk_mb: Some(disk_mb) }
    }

    /// Looks once a second, from one second to another.
    fn look(survival: &mut Survival, seconds: std::ops::Range<u64>, host: Host) -> Vec<(u64, Option<Class>)> {
        seconds.filter_map(|second| survival.look(second * SECOND, host).map(|shift| (second, shift.shed))).collect()
    }

    #[test]
    fn detail_goes_first_then_summary_and_they_come_back_the_other_way_round() {
        let mut survival = survival();
        let (well, short) = (host(20.0, 1_000, 1_000), host(20.0, 50, 1_000));
        assert_eq!(look(&mut survival, 0..100, well), []);
        assert_eq!(look(&mut survival, 100..200, short), [(110, Some(Class::Detail)), (120, Some(Class::Summary))]);
        assert_eq!(look(&mut survival, 200..300, well), [(230, Some(Class::Detail)), (260, None)]);
    }

    #[test]
    fn a_moment_is_no_shortage_and_just_enough_is_no_recovery() {
        let mut survival = survival();
        let (well, short, between) = (host(20.0, 1_000, 1_000), host(95.0, 1_000, 1_000), host(85.0, 1_000, 1_000));
        for at in (0..100).step_by(10) {
            assert_eq!(look(&mut survival, at..at + 9, short), []);
            assert_eq!(look(&mut survival, at + 9..at + 10, well), []);
        }
        assert_eq!(look(&mut survival, 100..115, short), [(110, Some(Class::Detail))]);
        assert_eq!(look(&mut survival, 115..1_000, between), [], "no flapping at the threshold");
        assert_eq!(look(&mut survival, 1_000..1_100, well), [(1_030, None)]);
    }

    #[test]
    fn each_resource_counts_and_0_or_not_known_never_does() {
        for (short, why) in
            [(host(99.0, 1_000, 1_000), "99 % busy"), (host(1.0, 9, 1_000), "9 MB of memory"), (host(1.0, 1_000, 7), "7 MB of disk")]
        {
            let mut survival = survival();
            survival.look(0, short);
            let shift = survival.look(10 * SECOND, short).unwrap();
            assert!(shift.reason.contains(why), "{}", shift.reason);
        }
        let mut never = Survival::new(Thresholds::default());
        assert_eq!(look(&mut never, 0..100, host(100.0, 0, 0)), []);
        assert_eq!(look(&mut survival(), 0..100, Host::default()), []);
    }
}
