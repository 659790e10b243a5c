//! Gates as expressions in CEL over the numbers of the arms, bounded as the conditions of robots' policies are: no loops, no macros, so
//! many parts, and types are checked when it is read.

use cel::{
    common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators},
    parser::PrattParser,
};
use edgeflow_policy::{Condition, Known, Reference, Type};
use edgeflow_wire::Step;
use std::collections::BTreeMap;

use super::{Side, lacking, number, summarise};
use crate::rollout::{Evidence, Gate, GateResult, MetricSummary, Verdict};

/// What can be asked of a metric.
const NUMBERS: &str = "n, robots, mean, std, p50, p95, min and max";

/// One number that an expression names, such as `updated.accuracy.mean`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) side: Side,
    pub(super) metric: String,
    /// Which of its numbers.
    number: String,
}

impl Named {
    fn of(reference: &Reference) -> Result<Self, String> {
        let side = Side::parse(&reference.variable)
            .ok_or_else(|| format!("{} is not known: an expression is over updated, before and rest", reference.variable))?;
        let [Step::Field(metric), Step::Field(number)] = reference.path.as_slice() else {
            return Err(format!("{reference}: name a metric and one of its numbers, such as updated.accuracy.mean"));
        };
        if value_of(&MetricSummary::default(), number).is_none() {
            return Err(format!("{reference}: the numbers of a metric are {NUMBERS}"));
        }
        Ok(Self { side, metric: metric.clone(), number: number.clone() })
    }
}

fn value_of(summary: &MetricSummary, number: &str) -> Option<f64> {
    match number {
        "n" => Some(summary.n as f64),
        "robots" => Some(summary.robots as f64),
        "mean" => Some(summary.mean),
        "std" => Some(summary.std),
        "p50" => Some(summary.p50),
        "p95" => Some(summary.p95),
        "min" => Some(summary.min),
        "max" => Some(summary.max),
        _ => None,
    }
}

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Expression {
    condition: Condition,
    named: Vec<Named>,
    /// Metric of the updated robots and the number it is first compared with.
    bound: Option<(String, f64)>,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let condition = Condition::parse(text)?;
        condition.check(|reference| Named::of(reference).map(|_| Type::Float))?;
        let named = condition.references().iter().map(Named::of).collect::<Result<_, _>>()?;
        let bound = PrattParser::new().parse(text).ok().and_then(|parsed| bound(&parsed));
        Ok(Self { condition, named, bound })
    }

    pub(super) fn named(&self) -> &[Named] {
        &self.named
    }
}

/// The first comparison with a number, from the left. The text was read before, so it is not deep.
fn bound(part: &IdedExpr) -> Option<(String, f64)> {
    let Expr::Call(CallExpr { func_name, args, .. }) = &part.expr else { return None };
    if let (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [left, right]) =
        (func_name.as_str(), args.as_slice())
        && let Some(found) = metric(left).zip(literal(right)).or_else(|| metric(right).zip(literal(left)))
    {
        return Some(found);
    }
    args.iter().find_map(bound)
}

/// Metric of the updated robots that is named here.
fn metric(part: &IdedExpr) -> Option<String> {
    let Expr::Select(SelectExpr { operand, .. }) = &part.expr else { return None };
    let (of, metric) = match &operand.expr {
        Expr::Select(SelectExpr { operand, field, .. }) => (operand.as_ref(), field.clone()),
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::INDEX => match args.as_slice() {
            [of, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => (of, name.inner().to_owned()),
            _ => return None,
        },
        _ => return None,
    };
    matches!(&of.expr, Expr::Ident(name) if name == "updated").then_some(metric)
}

fn literal(part: &IdedExpr) -> Option<f64> {
    match &part.expr {
        Expr::Literal(LiteralValue::Int(value)) => Some(*value.inner() as f64),
        Expr::Literal(LiteralValue::Double(value)) => Some(*value.inner()),
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::NEGATE => {
            args.first().and_then(literal).map(|value| -value)
        }
        _ => None,
    }
}

pub(super) fn judge(gate: &Gate, expression: &Expression, evidence: &Evidence, mut result: GateResult) -> GateResult {
    let mut summaries: BTreeMap<(Side, &str), MetricSummary> = BTreeMap::new();
    for named in &expression.named {
        let samples = named.side.samples(evidence, &named.metric);
        let summary = *summaries.entry((named.side, &named.metric)).or_insert_with(|| samples.map(summarise).unwrap_or_default());
        named.side.note(&mut result, &named.metric, summary);
    }
    if let Some((metric, bound)) = &expression.bound {
        result.metric.clone_from(metric);
        result.threshold = Some(*bound);
    } else if let Some(first) = expression.named.first() {
        result.metric.clone_from(&first.metric);
    }
    let missing =
        summaries.iter().filter_map(|((side, metric), summary)| lacking(*side, metric, summary, gate.min_samples, evidence.nobody_left));
    let missing: Vec<String> = missing.collect();
    if !missing.is_empty() {
        return GateResult { reason: missing.join("; "), ..result };
    }
    let values: Vec<Known> = expression
        .named
        .iter()
        .map(|named| {
            let summary = summaries.get(&(named.side, named.metric.as_str())).copied().unwrap_or_default();
            Known::Float(value_of(&summary, &named.number).unwrap_or(f64::NAN))
        })
        .collect();
    let seen = expression.named.iter().zip(&values).map(|(named, value)| {
        let Known::Float(value) = value else { return String::new() };
        format!("{} of {} is {}", described(named), named.side.words(evidence.nobody_left), number(*value))
    });
    let seen = seen.collect::<Vec<_>>().join(", ");
    let (verdict, reason) = match expression.condition.holds(&values) {
        Ok(true) => (Verdict::Pass, format!("it holds: {seen}")),
        Ok(false) => (Verdict::Fail, format!("it does not hold: {seen}")),
        Err(error) => (Verdict::Inconclusive, format!("it cannot be computed ({error}): {seen}")),
    };
    GateResult { verdict, reason, ..result }
}

fn described(named: &Named) -> String {
    match named.number.as_str() {
        "mean" => named.metric.clone(),
        number => format!("{number} of {}", named.metric),
    }
}
