//! When chance is no longer an explanation: from false alarms a day to the chance each feature's window must fall below.
//!
//! An alarm is a flag: one feature beyond chance in two windows in a row. With `alarms` a day allowed and windows of `d`
//! seconds, a window may bring `a = alarms d / 86400` of them. If `p` is a feature's chance in one window, both of two
//! windows fall to `p` or below with probability `p^2` when they are independent, and with `p` when they always agree. In
//! between, with correlation `r` between the windows' deviations from the baseline, it is about `p^(2 / (1 + r))`: two
//! standard normal values can only both exceed `z` when their sum, of variance `2 (1 + r)`, exceeds `2 z`. So the
//! chance of a *pair* of windows is `p^(2 / (1 + r))`, and what is held against `a` are those, by Benjamini and Hochberg's
//! rule over the features.

/// Seconds of a day.
const DAY_S: f64 = 86_400.0;

/// Most false alarms per window, however long the window.
const MOST_PER_WINDOW: f64 = 0.05;

/// Windows are never taken for wholly independent: what a robot sees changes slowly in ways lag-1 correlation does not show.
const LEAST_DEPENDENCE: f64 = 0.1;

/// False alarms that one window of `duration_s` may bring.
pub(crate) fn alarms_per_window(alarms_per_day: f64, duration_s: f64) -> f64 {
    (alarms_per_day * duration_s / DAY_S).min(MOST_PER_WINDOW)
}

/// Correlation between the deviations of two neighbouring windows that amount to `n` independent values each, from a
/// baseline that amounts to `m`: they share the baseline's own error, `n / (n + m)`, and an AR(1) stream makes their means
/// correlate by at most `1 / (4 n)`.
pub(crate) fn dependence(n_effective: f64, m_effective: f64) -> f64 {
    let shared = n_effective / (n_effective + m_effective);
    (shared + 0.25 / n_effective).clamp(LEAST_DEPENDENCE, 1.0)
}

/// A feature's chance in one window, and how much the next window agrees with it for other reasons than drift.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    pub(crate) p_value: f64,
    pub(crate) dependence: f64,
}

impl Chance {
    fn of_pair(self) -> f64 {
        self.p_value.powf(2.0 / (1.0 + self.dependence))
    }

    /// The chance in one window that a chance of a pair stands for.
    fn of_one(self, pair: f64) -> f64 {
        pair.powf(0.5 * (1.0 + self.dependence))
    }
}

/// For each feature the level its chance had to reach in this window; one at or below its level is significant.
///
/// Benjamini and Hochberg: of `k` features sorted by the chance of a pair, all up to the last with
/// `pair <= i / k * alarms_per_window` are significant. The level of a feature is the one it is, or would be, significant at.
pub(crate) fn levels(chances: &[Chance], alarms_per_window: f64) -> Vec<f64> {
    let mut pairs: Vec<f64> = chances.iter().map(|chance| chance.of_pair()).collect();
    pairs.sort_by(f64::total_cmp);
    let step = alarms_per_window / chances.len() as f64;
    let significant = pairs.iter().enumerate().rev().find(|(i, pair)| **pair <= (i + 1) as f64 * step).map_or(0, |(i, _)| i + 1);
    let level = |chance: &Chance| {
        let inside = chance.of_pair() <= significant as f64 * step;
        let place = if inside { significant } else { significant + 1 };
        // Going to pairs and back rounds: a chance that just passes there must pass here.
        let level = chance.of_one(place as f64 * step);
        if inside { level.max(chance.p_value) } else { level }
    };
    chances.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chances(p_values: &[f64], dependence: f64) -> Vec<Chance> {
        p_values.iter().map(|&p_value| Chance { p_value, dependence }).collect()
    }

    fn significant(p_values: &[f64], dependence: f64, alarms: f64) -> Vec<bool> {
        let chances = chances(p_values, dependence);
        levels(&chances, alarms).iter().zip(&chances).map(|(level, chance)| chance.p_value <= *level).collect()
    }

    #[test]
    fn the_textbook_example() {
        // Benjamini and Hochberg (1995), section 3.2: of 15 hypotheses at 0.05 theirs rejects the first four, Bonferroni three.
        let p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0];
        // With dependence 1 a pair says no more than one window.
        let expected: Vec<bool> = (0..15).map(|i| i < 4).collect();
        assert_eq!(significant(&p, 1.0, 0.05), expected);
        let independent: Vec<f64> = p.iter().map(|p| p.sqrt()).collect();
        assert_eq!(significant(&independent, 0.0, 0.05), expected);
    }

    #[test]
    fn a_feature_beyond_the_last_has_the_level_it_would_need() {
        let levels = levels(&chances(&[0.5, 1e-6, 0.9], 1.0), 0.03);
        assert!((levels[0] - 0.02).abs() < 1e-12 && (levels[1] - 0.01).abs() < 1e-12 && (levels[2] - 0.02).abs() < 1e-12, "{levels:?}");
    }

    #[test]
    fn longer_windows_may_bring_more_alarms_each() {
        assert!((alarms_per_window(0.1, 5.0) - 0.1 / 17280.0).abs() < 1e-12);
        assert_eq!(alarms_per_window(10.0, 86_400.0), MOST_PER_WINDOW);
        assert!(dependence(100.0, 4000.0) == LEAST_DEPENDENCE && dependence(1000.0, 1000.0) > 0.5 && dependence(0.1, 1.0) == 1.0);
    }
}
