//! Gates: what must hold at the end of a stage, and what the numbers say of it.
//!
//! A gate passes, fails, or is inconclusive; too few samples, or a difference that chance explains as well, are never taken for an
//! answer. `docs/rollouts-gates.md` has the formulas, their sources and the measured error rates.

mod compare;
mod expression;
mod replay;
mod robots;
mod statistics;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::{Arm, Comparison, Evidence, Gate, GateResult, MetricSummary, Samples, Verdict};
use crate::{CoreError, words::counted};
use expression::Expression;

pub use replay::{ReplayNumbers, judge_replay, not_replayed};
pub use robots::{Measure, RobotMean};
pub use statistics::{Difference, paired, unpaired};
pub use summary::summarise;

/// Longest name of a metric, bytes.
const MAX_METRIC_BYTES: usize = 256;

/// Whether a gate can be looked at.
///
/// # Errors
/// What is wrong with it: neither or both of expression and comparison, an expression that does not read, a number out of range.
pub fn check(gate: &Gate) -> Result<(), CoreError> {
    let bad = |path: &str, reason: String| Err(CoreError::BadGate { gate: gate.name.clone(), path: path.to_owned(), reason });
    if gate.name.trim().is_empty() || gate.name.len() > MAX_METRIC_BYTES {
        return bad("name", format!("a gate has a name of 1 to {MAX_METRIC_BYTES} bytes"));
    }
    if gate.min_samples == 0 {
        return bad("min_samples", "0 is out of range; give at least 1".to_owned());
    }
    match (&gate.expression, &gate.compare) {
        (Some(text), None) => match Expression::parse(text) {
            Ok(_) => Ok(()),
            Err(reason) => bad("expression", reason),
        },
        (None, Some(comparison)) => {
            let Comparison { metric, margin, alpha, .. } = comparison;
            if metric.trim().is_empty() || metric.len() > MAX_METRIC_BYTES {
                return bad("compare.metric", format!("a metric has a name of 1 to {MAX_METRIC_BYTES} bytes"));
            }
            if !(*margin > 0.0 && margin.is_finite()) {
                let reason = "say how much worse is still taken, more than 0: with 0 a release that is exactly as good would never pass";
                return bad("compare.margin", format!("{margin}: {reason}"));
            }
            if !(*alpha > 0.0 && *alpha < 0.5) {
                return bad("compare.alpha", format!("{alpha} is out of range; give more than 0 and less than 0.5"));
            }
            Ok(())
        }
        _ => bad("expression", "a gate has either an expression or a comparison".to_owned()),
    }
}

/// Metrics that gates look at.
pub fn metrics<'a>(gates: impl IntoIterator<Item = &'a Gate>) -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    for gate in gates {
        metrics.extend(gate.compare.iter().map(|comparison| comparison.metric.clone()));
        let expression = gate.expression.as_deref().and_then(|text| Expression::parse(text).ok());
        metrics.extend(expression.iter().flat_map(|expression| expression.named()).map(|named| named.metric.clone()));
    }
    metrics
}

/// What a gate says of the evidence.
pub fn judge(gate: &Gate, evidence: &Evidence, now_us: i64) -> GateResult {
    let result = GateResult {
        gate: gate.name.clone(),
        verdict: Verdict::Inconclusive,
        reason: String::new(),
        at_us: now_us,
        metric: String::new(),
        threshold: None,
        p_value: None,
        updated: BTreeMap::new(),
        before: BTreeMap::new(),
        rest: BTreeMap::new(),
    };
    match (&gate.expression, &gate.compare) {
        (Some(text), None) => match Expression::parse(text) {
            Ok(expression) => expression::judge(gate, &expression, evidence, result),
            Err(reason) => GateResult { reason: format!("the expression does not read: {reason}"), ..result },
        },
        (None, Some(comparison)) => compare::judge(gate, comparison, evidence, result),
        _ => GateResult { reason: "the gate has neither an expression nor a comparison, or both".to_owned(), ..result },
    }
}

/// An arm of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Updated,
    Before,
    Rest,
}

impl Side {
    fn of(arm: Arm) -> Self {
        match arm {
            Arm::Before => Side::Before,
            Arm::Rest => Side::Rest,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "updated" => Some(Side::Updated),
            "before" => Some(Side::Before),
            "rest" => Some(Side::Rest),
            _ => None,
        }
    }

    /// For people.
    fn words(self, nobody_left: bool) -> &'static str {
        match self {
            Side::Updated => "the updated robots",
            Side::Before => "the same robots before",
            Side::Rest if nobody_left => "the same robots before (nobody else is left)",
            Side::Rest => "the robots that are not updated",
        }
    }

    fn samples<'a>(self, evidence: &'a Evidence, metric: &str) -> Option<&'a Samples> {
        match self {
            Side::Updated => evidence.updated.get(metric),
            Side::Before => evidence.before.get(metric),
            Side::Rest => evidence.rest.get(metric),
        }
    }

    /// Notes the numbers of this arm in a result.
    fn note(self, result: &mut GateResult, metric: &str, summary: MetricSummary) {
        let arm = match self {
            Side::Updated => &mut result.updated,
            Side::Before => &mut result.before,
            Side::Rest => &mut result.rest,
        };
        arm.insert(metric.to_owned(), summary);
    }
}

/// What is missing of one metric of one arm; `None` when nothing is.
fn lacking(side: Side, metric: &str, summary: &MetricSummary, least: u64, nobody_left: bool) -> Option<String> {
    let who = side.words(nobody_left);
    match summary.n {
        0 => Some(format!("{who} reported no {metric}: {} needed", counted(least, "sample is", "samples are"))),
        n if n < least => Some(format!("{metric} of {who}: {n} of at least {least} samples, {} missing", counted(least - n, "is", "are"))),
        _ => None,
    }
}

/// A number for people: four digits that matter.
fn number(value: f64) -> String {
    let digits = if value == 0.0 || !value.is_finite() { 0.0 } else { value.abs().log10().floor() };
    if (-4.0..7.0).contains(&digits) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
        let places = (3.0 - digits).clamp(0.0, 7.0) as usize;
        let text = format!("{value:.places$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.3e}")
    }
}
