//! How far a window's histogram is from the baseline's. Both over the same bins; sources in `docs/drift.md`.
//!
//! Shares are smoothed as `(count + 1/2) / (n + bins / 2)` (the Jeffreys prior of a multinomial) where a logarithm
//! needs them above 0, so that an empty bin is evidence in proportion to `n`, not an infinity. Without a single value
//! every statistic is NaN.

/// Weight of the prior in each bin.
const PRIOR: f64 = 0.5;

fn total(counts: &[u64]) -> f64 {
    counts.iter().map(|&count| count as f64).sum()
}

/// Smoothed share of a bin.
pub(crate) fn share(count: f64, n: f64, bins: usize) -> f64 {
    (count + PRIOR) / (n + PRIOR * bins as f64)
}

fn over_shares(baseline: &[u64], window: &[u64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let (m, n) = (total(baseline), total(window));
    if m == 0.0 || n == 0.0 {
        return f64::NAN;
    }
    let bins = baseline.len();
    baseline.iter().zip(window).map(|(&b, &w)| term(share(w as f64, n, bins), share(b as f64, m, bins))).sum()
}

/// One bin's part of [`psi`], from the shares of window and baseline.
pub(crate) fn psi_term(p: f64, q: f64) -> f64 {
    (p - q) * (p / q).ln()
}

/// Population stability index: `sum (p - q) ln(p / q)` over smoothed shares `p` of the window and `q` of the baseline.
/// Also known as Jeffreys' divergence, `KL(p||q) + KL(q||p)`. Not below 0.
pub fn psi(baseline: &[u64], window: &[u64]) -> f64 {
    over_shares(baseline, window, psi_term)
}

/// Smoothed shares of all bins.
pub(crate) fn shares(counts: &[u64]) -> Vec<f64> {
    let n = total(counts);
    counts.iter().map(|&count| share(count as f64, n, counts.len())).collect()
}

/// One bin's part of [`chi_square`] over `n`, from the shares of window (not smoothed) and baseline.
pub(crate) fn chi_square_term(p: f64, q: f64) -> f64 {
    (p - q) * (p - q) / q
}

/// Pearson's chi-square `n sum (p - q)^2 / q` of the window's counts against smoothed shares `q` of the baseline.
pub fn chi_square(baseline: &[u64], window: &[u64]) -> f64 {
    let n = total(window);
    if total(baseline) == 0.0 || n == 0.0 {
        return f64::NAN;
    }
    let terms = shares(baseline).into_iter().zip(window).map(|(q, &w)| chi_square_term(w as f64 / n, q));
    n * terms.sum::<f64>()
}

/// Kullback-Leibler divergence `sum p ln(p / q)` of the window from the baseline, in nats, over smoothed shares.
pub fn kl(baseline: &[u64], window: &[u64]) -> f64 {
    not_below_zero(over_shares(baseline, window, |p, q| p * (p / q).ln()))
}

/// Jensen-Shannon divergence `(KL(p||r) + KL(q||r)) / 2` with `r = (p + q) / 2`, in nats, 0 to ln 2, over smoothed shares.
pub fn js(baseline: &[u64], window: &[u64]) -> f64 {
    let half = |x: f64, r: f64| 0.5 * x * (x / r).ln();
    not_below_zero(over_shares(baseline, window, |p, q| {
        let r = 0.5 * (p + q);
        half(p, r) + half(q, r)
    }))
}

/// Takes rounding below 0 away and keeps NaN, which `f64::max` would not.
fn not_below_zero(value: f64) -> f64 {
    if value < 0.0 { 0.0 } else { value }
}

/// Distribution function of the window minus the baseline's at each edge and, last, at infinity (0). Not smoothed.
fn gaps<'a>(baseline: &'a [u64], window: &'a [u64]) -> impl Iterator<Item = f64> + 'a {
    let (m, n) = (total(baseline), total(window));
    let (mut b_sum, mut w_sum) = (0.0, 0.0);
    baseline.iter().zip(window).map(move |(&b, &w)| {
        b_sum += b as f64;
        w_sum += w as f64;
        w_sum / n - b_sum / m
    })
}

/// Kolmogorov-Smirnov distance at the interior edges, 0 to 1: at most the distance of the samples themselves.
pub fn ks(baseline: &[u64], window: &[u64]) -> f64 {
    if total(baseline) == 0.0 || total(window) == 0.0 {
        return f64::NAN;
    }
    gaps(baseline, window).fold(0.0, |greatest, gap| greatest.max(gap.abs()))
}

/// Wasserstein-1 distance in the feature's unit: the area between the two distribution functions, each drawn straight
/// from edge to edge and, beyond the outer edges, to `low` and `high` (least and greatest value of both).
pub fn wasserstein(baseline: &[u64], window: &[u64], edges: &[f64], low: f64, high: f64) -> f64 {
    if total(baseline) == 0.0 || total(window) == 0.0 {
        return f64::NAN;
    }
    let (mut area, mut at, mut gap) = (0.0, low, 0.0);
    for (edge, next) in edges.iter().copied().chain([high]).zip(gaps(baseline, window)) {
        area += (edge - at).max(0.0) * mean_height(gap, next);
        at = edge.max(at);
        gap = next;
    }
    area
}

/// Scores of the bins of a numeric feature under the baseline's (smoothed) distribution, which every sample from it shares,
/// whatever the distribution: nothing here depends on outliers or on a normal shape.
pub(crate) struct RankScores {
    shares: Vec<f64>,
}

impl RankScores {
    pub(crate) fn new(baseline: &[u64]) -> Self {
        RankScores { shares: shares(baseline) }
    }

    /// Share of the baseline below each bin's lower edge, and at its upper edge.
    fn spans(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.shares.iter().scan(0.0, |below, q| {
            let low = *below;
            *below += q;
            Some((low, *below))
        })
    }

    /// Mean score of the window less the baseline's own, and the standard deviation of one value's score.
    fn mean(&self, window: &[u64], score: impl Fn(f64, f64) -> f64) -> (f64, f64) {
        let n = total(window);
        let (mut own, mut squares, mut seen) = (0.0, 0.0, 0.0);
        for (((low, high), q), &w) in self.spans().zip(&self.shares).zip(window) {
            let score = score(low, high);
            own += q * score;
            squares += q * score * score;
            seen += w as f64 / n * score;
        }
        (seen - own, (squares - own * own).max(0.0).sqrt())
    }

    /// How much likelier than 1/2 a value of the window is above one of the baseline, -1/2 to 1/2: mean mid-rank (Wilcoxon
    /// 1945, Mann and Whitney 1947; ridits of Bross 1958).
    pub(crate) fn location(&self, window: &[u64]) -> (f64, f64) {
        self.mean(window, |low, high| 0.5 * (low + high))
    }

    /// How much farther from the baseline's median, in ranks, the window's values are: mean of `12 (u - 1/2)^2` less 1, -1 to 2
    /// (Mood 1954). Below 0: narrower.
    pub(crate) fn spread(&self, window: &[u64]) -> (f64, f64) {
        let cubed = |u: f64| 4.0 * (u - 0.5).powi(3);
        self.mean(window, |low, high| (cubed(high) - cubed(low)) / (high - low))
    }
}

/// How much likelier than 1/2 a value of the window is above one of the baseline, -1/2 to 1/2, over bins: the mean mid-rank
/// (Wilcoxon 1945, Mann and Whitney 1947; Bross' ridits 1958). NaN without values.
pub fn location(baseline: &[u64], window: &[u64]) -> f64 {
    ranked(baseline, window, RankScores::location)
}

/// How much farther from the baseline's median, in ranks `u`, the window's values are: the mean of `12 (u - 1/2)^2 - 1`, -1 to 2
/// (Mood 1954). NaN without values.
pub fn spread(baseline: &[u64], window: &[u64]) -> f64 {
    ranked(baseline, window, RankScores::spread)
}

fn ranked(baseline: &[u64], window: &[u64], statistic: impl Fn(&RankScores, &[u64]) -> (f64, f64)) -> f64 {
    if total(baseline) == 0.0 || total(window) == 0.0 { f64::NAN } else { statistic(&RankScores::new(baseline), window).0 }
}

/// Mean of `|line|` where the line goes from `a` to `b`.
fn mean_height(a: f64, b: f64) -> f64 {
    if a * b >= 0.0 { 0.5 * (a.abs() + b.abs()) } else { 0.5 * (a * a + b * b) / (a.abs() + b.abs()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn values_by_hand() {
        // Shares (0.5 + 1) / 4 ... with the prior: baseline 7.5/11 and 3.5/11 of 10, window 3.5/11 and 7.5/11.
        let (baseline, window) = ([7, 3], [3, 7]);
        let (p, q): (f64, f64) = (3.5 / 11.0, 7.5 / 11.0);
        close(psi(&baseline, &window), 2.0 * (p - q) * (p / q).ln());
        close(kl(&baseline, &window), (p - q) * (p / q).ln());
        let r: f64 = 0.5;
        close(js(&baseline, &window), p * (p / r).ln() + q * (q / r).ln());
        close(ks(&baseline, &window), 0.4);
        let (low, high): (f64, f64) = (7.5 / 11.0, 3.5 / 11.0);
        close(chi_square(&baseline, &window), 10.0 * ((0.3 - low).powi(2) / low + (0.7 - high).powi(2) / high));
        // Mid-ranks 3.75/11 and 9.25/11.
        close(location(&baseline, &window), 0.3 * 3.75 / 11.0 + 0.7 * 9.25 / 11.0 - 0.5);
        // The functions part by 0.4 at the edge 5 and meet at 0 and 10.
        close(wasserstein(&baseline, &window, &[5.0], 0.0, 10.0), 2.0);
    }

    #[test]
    fn wasserstein_of_a_shift_is_the_shift() {
        let edges: Vec<f64> = (1..100).map(f64::from).collect();
        let mut baseline = vec![0; 100];
        let mut window = vec![0; 100];
        baseline[20..60].fill(25);
        window[23..63].fill(1);
        close(wasserstein(&baseline, &window, &edges, 0.0, 100.0), 3.0);
    }

    #[test]
    fn nothing_seen_says_nothing() {
        for value in [psi(&[1, 2], &[0, 0]), kl(&[1, 2], &[0, 0]), js(&[0, 0], &[1, 2]), ks(&[1, 2], &[0, 0])] {
            assert!(value.is_nan());
        }
        assert!(wasserstein(&[1, 2], &[0, 0], &[1.0], 0.0, 2.0).is_nan());
    }

    #[test]
    fn ranks_tell_a_shift_from_a_spread() {
        let baseline = [1000; 10];
        let up = [0, 0, 0, 0, 0, 10, 10, 10, 10, 10];
        let wide = [25, 0, 0, 0, 0, 0, 0, 0, 0, 25];
        let narrow = [0, 0, 0, 0, 25, 25, 0, 0, 0, 0];
        assert!((location(&baseline, &up) - 0.25).abs() < 1e-3 && spread(&baseline, &up).abs() < 1e-2);
        close(location(&baseline, &wide), 0.0);
        assert!((spread(&baseline, &wide) - (4.0 * (0.125 - 0.064) / 0.1 - 1.0)).abs() < 1e-3);
        assert!((spread(&baseline, &narrow) + 0.96).abs() < 1e-2, "{}", spread(&baseline, &narrow));
        assert!(location(&[0, 0], &[1, 1]).is_nan());
    }

    proptest! {
        #[test]
        fn stay_within_their_ranges(
            (baseline, window) in (1usize..20).prop_flat_map(|bins| {
                let counts = || proptest::collection::vec(0u64..1000, bins);
                (counts(), counts())
            })
        ) {
            prop_assume!(baseline.iter().sum::<u64>() > 0 && window.iter().sum::<u64>() > 0);
            let (psi, kl, js, ks) = (psi(&baseline, &window), kl(&baseline, &window), js(&baseline, &window), ks(&baseline, &window));
            prop_assert!(psi >= 0.0 && psi.is_finite());
            prop_assert!(kl >= 0.0 && kl <= psi + 1e-12);
            prop_assert!((0.0..=std::f64::consts::LN_2 + 1e-12).contains(&js) && js <= psi / 4.0 + 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&ks));
            prop_assert!(super::psi(&baseline, &baseline) == 0.0);
        }
    }
}
