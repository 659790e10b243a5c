//! One feature of a stream: its window, what the windows before it said, and the verdict on each.

use crate::evidence::{Evidence, Nulls, Statistic};
use crate::{BaselineSource, FeatureBaseline, FeatureReport, FeatureWindow, stats};

/// A feature that has a baseline.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Its place among a frame's values.
    pub(crate) column: usize,
    pub(crate) source: BaselineSource,
    pub(crate) window: FeatureWindow,
    nulls: Nulls,
    was_significant: bool,
    flagged: bool,
}

impl Watched {
    pub(crate) fn new(column: usize, source: BaselineSource, baseline: &FeatureBaseline) -> Self {
        let window = FeatureWindow::new(baseline);
        Watched { column, source, window, nulls: Nulls::default(), was_significant: false, flagged: false }
    }

    /// Empties the window and takes back what was said.
    pub(crate) fn forget(&mut self) {
        self.window.clear();
        (self.was_significant, self.flagged) = (false, false);
    }

    /// What the window says.
    pub(crate) fn evidence(&mut self) -> Evidence {
        Evidence::of(self.window.baseline(), &self.window, &mut self.nulls)
    }

    /// The verdict when the chance must be at most `level`, and a new window.
    pub(crate) fn judge(&mut self, evidence: &Evidence, level: f64) -> FeatureReport {
        let p_value = evidence.p_value();
        let significant = p_value <= level;
        if significant == self.was_significant {
            self.flagged = significant;
        }
        self.was_significant = significant;
        let report = self.report(evidence, level, significant);
        self.window.clear();
        report
    }

    fn report(&self, evidence: &Evidence, level: f64, significant: bool) -> FeatureReport {
        let (seen, baseline) = (&self.window, self.window.baseline());
        let (was, is) = (&baseline.counts[..], seen.counts());
        let (low, high) = (baseline.min.min(seen.min()), baseline.max.max(seen.max()));
        let numeric = |value: f64| if baseline.is_categorical() { f64::NAN } else { value };
        let by_std = |value: f64| if baseline.std > 0.0 { value / baseline.std } else { f64::NAN };
        let threshold = |statistic| evidence.threshold(statistic, level);
        FeatureReport {
            name: baseline.name.clone(),
            baseline: self.source,
            n: seen.n(),
            n_effective: evidence.n_effective,
            mean: seen.mean(),
            baseline_mean: numeric(baseline.mean),
            std: seen.std(),
            baseline_std: numeric(baseline.std),
            mean_shift: by_std(seen.mean() - baseline.mean),
            std_ratio: by_std(seen.std()),
            location: numeric(stats::location(was, is)),
            location_threshold: threshold(Statistic::Location),
            spread: numeric(stats::spread(was, is)),
            spread_threshold: threshold(Statistic::Spread),
            outside: numeric(seen.outside() as f64 / seen.n() as f64),
            outside_threshold: threshold(Statistic::Outside),
            psi: stats::psi(was, is),
            psi_threshold: threshold(Statistic::Psi),
            ks: numeric(stats::ks(was, is)),
            ks_threshold: threshold(Statistic::Ks),
            chi_square: stats::chi_square(was, is),
            chi_square_threshold: threshold(Statistic::ChiSquare),
            kl: stats::kl(was, is),
            js: stats::js(was, is),
            wasserstein: numeric(stats::wasserstein(was, is, &baseline.edges, low, high)),
            edges: baseline.edges.clone(),
            categories: baseline.bin_names(),
            counts: is.to_vec(),
            p_value: evidence.p_value(),
            p_threshold: level,
            strongest: evidence.strongest().map_or("", |held| held.statistic.name()),
            significant,
            flagged: self.flagged,
        }
    }
}
