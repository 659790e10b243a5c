//! Stage 0: what recorded frames say of a candidate beside the model it would replace.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::number;
use crate::rollout::{GateResult, MetricSummary, Replay, Verdict};
use crate::words::counted;

/// What the program that replays frames says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReplayNumbers {
    /// Topic of the frames.
    pub topic: String,
    /// Frames that both answered.
    pub frames: u64,
    /// Frames that the candidate failed on.
    pub failed: u64,
    /// Why it failed first.
    #[serde(default)]
    pub failure: String,
    /// Share of frames on which both agree, 0 to 1.
    pub agreement: f64,
    /// Median time of the candidate, microseconds.
    pub candidate_p50_us: u64,
    /// Median time of the current model, microseconds.
    pub current_p50_us: u64,
    /// How often which label became which.
    #[serde(default)]
    pub relabelled: BTreeMap<String, u64>,
}

/// A result of stage 0 that is not about numbers: why there are none.
pub fn not_replayed(reason: String, verdict: Verdict, now_us: i64) -> GateResult {
    GateResult {
        gate: "replay".to_owned(),
        verdict,
        reason,
        at_us: now_us,
        metric: "agreement".to_owned(),
        threshold: None,
        p_value: None,
        updated: BTreeMap::new(),
        before: BTreeMap::new(),
        rest: BTreeMap::new(),
    }
}

/// What stage 0 says of these numbers.
pub fn judge_replay(replay: &Replay, numbers: &ReplayNumbers, now_us: i64) -> GateResult {
    let compared = numbers.frames + numbers.failed;
    let ratio = numbers.candidate_p50_us as f64 / numbers.current_p50_us.max(1) as f64;
    let slow = replay.max_latency_ratio.filter(|most| ratio > *most && numbers.frames > 0);
    let agreement = number(numbers.agreement);
    let mut seen = format!(
        "both agree on {agreement} of {compared} frames of {} (at least {}), median latency {} us against {} us",
        numbers.topic,
        number(replay.min_agreement),
        numbers.candidate_p50_us,
        numbers.current_p50_us
    );
    if numbers.failed > 0 {
        seen.push_str(&format!("; the candidate failed on {} ({})", numbers.failed, numbers.failure));
    }
    if let Some((change, times)) = numbers.relabelled.iter().max_by_key(|(_, times)| **times) {
        seen.push_str(&format!("; the commonest change is {change}, {}", counted(*times, "time", "times")));
    }
    let (verdict, reason) = if compared < replay.min_frames {
        let missing =
            format!("{compared} of at least {} frames, {} missing", replay.min_frames, counted(replay.min_frames - compared, "is", "are"));
        (Verdict::Inconclusive, format!("{missing}: {seen}"))
    } else if numbers.agreement < replay.min_agreement {
        (Verdict::Fail, seen)
    } else if let Some(most) = slow {
        (Verdict::Fail, format!("it takes {} times as long, at most {} are allowed: {seen}", number(ratio), number(most)))
    } else {
        (Verdict::Pass, seen)
    };
    let summary =
        |n: u64, value: f64| MetricSummary { n, robots: 0, mean: value, std: 0.0, p50: value, p95: value, min: value, max: value };
    let latency = |us: u64| ("latency_p50_us".to_owned(), summary(numbers.frames, us as f64));
    GateResult {
        threshold: Some(replay.min_agreement),
        updated: [("agreement".to_owned(), summary(compared, numbers.agreement)), latency(numbers.candidate_p50_us)].into(),
        before: [latency(numbers.current_p50_us)].into(),
        ..not_replayed(reason, verdict, now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay() -> Replay {
        Replay {
            recording: "c1".into(),
            topic: None,
            against: None,
            min_agreement: 0.9,
            tolerance: 0.01,
            max_latency_ratio: Some(2.0),
            min_frames: 100,
        }
    }

    fn numbers() -> ReplayNumbers {
        ReplayNumbers {
            topic: "/image".into(),
            frames: 200,
            failed: 0,
            failure: String::new(),
            agreement: 0.95,
            candidate_p50_us: 1500,
            current_p50_us: 1000,
            relabelled: [("7 -> 1".to_owned(), 9), ("3 -> 8".to_owned(), 1)].into(),
        }
    }

    #[test]
    fn agreement_latency_and_enough_frames_decide() {
        let judged = |numbers: ReplayNumbers| judge_replay(&replay(), &numbers, 5);
        let passed = judged(numbers());
        assert_eq!((passed.verdict, passed.threshold, passed.at_us), (Verdict::Pass, Some(0.9), 5));
        assert!(passed.reason.contains("7 -> 1, 9 times") && passed.updated["agreement"].n == 200, "{}", passed.reason);
        assert_eq!(judged(ReplayNumbers { agreement: 0.8, ..numbers() }).verdict, Verdict::Fail);
        let slow = judged(ReplayNumbers { candidate_p50_us: 2500, ..numbers() });
        assert!(slow.verdict == Verdict::Fail && slow.reason.contains("2.5 times as long"), "{}", slow.reason);
        let few = judged(ReplayNumbers { frames: 40, agreement: 0.1, ..numbers() });
        assert!(few.verdict == Verdict::Inconclusive && few.reason.contains("40 of at least 100 frames, 60 are missing"), "{}", few.reason);
        let broken = judged(ReplayNumbers { frames: 0, failed: 200, failure: "no input".into(), agreement: 0.0, ..numbers() });
        assert!(broken.verdict == Verdict::Fail && broken.reason.contains("failed on 200 (no input)"), "{}", broken.reason);
    }
}
