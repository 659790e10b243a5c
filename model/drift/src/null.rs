//! How far a window strays from the baseline by chance alone.
//!
//! Chances (p-values) and thresholds come from each statistic's distribution when nothing has drifted, at the number of *independent*
//! values the frames amount to. Sources and the measured rates are in `docs/drift.md`.

use statrs::distribution::{ContinuousCDF, Gamma, StudentsT};
use statrs::function::gamma::ln_gamma;

use crate::stats::{chi_square_term, psi_term, share, shares};

/// Independent values that `n` values with lag-1 autocorrelation `r` amount to: `n (1 - rho) / (1 + rho)`, exact for the
/// mean of an AR(1) process in the limit, and on the safe side for the shares of bins, which decorrelate faster.
///
/// `r`, as measured on the `n` values, is first freed of its bias `-(1 + 3 rho) / n`, which would make a short window
/// look more independent than it is. What is left is uncertain: the logarithm of the result has a variance of about
/// `4 / (n (1 - rho^2))` (delta method on the variance `(1 - rho^2) / n` of `r`), and the logarithm is lowered by twice
/// that: measured, the least that keeps the stated rate at rho = 0.95 and 50 frames. It matters only where few independent
/// values are left. Negative correlation is not credited. NaN counts as none.
pub fn effective_size(n: u64, r: f64) -> f64 {
    let n = n as f64;
    if r.is_nan() || n < 2.0 {
        return n;
    }
    let rho = if n > 3.0 { (r + 1.0 / n) / (1.0 - 3.0 / n) } else { r };
    let rho = rho.clamp(0.0, 1.0);
    let doubt = 4.0 / (n * (1.0 - rho * rho));
    (n * (1.0 - rho) / (1.0 + rho) * (-doubt).exp()).clamp(1.0, n)
}

/// Distribution of a divergence of `n` values that come from the baseline, summed over bins: the population stability
/// index or Pearson's chi-square over `n`.
///
/// For large samples both are distributed as `(1/n + 1/m) chi2(bins - 1)`. In small ones empty and rare bins make the tail
/// heavier; so the chi-square is replaced by the Pearson type III (shifted gamma) curve with the first three moments of the
/// divergence of a multinomial sample of `n`, which tends to it.
#[derive(Debug, Clone, Copy)]
pub struct DivergenceNull {
    n: u64,
    mean: f64,
    shape: f64,
    scale: f64,
}

/// A divergence that is a sum over bins of a term of window share and baseline share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// [`crate::stats::psi`].
    Psi,
    /// [`crate::stats::chi_square`] over `n`.
    ChiSquare,
}

impl Divergence {
    /// One bin's part, for a count of `count` of `n` where the baseline has the (smoothed) share `q`.
    fn term(self, count: f64, n: f64, bins: usize, q: f64) -> f64 {
        match self {
            Divergence::Psi => psi_term(share(count, n, bins), q),
            Divergence::ChiSquare => chi_square_term(count / n, q),
        }
    }
}

impl DivergenceNull {
    /// Distribution for a baseline of these `counts` and windows of `n` values.
    pub fn new(divergence: Divergence, counts: &[u64], n: u64) -> Self {
        let bins = counts.len();
        let nothing = DivergenceNull { n, mean: 0.0, shape: 0.0, scale: 0.0 };
        if bins < 2 || n == 0 {
            return nothing;
        }
        let shares = shares(counts);
        moments(divergence, &shares, n as f64).map_or(nothing, |(mean, shape, scale)| DivergenceNull { n, mean, shape, scale })
    }

    /// Values per window it is for.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// How much wider the divergence scatters than for `n` independent values against known shares, when the baseline
    /// amounts to `m_effective` independent values and the window to `n_effective`.
    fn stretch(&self, m_effective: f64, n_effective: f64) -> f64 {
        self.n as f64 * (1.0 / n_effective + 1.0 / m_effective)
    }

    /// Chance that the divergence is at least `value`. 1 where nothing can be compared.
    pub fn chance(&self, value: f64, m_effective: f64, n_effective: f64) -> f64 {
        let x = (value / self.stretch(m_effective, n_effective) - self.mean) / self.scale + self.shape;
        if self.scale <= 0.0 || x.is_nan() {
            return 1.0;
        }
        Gamma::new(self.shape, 1.0).map_or(1.0, |gamma| if x > 0.0 { gamma.sf(x) } else { 1.0 })
    }

    /// What the divergence exceeds with probability `alpha`. Infinite where nothing can be compared.
    pub fn threshold(&self, alpha: f64, m_effective: f64, n_effective: f64) -> f64 {
        if self.scale <= 0.0 {
            return f64::INFINITY;
        }
        let Ok(gamma) = Gamma::new(self.shape, 1.0) else { return f64::INFINITY };
        let quantile = upper_quantile(alpha, self.shape + 1.0, |x| gamma.sf(x));
        ((self.mean + self.scale * (quantile - self.shape)) * self.stretch(m_effective, n_effective)).max(0.0)
    }
}

/// Where a survival function falls to `alpha`: doubling from `start`, then false position (Illinois) on its logarithm, which is
/// nearly straight in the tail.
pub(crate) fn upper_quantile(alpha: f64, start: f64, survival: impl Fn(f64) -> f64) -> f64 {
    // Where the function underflows it is small enough.
    let over = |x: f64| survival(x).max(f64::MIN_POSITIVE).ln() - alpha.ln();
    let (mut low, mut high) = (0.0, start);
    let (mut at_low, mut at_high) = (-alpha.ln(), over(high));
    while at_high > 0.0 {
        (low, at_low) = (high, at_high);
        high *= 2.0;
        at_high = over(high);
        if high > 1e12 {
            return f64::INFINITY;
        }
    }
    let mut kept = 0;
    for _ in 0..100 {
        let x = (low * at_high - high * at_low) / (at_high - at_low);
        let at_x = over(x);
        if at_x > 0.0 {
            (low, at_low) = (x, at_x);
            at_high *= if kept == 1 { 0.5 } else { 1.0 };
            kept = 1;
        } else {
            (high, at_high) = (x, at_x);
            at_low *= if kept == -1 { 0.5 } else { 1.0 };
            kept = -1;
        }
        if high - low <= 1e-9 * high || at_x == 0.0 {
            break;
        }
    }
    high
}

/// Chance that the magnitude of Student's t with `freedom` degrees of freedom exceeds `t`; 1 with fewer than one degree.
pub fn t_chance(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom < 1.0 || freedom.is_nan() {
        return 1.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |student| (2.0 * student.sf(t.abs())).min(1.0))
}

/// What the magnitude of Student's t exceeds with probability `alpha`; infinite with fewer than one degree of freedom.
pub fn t_threshold(alpha: f64, freedom: f64) -> f64 {
    if freedom < 1.0 || freedom.is_nan() {
        return f64::INFINITY;
    }
    upper_quantile(alpha, 4.0, |t| t_chance(t, freedom))
}

/// Chance that at least `k` of `n` values lie outside the range of `m` others from the same distribution.
///
/// The part outside is `Beta(2, m - 1)` whatever the distribution (Wilks 1941), so the number is beta-binomial.
pub fn outside_chance(k: f64, n: f64, m: f64) -> f64 {
    let (k, n) = (k.floor(), n.floor());
    if k < 1.0 {
        return 1.0;
    }
    if m <= 1.0 || n < 1.0 || k > n {
        return if k > n && m > 1.0 { 0.0 } else { 1.0 };
    }
    let (a, b) = (2.0, m - 1.0);
    let ln_beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let chance = |i: f64| (ln_gamma(n + 1.0) - ln_gamma(i + 1.0) - ln_gamma(n - i + 1.0) + ln_beta(i + a, n - i + b) - ln_beta(a, b)).exp();
    // The shorter end of the sum.
    if k - 1.0 < n - k {
        (1.0 - (0..k as u64).map(|i| chance(i as f64)).sum::<f64>()).max(chance(k)).clamp(0.0, 1.0)
    } else {
        (k as u64..=n as u64).map(|i| chance(i as f64)).sum::<f64>().min(1.0)
    }
}

/// Least number of `n` values outside the range of `m` others whose chance is at most `alpha`; infinite when there is none.
pub fn outside_threshold(alpha: f64, n: f64, m: f64) -> f64 {
    let n = n.floor();
    if outside_chance(n, n, m) > alpha {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, n);
    while high - low > 1.0 {
        let middle = ((low + high) * 0.5).floor();
        if outside_chance(middle, n, m) > alpha { low = middle } else { high = middle }
    }
    high
}

/// Value that the Kolmogorov-Smirnov distance exceeds with probability at most `alpha` when window and baseline come from
/// one distribution: `K^-1(1 - alpha) sqrt(1/n + 1/m)` with Kolmogorov's limit distribution `K`. Binning only lowers the
/// distance.
pub fn ks_threshold(m_effective: f64, n_effective: f64, alpha: f64) -> f64 {
    kolmogorov_quantile(alpha) * (1.0 / n_effective + 1.0 / m_effective).sqrt()
}

/// Chance that the Kolmogorov-Smirnov distance is at least `distance` when window and baseline come from one distribution.
pub fn ks_chance(distance: f64, m_effective: f64, n_effective: f64) -> f64 {
    kolmogorov_survival(distance / (1.0 / n_effective + 1.0 / m_effective).sqrt())
}

/// `P(K > x) = 2 sum_k (-1)^(k-1) exp(-2 k^2 x^2)`. 1 for NaN.
fn kolmogorov_survival(x: f64) -> f64 {
    // The series alternates slowly near 0, where the survival function is 1 anyway.
    if x.is_nan() || x < 0.2 {
        return 1.0;
    }
    let terms = (1..=100).map(|k| (k, (-2.0 * f64::from(k * k) * x * x).exp())).take_while(|(_, term)| *term > 0.0);
    terms.map(|(k, term)| if k % 2 == 1 { 2.0 * term } else { -2.0 * term }).sum::<f64>().clamp(0.0, 1.0)
}

fn kolmogorov_quantile(alpha: f64) -> f64 {
    upper_quantile(alpha, 2.0, kolmogorov_survival)
}

/// Mean, shape and scale of the shifted gamma curve of the divergence between known `shares` and a multinomial sample of `n`
/// from them.
fn moments(divergence: Divergence, shares: &[f64], n: f64) -> Option<(f64, f64, f64)> {
    // A multinomial sample is independent Poisson counts given their sum. Moments of a sum of functions of the counts,
    // given the sum, are those of what a straight line through them leaves (Holst 1972). What a given sum takes from the
    // mean of a few bins he leaves out: one degree of freedom in as many as there are bins.
    let bins = shares.len();
    let parts: Vec<Bin> = shares.iter().map(|&q| Bin::of(divergence, q, n, bins)).collect();
    let mean: f64 = parts.iter().map(|bin| bin.mean).sum();
    let slope = parts.iter().map(|bin| bin.covariance).sum::<f64>() / n;
    let residuals = parts.iter().map(|bin| bin.residual(slope));
    let (variance, third) = residuals.fold((0.0, 0.0), |(v, t), (dv, dt)| (v + dv, t + dt));
    if third <= 0.0 || variance <= 0.0 {
        return None;
    }
    let kept = (bins - 1) as f64 / bins as f64;
    Some((mean * kept, 4.0 * variance.powi(3) / (third * third) * kept, third / (2.0 * variance)))
}

/// One bin's part of a divergence when its count is Poisson.
struct Bin {
    expected: f64,
    /// The counts that matter, with their probabilities and what they add to the divergence.
    outcomes: Vec<(f64, f64, f64)>,
    mean: f64,
    covariance: f64,
}

impl Bin {
    fn of(divergence: Divergence, q: f64, n: f64, bins: usize) -> Self {
        let expected = n * q;
        let reach = 12.0 * expected.sqrt() + 24.0;
        let first = (expected - reach).max(0.0).floor();
        let last = (expected + reach).ceil();
        // A thousand support points integrate a smooth function of a wide distribution as well as all of them.
        let stride = ((last - first) / 1000.0).floor().max(1.0);
        let points = ((last - first) / stride) as u32 + 1;
        let outcomes = (0..points).map(|i| {
            let count = first + f64::from(i) * stride;
            let probability = stride * (count * expected.ln() - expected - ln_gamma(count + 1.0)).exp();
            (count, probability, divergence.term(count, n, bins, q))
        });
        let outcomes: Vec<(f64, f64, f64)> = outcomes.collect();
        let (mean, covariance) = outcomes.iter().fold((0.0, 0.0), |(mean, covariance), (count, probability, term)| {
            (mean + probability * term, covariance + probability * term * (count - expected))
        });
        Bin { expected, outcomes, mean, covariance }
    }

    /// Second and third central moment of the part minus `slope * count`.
    fn residual(&self, slope: f64) -> (f64, f64) {
        self.outcomes.iter().fold((0.0, 0.0), |(second, third), (count, probability, term)| {
            let r = term - self.mean - slope * (count - self.expected);
            (second + probability * r * r, third + probability * r * r * r)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::ChiSquared;

    #[test]
    fn large_samples_have_the_chi_square_of_the_literature() {
        let counts = [1_000_000; 10];
        let chi2 = ChiSquared::new(9.0).unwrap();
        for divergence in [Divergence::Psi, Divergence::ChiSquare] {
            for alpha in [0.05, 0.001, 0.001 / 6.0] {
                for (n, tolerance) in [(10_000, 0.02), (100_000, 0.005)] {
                    let expected = chi2.inverse_cdf(1.0 - alpha) * (1.0 / n as f64 + 1.0 / 1e7);
                    let null = DivergenceNull::new(divergence, &counts, n);
                    let threshold = null.threshold(alpha, 1e7, n as f64);
                    assert!((threshold / expected - 1.0).abs() < tolerance, "{threshold}, not {expected}, at {n}");
                    assert!((null.chance(threshold, 1e7, n as f64) / alpha - 1.0).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn kolmogorov_quantiles_are_those_of_the_tables() {
        // Smirnov (1948).
        for (alpha, expected) in [(0.10, 1.2238), (0.05, 1.3581), (0.01, 1.6276), (0.001, 1.9495)] {
            assert!((kolmogorov_quantile(alpha) - expected).abs() < 1e-4, "{alpha}");
        }
        let threshold = ks_threshold(400.0, 100.0, 0.05);
        assert!((threshold - 1.3581 * (1.0f64 / 80.0).sqrt()).abs() < 1e-4);
        assert!((ks_chance(threshold, 400.0, 100.0) - 0.05).abs() < 1e-6);
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (alpha, freedom, expected) in [(0.05, 1.0, 12.706), (0.01, 10.0, 3.169), (0.001, 30.0, 3.646), (1e-6, 1e6, 4.892)] {
            assert!((t_threshold(alpha, freedom) / expected - 1.0).abs() < 1e-3, "{alpha} {freedom}: {}", t_threshold(alpha, freedom));
            assert!((t_chance(-expected, freedom) / alpha - 1.0).abs() < 5e-3);
        }
        assert_eq!((t_chance(100.0, 0.5), t_threshold(0.5, 0.9)), (1.0, f64::INFINITY));
    }

    #[test]
    fn values_outside_the_range_are_as_rare_as_order_statistics_say() {
        // One more value lies outside the range of m others with probability 2 / (m + 1).
        assert!((outside_chance(1.0, 1.0, 99.0) - 0.02).abs() < 1e-12);
        // Two of two outside the range of two: NNOO, NOON and OONN of the six orderings.
        assert!((outside_chance(2.0, 2.0, 2.0) - 0.5).abs() < 1e-12);
        for (n, m) in [(100.0, 1000.0), (20.0, 50.0), (2000.0, 4000.0)] {
            for alpha in [0.05, 0.001, 1e-6] {
                let k = outside_threshold(alpha, n, m);
                assert!(outside_chance(k, n, m) <= alpha && outside_chance(k - 1.0, n, m) > alpha, "{n} {m} {alpha} {k}");
            }
        }
        assert_eq!((outside_chance(0.0, 10.0, 10.0), outside_chance(3.0, 10.0, 0.5)), (1.0, 1.0));
        assert_eq!(outside_threshold(0.001, 1.0, 20.0), f64::INFINITY);
    }

    #[test]
    fn correlated_values_count_for_less() {
        assert_eq!(effective_size(100, f64::NAN), 100.0);
        assert_eq!(effective_size(100, 1.0), 1.0);
        assert_eq!(effective_size(1, 0.9), 1.0);
        assert!(effective_size(100, -0.5) > 90.0);
        // The limit: (1 - 0.95) / (1 + 0.95).
        assert!((effective_size(1_000_000, 0.95) / 1e6 - 0.0256).abs() < 1e-4);
        let sizes: Vec<f64> = (0..100).map(|i| effective_size(200, f64::from(i) / 100.0)).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn nothing_to_compare_alarms_nobody() {
        for null in [DivergenceNull::new(Divergence::Psi, &[5], 100), DivergenceNull::new(Divergence::ChiSquare, &[5, 5], 0)] {
            assert_eq!((null.threshold(0.01, 5.0, 100.0), null.chance(9.0, 5.0, 100.0)), (f64::INFINITY, 1.0));
        }
    }
}
