//! What one feature's window says against its baseline: each statistic that can alarm, and how likely chance alone is to
//! bring it about.
//!
//! The chances of a feature are combined by a weighted Bonferroni rule: the least of `chance / weight`. It holds however the
//! statistics depend on each other. Location weighs most, as sensors and scenes shift more often than they change shape.

use crate::decision::{Chance, dependence};
use crate::null::{
    Divergence, DivergenceNull, effective_size, ks_chance, ks_threshold, outside_chance, outside_threshold, t_chance, t_threshold,
};
use crate::stats::{self, RankScores};
use crate::{FeatureBaseline, FeatureWindow};

/// A statistic that can alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    /// [`stats::location`], in magnitude.
    Location,
    /// [`stats::spread`], in magnitude.
    Spread,
    /// Share of values outside the baseline's range.
    Outside,
    /// [`stats::psi`].
    Psi,
    /// [`stats::ks`].
    Ks,
    /// [`stats::chi_square`].
    ChiSquare,
}

impl Statistic {
    /// As in `DriftFeature.msg`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Statistic::Location => "location",
            Statistic::Spread => "spread",
            Statistic::Outside => "outside",
            Statistic::Psi => "psi",
            Statistic::Ks => "ks",
            Statistic::ChiSquare => "chi_square",
        }
    }

    /// Its part of a feature's false alarms. The parts of those that are used together add up to 1.
    fn weight(self, categorical: bool) -> f64 {
        match (self, categorical) {
            (Statistic::Location, false) => 0.6,
            (Statistic::Spread | Statistic::Psi, false) => 0.15,
            (Statistic::Ks | Statistic::Outside, false) => 0.05,
            (Statistic::Psi | Statistic::ChiSquare, true) => 0.5,
            _ => 0.0,
        }
    }
}

/// What divergences do by chance: dear to work out, and the same as long as windows hold the same number of values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nulls {
    psi: Option<DivergenceNull>,
    chi_square: Option<DivergenceNull>,
}

fn remembered(null: &mut Option<DivergenceNull>, divergence: Divergence, counts: &[u64], n: u64) -> DivergenceNull {
    match null {
        Some(null) if null.n() == n => *null,
        _ => *null.insert(DivergenceNull::new(divergence, counts, n)),
    }
}

/// One statistic of one window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) statistic: Statistic,
    /// Chance of at least this value without drift, over its weight.
    pub(crate) chance: f64,
}

/// All statistics of one feature's window.
pub(crate) struct Evidence {
    categorical: bool,
    n: f64,
    pub(crate) n_effective: f64,
    m_effective: f64,
    location_std: f64,
    spread_std: f64,
    psi_null: DivergenceNull,
    chi_square_null: DivergenceNull,
    pub(crate) held: Vec<Held>,
}

impl Evidence {
    pub(crate) fn of(baseline: &FeatureBaseline, seen: &FeatureWindow, nulls: &mut Nulls) -> Self {
        let (was, is) = (&baseline.counts[..], seen.counts());
        let n = seen.n();
        let scores = RankScores::new(was);
        let (location, location_std) = scores.location(is);
        let (spread, spread_std) = scores.spread(is);
        let mut evidence = Evidence {
            categorical: baseline.is_categorical(),
            n: n as f64,
            n_effective: effective_size(n, seen.autocorrelation()),
            m_effective: baseline.n_effective,
            location_std,
            spread_std,
            psi_null: remembered(&mut nulls.psi, Divergence::Psi, was, n),
            chi_square_null: remembered(&mut nulls.chi_square, Divergence::ChiSquare, was, n),
            held: Vec::new(),
        };
        evidence.held = match evidence.categorical {
            _ if n == 0 => Vec::new(),
            true => vec![(Statistic::Psi, stats::psi(was, is)), (Statistic::ChiSquare, stats::chi_square(was, is))],
            false => vec![
                (Statistic::Location, location),
                (Statistic::Spread, spread),
                (Statistic::Outside, seen.outside() as f64 / n as f64),
                (Statistic::Psi, stats::psi(was, is)),
                (Statistic::Ks, stats::ks(was, is)),
            ],
        }
        .into_iter()
        .map(|(statistic, value)| Held { statistic, chance: evidence.chance(statistic, value) })
        .collect();
        evidence
    }

    /// Chance of what the strongest statistic shows, over all of them; 1 when there is nothing to compare.
    pub(crate) fn p_value(&self) -> f64 {
        self.strongest().map_or(1.0, |held| held.chance.min(1.0))
    }

    /// What is held against the allowed alarms.
    pub(crate) fn pair_chance(&self) -> Chance {
        Chance { p_value: self.p_value(), dependence: dependence(self.n_effective, self.m_effective) }
    }

    /// The statistic that chance explains least.
    pub(crate) fn strongest(&self) -> Option<Held> {
        self.held.iter().copied().min_by(|a, b| a.chance.total_cmp(&b.chance))
    }

    /// Standard error of a mean score.
    fn error(&self, std: f64) -> f64 {
        std * (1.0 / self.n_effective + 1.0 / self.m_effective).sqrt()
    }

    /// The size of the window is itself an estimate that rests on as many values; so is the baseline.
    fn freedom(&self) -> f64 {
        self.n_effective.min(self.m_effective) - 1.0
    }

    fn chance(&self, statistic: Statistic, value: f64) -> f64 {
        let (m, n) = (self.m_effective, self.n_effective);
        let chance = match statistic {
            Statistic::Location => t_chance(value / self.error(self.location_std), self.freedom()),
            Statistic::Spread => t_chance(value / self.error(self.spread_std), self.freedom()),
            // A thousandth of a value forgives rounding.
            Statistic::Outside => outside_chance(value * n + 1e-3, n, m),
            Statistic::Psi => self.psi_null.chance(value, m, n),
            Statistic::Ks => ks_chance(value, m, n),
            Statistic::ChiSquare => self.chi_square_null.chance(value / self.n, m, n),
        };
        chance / statistic.weight(self.categorical)
    }

    /// Beyond which magnitude a statistic is significant when the feature's chance must be at most `alpha`. NaN for a
    /// statistic that this feature does not have.
    pub(crate) fn threshold(&self, statistic: Statistic, alpha: f64) -> f64 {
        let (m, n) = (self.m_effective, self.n_effective);
        let alpha = alpha * statistic.weight(self.categorical);
        if !self.held.iter().any(|held| held.statistic == statistic) {
            return f64::NAN;
        }
        match statistic {
            Statistic::Location => t_threshold(alpha, self.freedom()) * self.error(self.location_std),
            Statistic::Spread => t_threshold(alpha, self.freedom()) * self.error(self.spread_std),
            Statistic::Outside => (outside_threshold(alpha, n, m) - 1e-3) / n,
            Statistic::Psi => self.psi_null.threshold(alpha, m, n),
            Statistic::Ks => ks_threshold(m, n, alpha),
            Statistic::ChiSquare => self.chi_square_null.threshold(alpha, m, n) * self.n,
        }
    }
}
