//! What a rollout does with what its gates say. A gate of which nothing is known is inconclusive; only gates that all pass let a stage
//! pass by itself.

use std::collections::BTreeMap;

use super::counts::seconds;
use super::machine::{settle, too_many_failed};
use super::turn::Turn;
use super::{GateResult, Happened, RobotPhase, Seen, Verdict};

const NOBODY: &str = "no robot serves it yet: all that were told are offline, or were left out";

/// How often numbers of gates that say the same are kept, seconds.
const EVIDENCE_EVERY_S: u64 = 5;

pub(super) fn judging(turn: &mut Turn<'_>, seen: &Seen<'_>) {
    if let Some(cause) = too_many_failed(turn) {
        return turn.fail_stage(&cause, Vec::new());
    }
    let (so_far, last) = ((0, turn.rollout.stage), turn.rollout.stage + 1 == turn.rollout.stages.len());
    if turn.counts.sum(so_far, &[RobotPhase::Updated], None) == 0 {
        let failed = turn.counts.sum(so_far, &[RobotPhase::Failed], None).saturating_sub(turn.rollout.accepted);
        if failed > 0 {
            return turn.fail_stage(&format!("no robot serves it, and {failed} failed"), Vec::new());
        }
        if !last {
            return turn.hold(Some(Happened::GatesJudged), NOBODY);
        }
    } else if turn.rollout.holds == NOBODY {
        // Its soak time begins with the first that serves it.
        return settle(turn);
    }
    let Some(stage) = turn.rollout.stages.get(turn.rollout.stage) else { return };
    if stage.gates.is_empty() {
        return turn.pass(Happened::StagePassed, "it asks for no gates", Vec::new());
    }
    let Some(results) = seen.gates else { return };
    let judged: Vec<GateResult> = stage.gates.iter().map(|gate| result_of(&gate.name, results, turn.now_us)).collect();
    let known = stage.evidence.clone();
    let causes = |verdict| {
        let of = judged.iter().filter(|result| result.verdict == verdict);
        of.map(|result| format!("{}: {}", result.gate, result.reason)).collect::<Vec<_>>().join("; ")
    };
    let verdicts = |results: &[GateResult]| results.iter().map(|result| result.verdict).collect::<Vec<_>>();
    let (failed, open) = (causes(Verdict::Fail), causes(Verdict::Inconclusive));
    let fails = judged.iter().any(|result| result.verdict == Verdict::Fail);
    let passes = judged.iter().all(|result| result.verdict == Verdict::Pass);
    let other = verdicts(&judged) != verdicts(&known) || turn.rollout.holds.is_empty();
    let held_us = known.iter().map(|result| result.at_us).max().unwrap_or_default();
    let stale = turn.now_us >= held_us.saturating_add(seconds(EVIDENCE_EVERY_S));
    if (other || stale)
        && !same_numbers(&judged, &known)
        && let Some(stage) = turn.rollout.stages.get_mut(turn.rollout.stage)
    {
        stage.evidence.clone_from(&judged);
    }
    if fails {
        turn.fail_stage(&failed, judged);
    } else if passes {
        let passed = causes(Verdict::Pass);
        turn.pass(Happened::StagePassed, &passed, judged);
    } else if other {
        turn.hold(None, &open);
        turn.say_stage(Happened::GatesJudged, open, judged);
    } else if stale {
        turn.hold(None, &open);
    }
}

/// What a gate said; one of which nothing is known is inconclusive.
fn result_of(gate: &str, results: &[GateResult], at_us: i64) -> GateResult {
    let found = results.iter().find(|result| result.gate == gate);
    found.cloned().unwrap_or_else(|| GateResult {
        gate: gate.to_owned(),
        verdict: Verdict::Inconclusive,
        reason: "it was not judged".to_owned(),
        at_us,
        metric: String::new(),
        threshold: None,
        p_value: None,
        updated: BTreeMap::new(),
        before: BTreeMap::new(),
        rest: BTreeMap::new(),
    })
}

/// Whether two say the same, whenever they did.
fn same_numbers(one: &[GateResult], other: &[GateResult]) -> bool {
    let timeless = |result: &GateResult| GateResult { at_us: 0, ..result.clone() };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| timeless(one) == timeless(other))
}
