//! The difference of two arms, its standard error and its degrees of freedom, with robots as the units that chance draws.
//!
//! Frames of one robot are alike, robots differ. Where there are enough robots their means are what is compared (cluster-robust,
//! jackknife over robots); one canary's scatter between robots is borrowed from the other arm (Crawford and Howell 1998); one or two
//! robots against themselves before are compared by their own reports at the effective sample size.

use edgeflow_drift::null::{t_chance, t_threshold};

use super::RobotMean;

/// Robots (as equal ones would amount to) from which on their own scatter is used.
const ENOUGH_ROBOTS: f64 = 3.0;

/// Mean of the updated robots less mean of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// In the metric's unit.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom of the standard error.
    pub freedom: f64,
}

impl Difference {
    /// Chance of a difference at least so far above `bound` when it is `bound` or less.
    pub fn chance_above(&self, bound: f64) -> f64 {
        let distance = self.value - bound;
        if self.error <= 0.0 {
            // Nothing scatters: it is what it is, if that is known of enough.
            return if self.freedom < 1.0 || distance == 0.0 { 0.5 } else { f64::from(u8::from(distance < 0.0)) };
        }
        let half = 0.5 * t_chance(distance / self.error, self.freedom);
        if distance > 0.0 { half } else { 1.0 - half }
    }

    /// Chance of a difference at least so far below `bound` when it is `bound` or more.
    pub fn chance_below(&self, bound: f64) -> f64 {
        Difference { value: -self.value, ..*self }.chance_above(-bound)
    }

    /// Half the width of the interval that leaves out `alpha` on either side.
    pub fn half_width(&self, alpha: f64) -> f64 {
        t_threshold(2.0 * alpha, self.freedom) * self.error
    }
}

/// Mean over robots, weighted.
struct Whole {
    mean: f64,
    /// Variance of the mean and its degrees of freedom, from how robots differ.
    variance: f64,
    freedom: f64,
    /// Equal robots they amount to (Kish 1965).
    robots: f64,
    /// What even independent frames would leave.
    least: f64,
}

/// Of (value, weight, least variance of the value).
fn whole(of: &[(f64, f64, f64)]) -> Whole {
    let weight: f64 = of.iter().map(|(_, w, _)| w).sum();
    let mean = of.iter().map(|(x, w, _)| x * w).sum::<f64>() / weight;
    let robots = weight * weight / of.iter().map(|(_, w, _)| w * w).sum::<f64>();
    let n = of.len() as f64;
    // Jackknife: each robot left out in turn (Tukey 1958).
    let without = of.iter().filter(|(_, w, _)| *w < weight).map(|(x, w, _)| ((mean * weight - x * w) / (weight - w) - mean).powi(2));
    let least = of.iter().map(|(_, w, v)| (w / weight).powi(2) * v).sum::<f64>();
    let variance = ((n - 1.0) / n * without.sum::<f64>()).max(least);
    Whole { mean, variance, freedom: robots - 1.0, robots, least }
}

/// Welch and Satterthwaite: standard error and degrees of freedom of a sum of independent parts (variance, freedom).
fn satterthwaite(parts: &[(f64, f64)]) -> (f64, f64) {
    let variance: f64 = parts.iter().map(|(v, _)| v).sum();
    let share: f64 = parts.iter().filter(|(v, _)| *v > 0.0).map(|(v, freedom)| v * v / freedom).sum();
    let least = parts.iter().map(|(_, freedom)| *freedom).fold(f64::INFINITY, f64::min);
    (variance.sqrt(), if share > 0.0 { variance * variance / share } else { least })
}

/// The same robots, updated and before: pairs.
///
/// # Errors
/// What is missing.
pub fn paired(pairs: &[(RobotMean, RobotMean)]) -> Result<Difference, String> {
    let weight = |updated: &RobotMean, before: &RobotMean| updated.frames * before.frames / (updated.frames + before.frames);
    let differences: Vec<(f64, f64, f64)> = pairs.iter().map(|(u, b)| (u.mean - b.mean, weight(u, b), u.least + b.least)).collect();
    if differences.is_empty() {
        return Err("no robot reported it both updated and before".to_owned());
    }
    let all = whole(&differences);
    if all.robots >= ENOUGH_ROBOTS {
        return Ok(Difference { value: all.mean, error: all.variance.sqrt(), freedom: all.freedom });
    }
    let weights: f64 = differences.iter().map(|(_, w, _)| w).sum();
    let mut parts = Vec::with_capacity(2 * pairs.len());
    for ((updated, before), (_, w, _)) in pairs.iter().zip(&differences) {
        for robot in [updated, before] {
            let variance = robot.variance.ok_or("a robot has one report only, so how it scatters is not known")?;
            parts.push(((w / weights).powi(2) * variance, robot.freedom));
        }
    }
    let (error, freedom) = satterthwaite(&parts);
    Ok(Difference { value: all.mean, error, freedom })
}

/// Updated robots against others.
///
/// # Errors
/// What is missing.
pub fn unpaired(updated: &[RobotMean], others: &[RobotMean]) -> Result<Difference, String> {
    let arm = |robots: &[RobotMean]| robots.iter().map(|robot| (robot.mean, robot.frames, robot.least)).collect::<Vec<_>>();
    let (ours, theirs) = (arm(updated), arm(others));
    if ours.is_empty() || theirs.is_empty() {
        return Err("one side has no robot".to_owned());
    }
    let (u, o) = (whole(&ours), whole(&theirs));
    let value = u.mean - o.mean;
    if u.robots >= ENOUGH_ROBOTS && o.robots >= ENOUGH_ROBOTS {
        let (error, freedom) = satterthwaite(&[(u.variance, u.freedom), (o.variance, o.freedom)]);
        return Ok(Difference { value, error, freedom });
    }
    // Too few on one side: robots of both scatter alike, so far as is known.
    let freedom = (ours.len() + theirs.len()) as f64 - 2.0;
    if freedom < 1.0 {
        return Err("one robot on each side: a robot cannot be told from a release. Compare with before".to_owned());
    }
    let scatter = (squares(&ours) + squares(&theirs)) / freedom;
    let mut known = freedom;
    let mut variance = 0.0;
    for robots in [updated, others] {
        let frames: f64 = robots.iter().map(|robot| robot.frames).sum();
        for robot in robots {
            let own = robot.variance.unwrap_or(robot.least);
            if own > scatter && robots.len() < ENOUGH_ROBOTS as usize {
                known = known.min(if robot.variance.is_some() { robot.freedom } else { f64::INFINITY });
            }
            variance += (robot.frames / frames).powi(2) * scatter.max(own);
        }
    }
    Ok(Difference { value, error: variance.max(u.least + o.least).sqrt(), freedom: known })
}

/// Sum of squares about the mean over robots, each the same.
fn squares(of: &[(f64, f64, f64)]) -> f64 {
    let mean = of.iter().map(|(x, _, _)| x).sum::<f64>() / of.len() as f64;
    of.iter().map(|(x, _, _)| (x - mean).powi(2)).sum()
}
