//! Amounts over a window, in a memory that does not grow with them.

use edgeflow_wire::NumberWindow;
use sketches_ddsketch::{Config, DDSketch};
use std::fmt;

/// Values kept one by one; beyond it percentiles come from a sketch, within 1 % of a value's magnitude.
const EXACT: usize = 64;

/// Amounts over a window. Two of them add up: merged, they are what one would be that had seen both.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    count: u64,
    not_finite: u64,
    min: f64,
    max: f64,
    mean: f64,
    last: f64,
    spread: Spread,
}

#[derive(Clone)]
enum Spread {
    Exact(Vec<f64>),
    Sketch(Box<DDSketch>),
}

impl Default for Spread {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(values) => f.debug_tuple("Exact").field(&values.len()).finish(),
            Self::Sketch(sketch) => f.debug_tuple("Sketch").field(&sketch.count()).finish(),
        }
    }
}

impl Spread {
    fn add(&mut self, value: f64) {
        match self {
            Self::Exact(values) if values.len() < EXACT => values.push(value),
            Self::Exact(_) => {
                let mut sketch = self.sketch();
                sketch.add(value);
                *self = Self::Sketch(sketch);
            }
            Self::Sketch(sketch) => sketch.add(value),
        }
    }

    /// As a sketch.
    fn sketch(&self) -> Box<DDSketch> {
        match self {
            Self::Sketch(sketch) => sketch.clone(),
            Self::Exact(values) => {
                let mut sketch = DDSketch::new(Config::defaults());
                values.iter().for_each(|value| sketch.add(*value));
                Box::new(sketch)
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        match other {
            Self::Exact(values) => values.iter().for_each(|value| self.add(*value)),
            Self::Sketch(other) => {
                let mut sketch = self.sketch();
                // Every sketch here has the same configuration, so they always merge.
                drop(sketch.merge(other));
                *self = Self::Sketch(sketch);
            }
        }
    }

    /// Nearest-rank percentile of `count` values.
    fn percentile(&self, count: u64, percent: u64) -> f64 {
        let rank = (count * percent).div_ceil(100).max(1) - 1;
        match self {
            Self::Exact(values) => {
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                usize::try_from(rank).ok().and_then(|rank| sorted.get(rank)).copied().unwrap_or(f64::NAN)
            }
            Self::Sketch(sketch) => {
                // The sketch takes the rank below; the half keeps it there through rounding.
                let part = ((rank as f64 + 0.5) / (count.max(2) - 1) as f64).min(1.0);
                sketch.quantile(part).ok().flatten().unwrap_or(f64::NAN)
            }
        }
    }
}

impl Numbers {
    /// Takes one value.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.not_finite += 1;
            return;
        }
        self.count += 1;
        if self.count == 1 {
            (self.min, self.max, self.mean) = (value, value, value);
        } else {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            self.mean += (value - self.mean) / self.count as f64;
        }
        self.last = value;
        self.spread.add(value);
    }

    /// Takes all that `later` took.
    pub fn merge(&mut self, later: &Self) {
        self.not_finite += later.not_finite;
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            let not_finite = self.not_finite;
            *self = Self { not_finite, ..later.clone() };
            return;
        }
        self.count += later.count;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.mean += (later.mean - self.mean) * (later.count as f64 / self.count as f64);
        self.last = later.last;
        self.spread.merge(&later.spread);
    }

    /// Whether there was any value at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.not_finite == 0
    }

    /// What they were.
    pub fn window(&self) -> NumberWindow {
        let (count, not_finite) = (self.count, self.not_finite);
        if count == 0 {
            let nan = f64::NAN;
            return NumberWindow { count, not_finite, min: nan, max: nan, mean: nan, p50: nan, p95: nan, last: nan };
        }
        let percentile = |percent| self.spread.percentile(count, percent).clamp(self.min, self.max);
        NumberWindow {
            count,
            not_finite,
            min: self.min,
            max: self.max,
            mean: self.mean.clamp(self.min, self.max),
            p50: percentile(50),
            p95: percentile(95),
            last: self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Numbers {
        let mut numbers = Numbers::default();
        values.iter().for_each(|value| numbers.add(*value));
        numbers
    }

    fn exact(values: &[f64], percent: usize) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() * percent).div_ceil(100) - 1]
    }

    fn near(a: f64, b: f64, part: f64) -> bool {
        (a - b).abs() <= part * a.abs().max(b.abs()) + 1e-6
    }

    #[test]
    fn a_few_values_are_summed_up_exactly_and_what_is_not_finite_apart() {
        let window = of(&[3.0, f64::NAN, 1.0, 2.0, f64::INFINITY, 10.0]).window();
        assert_eq!((window.count, window.not_finite, window.min, window.max), (4, 2, 1.0, 10.0));
        assert_eq!((window.mean, window.p50, window.p95, window.last), (4.0, 2.0, 10.0, 10.0));
        assert!(of(&[]).is_empty() && of(&[]).window().mean.is_nan() && !of(&[f64::NAN]).is_empty());
    }

    proptest! {
        #[test]
        fn windows_add_up_wherever_they_are_cut(values in prop::collection::vec(-1e6..1e6_f64, 1..400), at in 0..400_usize) {
            let at = at.min(values.len());
            let mut merged = of(&values[..at]);
            merged.merge(&of(&values[at..]));
            let (cut, whole) = (merged.window(), of(&values).window());
            prop_assert_eq!((cut.count, cut.min, cut.max, cut.last), (whole.count, whole.min, whole.max, whole.last));
            prop_assert!((cut.mean - whole.mean).abs() < 1e-6);
            for (part, percent) in [(cut.p50, 50), (cut.p95, 95), (whole.p50, 50), (whole.p95, 95)] {
                prop_assert!(near(part, exact(&values, percent), 0.0101), "{} {}", part, exact(&values, percent));
            }
        }
    }
}
