//! Drift windows on their way to the log: each by itself where something changes, summed up where nothing does.
//!
//! A fast camera closes a window every few seconds, and one takes kilobytes. Windows over the same edges add up exactly, so
//! what is kept of a quiet minute is one report whose counts are the sums, as if the minute had been one long window.

use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport};
use edgeflow_wire::{Class, DriftFeatureBody, DriftReportBody};
use std::time::{Duration, Instant};

use crate::clock::stamp_us;

/// Decides what of the drift reports becomes an entry, and when.
#[derive(Debug)]
pub struct DriftRecorder {
    period: Duration,
    /// Windows since the last entry.
    pending: Option<DriftReportBody>,
    /// Verdict and digest of the newest window.
    newest: Option<(String, bool)>,
    /// When the last entry was made.
    told_at: Option<Instant>,
}

impl DriftRecorder {
    /// Sums up what does not change for `period`; zero makes an entry of each window.
    pub fn new(period: Duration) -> Self {
        Self { period, pending: None, newest: None, told_at: None }
    }

    /// Takes a window; what is to be recorded now. A verdict that differs from the window before is an event, anything else a summary.
    pub fn add(&mut self, report: &DriftReport, now: Instant) -> Vec<(Class, DriftReportBody)> {
        let body = drift_body(report);
        let before = self.newest.replace((body.digest.clone(), body.flagged));
        let was_flagged = before.is_some_and(|(digest, flagged)| flagged && digest == body.digest);
        let mut told = Vec::new();
        let body = match self.pending.take().map(|sum| add_up(sum, body.clone())) {
            Some(Ok(both)) => both,
            Some(Err(sum)) => {
                told.push((Class::Summary, *sum));
                body
            }
            None => body,
        };
        if body.flagged != was_flagged {
            told.push((Class::Event, body));
        } else if self.is_due(now) {
            told.push((Class::Summary, body));
        } else {
            self.pending = Some(body);
        }
        if !told.is_empty() {
            self.told_at = Some(now);
        }
        told
    }

    /// When [`DriftRecorder::close`] is to be called, should no window come before.
    pub fn due_at(&self) -> Option<Instant> {
        self.pending.as_ref()?;
        self.told_at.map(|at| at + self.period)
    }

    /// What has been summed up so far.
    pub fn close(&mut self, now: Instant) -> Option<DriftReportBody> {
        self.told_at = Some(now);
        self.pending.take()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= self.period)
    }
}

/// Both as one, when they can be: same model, baselines, bins and verdicts, feature by feature. Else the first one back.
fn add_up(mut sum: DriftReportBody, next: DriftReportBody) -> Result<DriftReportBody, Box<DriftReportBody>> {
    let alike = |a: &DriftFeatureBody, b: &DriftFeatureBody| {
        (&a.name, &a.subject, &a.baseline, &a.edges, &a.categories) == (&b.name, &b.subject, &b.baseline, &b.edges, &b.categories)
            && (a.flagged, a.counts.len()) == (b.flagged, b.counts.len())
    };
    let fits = sum.digest == next.digest
        && sum.window < next.window
        && (sum.flagged, sum.features.len()) == (next.flagged, next.features.len())
        && sum.features.iter().zip(&next.features).all(|(a, b)| alike(a, b));
    if !fits {
        return Err(Box::new(sum));
    }
    sum.windows += next.windows;
    (sum.window, sum.end_us) = (next.window, next.end_us);
    sum.duration_s += next.duration_s;
    sum.max_psi = sum.max_psi.max(next.max_psi);
    sum.features = sum.features.into_iter().zip(next.features).map(|(a, b)| add_feature(a, b)).collect();
    Ok(sum)
}

/// Counts, mean and standard deviation become those of both windows together; the statistics are the stranger window's.
fn add_feature(sum: DriftFeatureBody, next: DriftFeatureBody) -> DriftFeatureBody {
    let (n, mean, std) = together((sum.n, sum.mean, sum.std), (next.n, next.mean, next.std));
    let n_effective = sum.n_effective + next.n_effective;
    let counts = sum.counts.iter().zip(&next.counts).map(|(a, b)| a + b).collect();
    let significant = sum.significant || next.significant;
    let stranger = if next.p_value < sum.p_value || sum.p_value.is_nan() { next } else { sum };
    DriftFeatureBody { n, mean, std, n_effective, counts, significant, ..stranger }
}

/// Number, mean and standard deviation (with `n - 1`) of two samples together, as Chan, Golub and LeVeque add them (1979).
fn together((n_a, mean_a, std_a): (u64, f64, f64), (n_b, mean_b, std_b): (u64, f64, f64)) -> (u64, f64, f64) {
    let n = n_a + n_b;
    if n_a == 0 || n_b == 0 {
        return if n_a == 0 { (n, mean_b, std_b) } else { (n, mean_a, std_a) };
    }
    let (a, b) = (n_a as f64, n_b as f64);
    let delta = mean_b - mean_a;
    // One value alone has no deviation, NaN: its square is none.
    let squares = |n: f64, std: f64| if n < 2.0 { 0.0 } else { (n - 1.0) * std * std };
    let all = squares(a, std_a) + squares(b, std_b) + delta * delta * a * b / (a + b);
    (n, mean_a + delta * b / (a + b), (all / (a + b - 1.0)).sqrt())
}

fn drift_body(report: &DriftReport) -> DriftReportBody {
    DriftReportBody {
        model: report.model_name.clone(),
        model_version: report.model_version.clone(),
        digest: report.model_digest.clone(),
        baseline: report.baseline.clone(),
        window: report.window,
        windows: 1,
        start_us: stamp_us(&report.window_start),
        end_us: stamp_us(&report.header.stamp),
        false_alarm_rate: report.false_alarm_rate,
        false_alarms_per_day: report.false_alarms_per_day,
        duration_s: report.duration_s,
        flagged: report.flagged,
        max_psi: report.max_psi,
        features: report.features.iter().map(feature_body).collect(),
    }
}

fn feature_body(feature: &DriftFeature) -> DriftFeatureBody {
    DriftFeatureBody {
        name: feature.name.clone(),
        subject: feature.subject.clone(),
        baseline: feature.baseline.clone(),
        n: feature.n,
        n_effective: feature.n_effective,
        mean: feature.mean,
        baseline_mean: feature.baseline_mean,
        std: feature.std,
        baseline_std: feature.baseline_std,
        mean_shift: feature.mean_shift,
        std_ratio: feature.std_ratio,
        location: feature.location,
        location_threshold: feature.location_threshold,
        spread: feature.spread,
        spread_threshold: feature.spread_threshold,
        outside: feature.outside,
        outside_threshold: feature.outside_threshold,
        psi: feature.psi,
        psi_threshold: feature.psi_threshold,
        ks: feature.ks,
        ks_threshold: feature.ks_threshold,
        chi_square: feature.chi_square,
        chi_square_threshold: feature.chi_square_threshold,
        kl: feature.kl,
        js: feature.js,
        wasserstein: feature.wasserstein,
        p_value: feature.p_value,
        p_threshold: feature.p_threshold,
        strongest: feature.strongest.clone(),
        edges: feature.edges.clone(),
        categories: feature.categories.clone(),
        counts: feature.counts.clone(),
        significant: feature.significant,
        flagged: feature.flagged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Event, Summary};

    fn feature(value: f64, n: u64, p_value: f64) -> DriftFeature {
        DriftFeature {
            name: "brightness".into(),
            n,
            n_effective: n as f64 / 2.0,
            mean: value,
            std: 1.0,
            psi: 1.0 - p_value,
            p_value,
            edges: vec![0.0],
            counts: vec![n / 2, n - n / 2],
            ..DriftFeature::default()
        }
    }

    fn report(digest: &str, window: u64, flagged: bool) -> DriftReport {
        let features = vec![feature(window as f64, 10, 0.5 / window as f64)];
        DriftReport { model_digest: digest.into(), window, flagged, duration_s: 2.0, features, ..DriftReport::default() }
    }

    #[test]
    fn without_a_period_each_window_is_an_entry_and_only_a_change_of_verdict_is_an_event() {
        let mut recorder = DriftRecorder::new(Duration::ZERO);
        let now = Instant::now();
        let classes: Vec<Class> = [("a", false), ("a", true), ("a", true), ("b", false), ("b", true), ("b", false)]
            .into_iter()
            .enumerate()
            .flat_map(|(at, (digest, flagged))| recorder.add(&report(digest, at as u64, flagged), now))
            .map(|(class, _)| class)
            .collect();
        assert_eq!(classes, [Summary, Event, Summary, Summary, Event, Event]);
    }

    #[test]
    fn a_quiet_period_is_one_report_whose_counts_are_the_sums() {
        let mut recorder = DriftRecorder::new(Duration::from_secs(60));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(recorder.add(&report("a", 1, false), began).len(), 1, "the first is told at once");
        for window in 2..=4 {
            assert!(recorder.add(&report("a", window, false), after(window)).is_empty());
        }
        assert_eq!(recorder.due_at(), Some(after(60)));
        let told = recorder.add(&report("a", 5, false), after(61));
        let (class, sum) = &told[0];
        assert_eq!((*class, told.len(), sum.windows, sum.window, sum.duration_s), (Summary, 1, 4, 5, 8.0));
        let feature = &sum.features[0];
        assert_eq!((feature.n, feature.n_effective, &feature.counts[..], feature.mean), (40, 20.0, &[20, 20][..], 3.5));
        assert_eq!((feature.p_value, feature.psi), (0.1, 0.9), "of the strangest window");
        // Four samples of ten with deviation 1 around 2, 3, 4 and 5, as one sample of forty.
        let squares = 4.0 * 9.0 + 10.0 * (2.0 * 1.5 * 1.5 + 2.0 * 0.5 * 0.5);
        assert!((feature.std - (squares / 39.0_f64).sqrt()).abs() < 1e-12, "{}", feature.std);
        assert_eq!(recorder.due_at(), None);
    }

    #[test]
    fn a_change_of_verdict_is_told_at_once_and_what_was_summed_up_before_it() {
        let mut recorder = DriftRecorder::new(Duration::from_secs(60));
        let now = Instant::now();
        recorder.add(&report("a", 1, false), now);
        recorder.add(&report("a", 2, false), now);
        let told = recorder.add(&report("a", 3, true), now);
        let seen: Vec<_> = told.iter().map(|(class, body)| (*class, body.window, body.windows, body.flagged)).collect();
        assert_eq!(seen, [(Summary, 2, 1, false), (Event, 3, 1, true)]);
    }

    #[test]
    fn windows_that_do_not_fit_together_stay_apart() {
        let mut other_bins = report("a", 3, false);
        other_bins.features[0].edges = vec![1.0];
        let mut other_flags = report("a", 3, false);
        other_flags.features[0].flagged = true;
        for odd in [other_bins, other_flags, report("b", 3, false), report("a", 1, false)] {
            let mut recorder = DriftRecorder::new(Duration::from_secs(60));
            let now = Instant::now();
            recorder.add(&report("a", 1, false), now);
            recorder.add(&report("a", 2, false), now);
            let told = recorder.add(&odd, now);
            assert_eq!(told.iter().map(|(class, body)| (*class, body.window)).collect::<Vec<_>>(), [(Summary, 2)], "{odd:?}");
            assert_eq!(recorder.close(now).map(|body| (body.windows, body.digest)), Some((1, odd.model_digest)));
        }
    }
}
