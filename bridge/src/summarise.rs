//! Many results, one entry per period: what a person wants to see of inference, and what a link can carry.

use edgeflow_ros::edgeflow_msgs::msg::InferenceResult;
use edgeflow_wire::InferenceSummaryBody;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::time::Duration;

use crate::Failed;

/// Latencies kept per period. Beyond it each result has the same chance to be among those kept, and the percentiles become estimates.
const SAMPLE: usize = 16_384;

/// Gathers the results of one period.
#[derive(Debug)]
pub struct Summariser {
    latencies_us: Vec<u32>,
    results: u64,
    score_sum: f64,
    scored: u64,
    digest: String,
    was_running: bool,
    random: SmallRng,
}

impl Default for Summariser {
    fn default() -> Self {
        Self {
            latencies_us: Vec::new(),
            results: 0,
            score_sum: 0.0,
            scored: 0,
            digest: String::new(),
            was_running: false,
            random: SmallRng::seed_from_u64(0),
        }
    }
}

impl Summariser {
    /// Takes one result.
    pub fn add(&mut self, result: &InferenceResult) {
        self.results += 1;
        if self.latencies_us.len() < SAMPLE {
            self.latencies_us.push(result.latency_us);
        } else if let Ok(at) = usize::try_from(self.random.random_range(0..self.results))
            && let Some(kept) = self.latencies_us.get_mut(at)
        {
            *kept = result.latency_us;
        }
        if result.score.is_finite() {
            self.score_sum += f64::from(result.score);
            self.scored += 1;
        }
        if self.digest != result.model_digest {
            self.digest.clone_from(&result.model_digest);
        }
    }

    /// Ends the period, of which it is perhaps known how many frames failed. Nothing when there were neither results nor failures,
    /// except once: the period in which they stopped says so.
    pub fn close(&mut self, period: Duration, failed: Option<Failed>) -> Option<InferenceSummaryBody> {
        let failed_frames = failed.as_ref().map_or(0, |failed| failed.frames);
        let running = self.results > 0 || failed_frames > 0;
        let told = running || self.was_running;
        self.was_running = running;
        if !told {
            return None;
        }
        if self.results == 0
            && let Some(failed) = failed.as_ref().filter(|failed| failed.frames > 0)
        {
            // One that fails on every frame is told by its failures alone.
            self.digest.clone_from(&failed.digest);
        }
        let failed = failed.filter(|failed| failed.digest == self.digest).map(|failed| failed.frames);
        self.latencies_us.sort_unstable();
        let summary = InferenceSummaryBody {
            period_us: i64::try_from(period.as_micros()).unwrap_or(i64::MAX),
            results: self.results,
            rate_hz: self.results as f64 / period.as_secs_f64().max(f64::MIN_POSITIVE),
            latency_p50_us: percentile(&self.latencies_us, 50),
            latency_p95_us: percentile(&self.latencies_us, 95),
            mean_score: if self.scored > 0 { self.score_sum / self.scored as f64 } else { f64::NAN },
            digest: self.digest.clone(),
            failed,
        };
        self.latencies_us.clear();
        (self.results, self.score_sum, self.scored) = (0, 0.0, 0);
        Some(summary)
    }
}

/// Nearest-rank percentile of sorted values; 0 of none.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(latency_us: u32, score: f32) -> InferenceResult {
        InferenceResult { latency_us, score, model_digest: "sha256:d".into(), ..InferenceResult::default() }
    }

    #[test]
    fn a_period_has_its_rate_percentiles_and_mean_score() {
        let mut summariser = Summariser::default();
        for latency_us in (1..=100).rev() {
            summariser.add(&result(latency_us, if latency_us % 2 == 0 { 0.5 } else { f32::NAN }));
        }
        let summary = summariser.close(Duration::from_secs(5), None).unwrap();
        assert_eq!((summary.results, summary.latency_p50_us, summary.latency_p95_us), (100, 50, 95));
        assert_eq!((summary.rate_hz, summary.mean_score, summary.period_us), (20.0, 0.5, 5_000_000));
        assert_eq!((summary.digest.as_str(), summary.failed), ("sha256:d", None));
    }

    #[test]
    fn failures_are_told_of_the_bundle_that_answered_or_alone() {
        let second = Duration::from_secs(1);
        let failed = |frames, digest: &str| Some(Failed { frames, digest: digest.into() });
        let mut summariser = Summariser::default();
        let summary = summariser.close(second, failed(9, "sha256:d")).unwrap();
        assert_eq!((summary.results, summary.failed, summary.digest.as_str()), (0, Some(9), "sha256:d"), "it never answers");
        summariser.add(&result(7, 0.5));
        assert_eq!(summariser.close(second, failed(2, "sha256:d")).unwrap().failed, Some(2));
        summariser.add(&result(7, 0.5));
        assert_eq!(summariser.close(second, failed(2, "sha256:other")).unwrap().failed, None, "it is not known of which");
        assert_eq!(summariser.close(second, failed(0, "sha256:d")).unwrap().failed, Some(0), "the period in which they stopped");
        assert!(summariser.close(second, failed(0, "sha256:d")).is_none());
    }

    #[test]
    fn silence_is_told_once() {
        let mut summariser = Summariser::default();
        assert!(summariser.close(Duration::from_secs(1), None).is_none());
        summariser.add(&result(7, f32::NAN));
        assert!(summariser.close(Duration::from_secs(1), None).unwrap().mean_score.is_nan());
        assert_eq!(summariser.close(Duration::from_secs(1), None).unwrap().results, 0);
        assert!(summariser.close(Duration::from_secs(1), None).is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_percentiles_still_fit() {
        let mut summariser = Summariser::default();
        for n in 0..200_000_u32 {
            summariser.add(&result(n % 1_000, 0.5));
        }
        assert!(summariser.latencies_us.len() <= SAMPLE);
        let summary = summariser.close(Duration::from_secs(10), None).unwrap();
        assert_eq!(summary.results, 200_000);
        assert!((480..520).contains(&summary.latency_p50_us) && (930..970).contains(&summary.latency_p95_us), "{summary:?}");
    }
}
