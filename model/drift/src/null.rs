//! How far a window strays from the baseline by chance alone.
//!
//! Thresholds are quantiles of each statistic's distribution when nothing has drifted, at the number of *independent*
//! values the frames amount to. Sources and the measured rates are in `docs/drift.md`.

use statrs::distribution::{ContinuousCDF, Gamma};
use statrs::function::gamma::ln_gamma;

use crate::stats::{psi_term, share};

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
    let doubt = 8.0 / (n * (1.0 - rho * rho));
    (n * (1.0 - rho) / (1.0 + rho) * (-doubt).exp()).clamp(1.0, n)
}

/// Distribution of the population stability index of `n` values that come from the baseline.
///
/// For large samples `psi ~ (1/n + 1/m) chi2(bins - 1)`. In small ones empty bins make the tail heavier; so the chi-square
/// is replaced by the Pearson type III (shifted gamma) curve with the first three moments of the index of a multinomial
/// sample of `n`, which tends to it.
#[derive(Debug, Clone, Copy)]
pub struct PsiNull {
    n: u64,
    quantile: f64,
}

impl PsiNull {
    /// Distribution for a baseline of these `counts` and windows of `n` values, at significance `alpha`.
    pub fn new(counts: &[u64], n: u64, alpha: f64) -> Self {
        let bins = counts.len();
        if bins < 2 || n == 0 {
            return PsiNull { n, quantile: 0.0 };
        }
        let m: u64 = counts.iter().sum();
        let shares: Vec<f64> = counts.iter().map(|&count| share(count as f64, m as f64, bins)).collect();
        PsiNull { n, quantile: multinomial_quantile(&shares, n as f64, alpha) }
    }

    /// Values per window it is for.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// What the index exceeds with probability `alpha` when the baseline amounts to `m_effective` independent values and
    /// the window to `n_effective`.
    pub fn threshold(&self, m_effective: f64, n_effective: f64) -> f64 {
        self.quantile * self.n as f64 * (1.0 / n_effective + 1.0 / m_effective)
    }
}

/// Value that the Kolmogorov-Smirnov distance exceeds with probability at most `alpha` when window and baseline come from
/// one distribution: `K^-1(1 - alpha) sqrt(1/n + 1/m)` with Kolmogorov's limit distribution `K`. Binning only lowers the
/// distance.
pub fn ks_threshold(m_effective: f64, n_effective: f64, alpha: f64) -> f64 {
    kolmogorov_quantile(alpha) * (1.0 / n_effective + 1.0 / m_effective).sqrt()
}

/// `x` with `P(K > x) = 2 sum_k (-1)^(k-1) exp(-2 k^2 x^2) = alpha`.
fn kolmogorov_quantile(alpha: f64) -> f64 {
    let survival = |x: f64| {
        let terms = (1..=100).map(|k| {
            let k = f64::from(k);
            let sign = if k % 2.0 == 1.0 { 2.0 } else { -2.0 };
            sign * (-2.0 * k * k * x * x).exp()
        });
        terms.sum::<f64>()
    };
    // The series alternates slowly near 0, where the survival function is 1 anyway.
    let (mut low, mut high) = (0.2, 6.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if survival(middle) > alpha { low = middle } else { high = middle }
    }
    high
}

/// Quantile `1 - alpha` of the index between known `shares` and a multinomial sample of `n` from them.
fn multinomial_quantile(shares: &[f64], n: f64, alpha: f64) -> f64 {
    // A multinomial sample is independent Poisson counts given their sum. Moments of a sum of functions of the counts,
    // given the sum, are those of what a straight line through them leaves (Holst 1972). What a given sum takes from the
    // mean of a few bins he leaves out: one degree of freedom in as many as there are bins.
    let bins: Vec<Moments> = shares.iter().map(|&q| Moments::of(q, n, shares.len())).collect();
    let mean: f64 = bins.iter().map(|bin| bin.mean).sum();
    let slope = bins.iter().map(|bin| bin.covariance).sum::<f64>() / n;
    let residuals = shares.iter().zip(&bins).map(|(&q, bin)| bin.residual(q, n, shares.len(), slope));
    let (variance, third) = residuals.fold((0.0, 0.0), |(v, t), (dv, dt)| (v + dv, t + dt));
    if third <= 0.0 || variance <= 0.0 {
        return mean;
    }
    let shape = 4.0 * variance.powi(3) / (third * third);
    let scale = third / (2.0 * variance);
    let kept = (shares.len() - 1) as f64 / shares.len() as f64;
    let (mean, shape) = (mean * kept, shape * kept);
    let quantile = Gamma::new(shape, 1.0).map_or(f64::INFINITY, |gamma| gamma.inverse_cdf(1.0 - alpha));
    mean + scale * (quantile - shape)
}

/// Moments of one bin's part of the index when its count is Poisson.
struct Moments {
    mean: f64,
    covariance: f64,
}

/// The counts that matter for a bin of share `q`, with their Poisson probabilities and what they add to the index.
fn outcomes(q: f64, n: f64, bins: usize) -> impl Iterator<Item = (f64, f64, f64)> {
    let expected = n * q;
    let reach = 12.0 * expected.sqrt() + 24.0;
    let first = (expected - reach).max(0.0).floor();
    let last = (expected + reach).ceil();
    // A thousand support points integrate a smooth function of a wide distribution as well as all of them.
    let stride = ((last - first) / 1000.0).floor().max(1.0);
    let points = ((last - first) / stride) as u32 + 1;
    (0..points).map(move |i| {
        let count = first + f64::from(i) * stride;
        let probability = stride * (count * expected.ln() - expected - ln_gamma(count + 1.0)).exp();
        (count, probability, psi_term(share(count, n, bins), q))
    })
}

impl Moments {
    fn of(q: f64, n: f64, bins: usize) -> Self {
        let (mut mean, mut covariance) = (0.0, 0.0);
        for (count, probability, term) in outcomes(q, n, bins) {
            mean += probability * term;
            covariance += probability * term * (count - n * q);
        }
        Moments { mean, covariance }
    }

    /// Second and third central moment of the part minus `slope * count`.
    fn residual(&self, q: f64, n: f64, bins: usize, slope: f64) -> (f64, f64) {
        outcomes(q, n, bins).fold((0.0, 0.0), |(second, third), (count, probability, term)| {
            let r = term - self.mean - slope * (count - n * q);
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
        for alpha in [0.05, 0.001, 0.001 / 6.0] {
            for (n, tolerance) in [(10_000, 0.02), (100_000, 0.005)] {
                let expected = chi2.inverse_cdf(1.0 - alpha) * (1.0 / n as f64 + 1.0 / 1e7);
                let threshold = PsiNull::new(&counts, n, alpha).threshold(1e7, n as f64);
                assert!((threshold / expected - 1.0).abs() < tolerance, "{threshold}, not {expected}, at {n}");
            }
        }
    }

    #[test]
    fn kolmogorov_quantiles_are_those_of_the_tables() {
        // Smirnov (1948).
        for (alpha, expected) in [(0.10, 1.2238), (0.05, 1.3581), (0.01, 1.6276), (0.001, 1.9495)] {
            assert!((kolmogorov_quantile(alpha) - expected).abs() < 1e-4, "{alpha}");
        }
        assert!((ks_threshold(400.0, 100.0, 0.05) - 1.3581 * (1.0f64 / 80.0).sqrt()).abs() < 1e-4);
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
    fn nothing_to_compare_has_no_threshold() {
        assert_eq!(PsiNull::new(&[5], 100, 0.01).threshold(5.0, 100.0), 0.0);
        assert_eq!(PsiNull::new(&[5, 5], 0, 0.01).threshold(10.0, 1.0), 0.0);
    }
}
