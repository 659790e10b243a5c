//! How bad a drift window is: a level to act on, a strength to draw, and the words for both.

use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport};
use edgeflow_ros::std_msgs::msg::ColorRGBA;

/// What a window says about the robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing beyond chance.
    Steady,
    /// Beyond chance once; the next window decides.
    Suspect,
    /// Flagged.
    Drifting,
}

/// The statistic that stands furthest beyond its threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// Name of the feature.
    pub feature: String,
    /// "PSI", "KS", "location" ...
    pub statistic: &'static str,
    /// Its magnitude.
    pub value: f64,
    /// What it may be by chance.
    pub threshold: f64,
}

impl Worst {
    /// Value over threshold: above 1 is beyond chance.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.value / self.threshold
    }
}

/// Severity of one drift window.
#[derive(Clone, Debug, PartialEq)]
pub struct Severity {
    /// What it says about the robot.
    pub level: Level,
    /// What says so; `None` when the report has no feature that can be judged.
    pub worst: Option<Worst>,
}

/// A ratio at which the colour is fully red. PSI has no upper end, so strength grows with the ratio's logarithm.
const FULL_RATIO: f64 = 10.0;

// Told apart in greyscale and with colour-blind eyes too: the steady one is blue-green and darker than amber, and
// the height of a column says the same again.
const STEADY: [f32; 3] = [0.10, 0.60, 0.55];
const SUSPECT: [f32; 3] = [0.95, 0.85, 0.40];
const DRIFTING: [f32; 3] = [0.98, 0.60, 0.10];
const DRIFTING_FULL: [f32; 3] = [0.80, 0.05, 0.10];

impl Severity {
    /// Judges a report by its own thresholds. Among flagged features only those count: another may stand further out for one window.
    #[must_use]
    pub fn of(report: &DriftReport) -> Self {
        let any_flagged = report.features.iter().any(|feature| feature.flagged);
        let worst = report
            .features
            .iter()
            .filter(|feature| feature.flagged || !any_flagged)
            .flat_map(statistics)
            .max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        let beyond = worst.as_ref().is_some_and(|worst| worst.ratio() > 1.0);
        let level = match (report.flagged, beyond) {
            (true, _) => Level::Drifting,
            (false, true) => Level::Suspect,
            (false, false) => Level::Steady,
        };
        Self { level, worst }
    }

    /// From 0 (as the baseline) to 1 (ten times its threshold and more).
    #[must_use]
    pub fn strength(&self) -> f64 {
        let ratio = self.worst.as_ref().map_or(0.0, Worst::ratio);
        match self.level {
            Level::Steady => 0.25 * ratio.clamp(0.0, 1.0),
            Level::Suspect => 0.3,
            // A flag stays for a window that is back below its threshold.
            Level::Drifting => 0.4 + 0.6 * (ratio.max(1.0).ln() / FULL_RATIO.ln()).clamp(0.0, 1.0),
        }
    }

    /// Opaque.
    #[must_use]
    pub fn color(&self) -> ColorRGBA {
        let [r, g, b] = match self.level {
            Level::Steady => STEADY,
            Level::Suspect => SUSPECT,
            Level::Drifting => {
                let t = ((self.strength() - 0.4) / 0.6) as f32;
                std::array::from_fn(|i| DRIFTING[i] + (DRIFTING_FULL[i] - DRIFTING[i]) * t)
            }
        };
        ColorRGBA { r, g, b, a: 1.0 }
    }

    /// One line for people.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        match self.level {
            Level::Steady => "no drift",
            Level::Suspect => "one window beyond chance",
            Level::Drifting => "DRIFTING",
        }
    }

    /// The figures behind it, for instance `brightness: PSI 4.55, threshold 0.61`.
    #[must_use]
    pub fn detail(&self) -> String {
        match &self.worst {
            Some(Worst { feature, statistic, value, threshold }) => format!("{feature}: {statistic} {value:.2}, threshold {threshold:.2}"),
            None => "no feature to judge".to_owned(),
        }
    }
}

/// The statistics of a feature that have a threshold to be held against.
fn statistics(feature: &DriftFeature) -> impl Iterator<Item = Worst> {
    let judged = |statistic, value: f64, threshold: f64| {
        let usable = value.is_finite() && threshold.is_finite() && threshold > 0.0;
        usable.then(|| Worst { feature: feature.name.clone(), statistic, value, threshold })
    };
    [
        judged("PSI", feature.psi, feature.psi_threshold),
        judged("KS", feature.ks, feature.ks_threshold),
        judged("chi-square", feature.chi_square, feature.chi_square_threshold),
        judged("location", feature.location.abs(), feature.location_threshold),
        judged("spread", feature.spread.abs(), feature.spread_threshold),
        judged("outside", feature.outside, feature.outside_threshold),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str, psi: f64, ks: f64, flagged: bool) -> DriftFeature {
        DriftFeature { name: name.into(), psi, psi_threshold: 0.5, ks, ks_threshold: 0.2, flagged, ..DriftFeature::default() }
    }

    fn report(features: Vec<DriftFeature>) -> DriftReport {
        DriftReport { flagged: features.iter().any(|f| f.flagged), features, ..DriftReport::default() }
    }

    #[test]
    fn levels_follow_the_reports_verdict_and_its_own_thresholds() {
        let steady = Severity::of(&report(vec![feature("brightness", 0.1, 0.1, false), feature("contrast", 0.2, 0.05, false)]));
        assert_eq!((steady.level, steady.detail().as_str()), (Level::Steady, "brightness: KS 0.10, threshold 0.20"));
        let suspect = Severity::of(&report(vec![feature("brightness", 0.6, 0.1, false)]));
        assert_eq!(suspect.level, Level::Suspect);
        let drifting = Severity::of(&report(vec![feature("brightness", 1.0, 0.1, true), feature("contrast", 4.0, 0.1, false)]));
        assert_eq!((drifting.level, drifting.detail().as_str()), (Level::Drifting, "brightness: PSI 1.00, threshold 0.50"));
        let clearing = Severity::of(&report(vec![feature("brightness", 0.1, 0.1, true)]));
        assert_eq!(clearing.level, Level::Drifting, "a flag lasts until it is cleared");
        assert!(steady.strength() < suspect.strength() && suspect.strength() < clearing.strength());
        assert!(clearing.strength() < drifting.strength());
    }

    #[test]
    fn strength_grows_with_the_ratio_and_ends_at_one() {
        let strength = |psi| Severity::of(&report(vec![feature("brightness", psi, 0.0, true)])).strength();
        assert_eq!(strength(0.5), 0.4);
        assert!(strength(1.0) < strength(2.0));
        assert_eq!((strength(5.0), strength(500.0)), (1.0, 1.0));
        let [mild, full] = [0.5, 50.0].map(|psi| Severity::of(&report(vec![feature("brightness", psi, 0.0, true)])).color());
        assert!(full.g < mild.g && full.a == 1.0 && mild.a == 1.0, "{mild:?} {full:?}");
    }

    #[test]
    fn what_has_no_usable_threshold_is_not_judged() {
        for psi_threshold in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let odd = DriftFeature { psi: 1.0, psi_threshold, ..DriftFeature::default() };
            let severity = Severity::of(&report(vec![odd]));
            assert_eq!((severity.level, severity.strength(), severity.worst), (Level::Steady, 0.0, None), "{psi_threshold}");
        }
        let moved = DriftFeature { location: -0.4, location_threshold: 0.1, ..feature("brightness", 0.1, 0.1, true) };
        assert_eq!(Severity::of(&report(vec![moved])).detail(), "brightness: location 0.40, threshold 0.10");
        let nan = Severity::of(&report(vec![feature("brightness", f64::NAN, 0.1, true)]));
        assert_eq!((nan.level, nan.worst.unwrap().statistic), (Level::Drifting, "KS"));
    }
}
