//! What a run reads about the control plane from outside: its histogram of ticks, and the memory its process holds.

use std::path::PathBuf;

/// A histogram as Prometheus' text has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Upper bound and how many are at or below it, ascending; the last bound is infinite.
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// Reads the one of this name, without labels of its own; empty when there is none.
    pub fn read(text: &str, name: &str) -> Self {
        let begin = format!("{name}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&begin)?.split_once("\"}")?;
            // What may follow the count is an exemplar or a time.
            Some((bound.replace("+Inf", "inf").parse().ok()?, count.split_whitespace().next()?.parse().ok()?))
        };
        Self { buckets: text.lines().filter_map(bucket).collect() }
    }

    /// How many there are.
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// What was added to another that came before, of the same process.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let then = |bound: f64| before.buckets.iter().find(|(at, _)| *at == bound).map_or(0.0, |(_, count)| *count);
        Histogram { buckets: self.buckets.iter().map(|&(bound, count)| (bound, count - then(bound))).collect() }
    }

    /// The sum with another one of the same bounds: one process after another.
    pub fn and(&self, other: &Histogram) -> Histogram {
        if self.buckets.is_empty() {
            return other.clone();
        }
        let there = |bound: f64| other.buckets.iter().find(|(at, _)| *at == bound).map_or(0.0, |(_, count)| *count);
        Histogram { buckets: self.buckets.iter().map(|&(bound, count)| (bound, count + there(bound))).collect() }
    }

    /// A quantile, straight between the bounds of its bucket as Prometheus' `histogram_quantile` has it; the last finite bound when it
    /// lies beyond, NaN when there is nothing.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = share * self.count();
        let (mut low, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= rank && count > 0.0 {
                let inside = if count > below { (rank - below) / (count - below) } else { 1.0 };
                return if bound.is_finite() { low + (bound - low) * inside } else { low };
            }
            (low, below) = (bound, count);
        }
        f64::NAN
    }
}

/// Memory that a process holds now, and the most it ever held, MB.
pub(crate) fn resident_mb(process: u32) -> Option<(f64, f64)> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{process}/status"))).ok()?;
    let read = |key: &str| {
        let kib: f64 = status.lines().find_map(|line| line.strip_prefix(key))?.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib * 1.024e-3)
    };
    Some((read("VmRSS:")?, read("VmHWM:")?))
}

/// Processor time of a process so far, of user and system, seconds.
pub(crate) fn processor_s(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{process}/stat"))).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let ticks = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().ok());
    // A hundredth of a second each on every Linux.
    ticks.sum::<Option<f64>>().map(|ticks| ticks / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE ticks histogram\nticks_sum 1.5\nticks_count 10\nticks_bucket{le=\"0.1\"} 8\nticks_bucket{le=\"0.2\"} 9
ticks_bucket{le=\"+Inf\"} 10\nother_bucket{le=\"0.1\"} 3\n";

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let ticks = Histogram::read(TEXT, "ticks");
        assert_eq!(ticks.count(), 10.0);
        assert!((ticks.quantile(0.4) - 0.05).abs() < 1e-9 && (ticks.quantile(0.85) - 0.15).abs() < 1e-9);
        assert_eq!(ticks.quantile(0.99), 0.2, "beyond the last bound nothing is known");
        assert_eq!(ticks.since(&ticks).count(), 0.0);
        assert!(ticks.since(&ticks).quantile(0.5).is_nan() && Histogram::read(TEXT, "none").quantile(0.5).is_nan());
        assert_eq!(ticks.and(&ticks).count(), 20.0);
        assert_eq!(Histogram::default().and(&ticks), ticks);
    }

    #[test]
    fn this_process_holds_memory_and_has_used_the_processor() {
        let (now, most) = resident_mb(std::process::id()).unwrap();
        assert!(now > 0.5 && now <= most);
        assert!(processor_s(std::process::id()).is_some_and(|seconds| seconds >= 0.0));
    }
}
