//! What a simulated robot says of its model: how fast, how right, and how its frames and answers are distributed. Drawn at random around
//! what a version is worth, so that gates meet numbers as fleets bring them.

use edgeflow_wire::{DriftFeatureBody, DriftReportBody, EvaluationBody, InferenceSummaryBody, SlotState};
use rand::Rng;
use rand::rngs::SmallRng;

/// Frames of a drift window.
const WINDOW: u64 = 100;
/// Labels a model tells apart.
const LABELS: usize = 10;
/// Bins of what its frames are like.
const BINS: usize = 10;
/// Beyond this a window of so many frames is no chance any more.
const PSI_THRESHOLD: f64 = 0.45;

/// What a version is worth on a robot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// Share of right answers.
    pub accuracy: f64,
    /// Median latency, microseconds.
    pub latency_us: u32,
    /// Share of answers that are the last label whatever the frame shows.
    pub skew: f64,
}

impl Worth {
    /// A model as it should be.
    pub const SOUND: Worth = Worth { accuracy: 0.97, latency_us: 5_000, skew: 0.0 };
    /// Right half of the time, and fond of one label.
    pub const BAD: Worth = Worth { accuracy: 0.5, latency_us: 5_000, skew: 0.4 };
}

/// What a robot has seen of the version it runs.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    samples: u64,
    correct: u64,
    windows: u64,
    significant: bool,
}

impl Seen {
    /// So many frames more, answered by this version.
    pub(crate) fn frames(&mut self, frames: u64, worth: &Worth, rng: &mut SmallRng) {
        self.samples += frames;
        self.correct += (0..frames).filter(|_| rng.random_bool(worth.accuracy)).count() as u64;
    }

    pub(crate) fn evaluation(&self, runs: &SlotState) -> EvaluationBody {
        EvaluationBody {
            model: runs.model.clone(),
            model_version: runs.version.clone(),
            digest: runs.digest.clone(),
            samples: self.samples,
            correct: self.correct,
            accuracy: self.correct as f64 / self.samples as f64,
        }
    }

    /// A drift window that ends now.
    pub(crate) fn window(
        &mut self,
        runs: &SlotState,
        worth: &Worth,
        (start_us, end_us): (i64, i64),
        rng: &mut SmallRng,
    ) -> DriftReportBody {
        let (mut light, mut labels) = ([0; BINS], [0; LABELS + 1]);
        for _ in 0..WINDOW {
            let label = if rng.random_bool(worth.skew) { LABELS - 1 } else { rng.random_range(0..LABELS) };
            for (counts, place) in [(&mut light[..], rng.random_range(0..BINS)), (&mut labels[..], label)] {
                if let Some(count) = counts.get_mut(place) {
                    *count += 1;
                }
            }
        }
        let mut features = [feature("brightness", "input", &light, BINS), feature("output.class", "output", &labels, LABELS)];
        let significant = features.iter().any(|feature| feature.significant);
        let flagged = significant && self.significant;
        features.iter_mut().for_each(|feature| feature.flagged = feature.significant && flagged);
        self.significant = significant;
        self.windows += 1;
        DriftReportBody {
            model: runs.model.clone(),
            model_version: runs.version.clone(),
            digest: runs.digest.clone(),
            baseline: "bundle".to_owned(),
            window: self.windows,
            windows: 1,
            start_us,
            end_us,
            false_alarm_rate: 1e-5,
            false_alarms_per_day: 0.1,
            duration_s: (end_us - start_us) as f64 * 1e-6,
            flagged,
            max_psi: features.iter().map(|feature| feature.psi).fold(0.0, f64::max),
            features: features.into(),
        }
    }
}

/// A period of inference.
pub(crate) fn summary(runs: &SlotState, worth: &Worth, results: u64, period_us: i64, rng: &mut SmallRng) -> InferenceSummaryBody {
    let latency_p50_us = (f64::from(worth.latency_us) * rng.random_range(0.95..1.05)) as u32;
    InferenceSummaryBody {
        period_us,
        results,
        rate_hz: results as f64 / (period_us as f64 * 1e-6),
        latency_p50_us,
        latency_p95_us: latency_p50_us + latency_p50_us / 4,
        mean_score: (worth.accuracy * rng.random_range(0.98..1.0)).min(1.0),
        failed: Some(0),
        digest: runs.digest.clone(),
    }
}

/// Counts against a baseline of 4,000 frames that are in each of the first `bins` bins alike.
fn feature(name: &str, subject: &str, counts: &[u64], bins: usize) -> DriftFeatureBody {
    let (n, all) = (WINDOW as f64, counts.len() as f64);
    let share = |count: f64, of: f64| (count + 0.5) / (of + 0.5 * all);
    let psi = counts.iter().enumerate().map(|(bin, &count)| {
        let was = share(if bin < bins { 4_000.0 / bins as f64 } else { 0.0 }, 4_000.0);
        let is = share(count as f64, n);
        (is - was) * (is / was).ln()
    });
    let psi = psi.sum::<f64>();
    let categories = match subject {
        "output" => (0..bins).map(|label| label.to_string()).chain(["(other)".to_owned()]).collect(),
        _ => Vec::new(),
    };
    DriftFeatureBody {
        name: name.to_owned(),
        subject: subject.to_owned(),
        baseline: "bundle".to_owned(),
        n: WINDOW,
        n_effective: n,
        mean: f64::NAN,
        baseline_mean: f64::NAN,
        std: f64::NAN,
        baseline_std: f64::NAN,
        mean_shift: f64::NAN,
        std_ratio: f64::NAN,
        location: f64::NAN,
        location_threshold: f64::NAN,
        spread: f64::NAN,
        spread_threshold: f64::NAN,
        outside: f64::NAN,
        outside_threshold: f64::NAN,
        psi,
        psi_threshold: PSI_THRESHOLD,
        ks: f64::NAN,
        ks_threshold: f64::NAN,
        chi_square: f64::NAN,
        chi_square_threshold: f64::NAN,
        kl: f64::NAN,
        js: f64::NAN,
        wasserstein: f64::NAN,
        p_value: f64::NAN,
        p_threshold: f64::NAN,
        strongest: "psi".to_owned(),
        edges: if categories.is_empty() { (1..bins).map(|edge| edge as f64 / bins as f64).collect() } else { Vec::new() },
        categories,
        counts: counts.to_vec(),
        significant: psi > PSI_THRESHOLD,
        flagged: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_wire::SlotStatus;
    use rand::SeedableRng;

    fn runs() -> SlotState {
        let [model, version, digest] = ["m", "2", "d"].map(str::to_owned);
        SlotState { status: SlotStatus::Active, model, version, digest, ..SlotState::default() }
    }

    #[test]
    fn a_sound_version_is_right_and_does_not_drift_and_a_bad_one_is_neither() {
        let mut rng = SmallRng::seed_from_u64(3);
        for (worth, sound) in [(Worth::SOUND, true), (Worth::BAD, false)] {
            let mut seen = Seen::default();
            seen.frames(2_000, &worth, &mut rng);
            let told = seen.evaluation(&runs());
            assert!((told.accuracy - worth.accuracy).abs() < 0.05 && told.samples == 2_000);
            let windows: Vec<_> = (0..20).map(|_| seen.window(&runs(), &worth, (0, 5_000_000), &mut rng)).collect();
            assert_eq!(windows.iter().filter(|window| window.flagged).count(), if sound { 0 } else { 19 });
            let last = windows.last().map(|window| (window.window, window.features[0].flagged, window.features[1].flagged));
            assert_eq!(last, Some((20, false, !sound)), "its frames are as they were");
            assert!(windows.iter().flat_map(|window| &window.features).all(|feature| feature.counts.iter().sum::<u64>() == WINDOW));
        }
        assert!((summary(&runs(), &Worth::SOUND, 200, 10_000_000, &mut rng).rate_hz - 20.0).abs() < 1e-9);
    }
}
