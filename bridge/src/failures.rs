//! Frames that got no answer. No result tells of them; the inference node counts them on `/diagnostics`, where whoever watches the
//! robot sees them, too. How many came in a period is what its counts differ by.

use edgeflow_ros::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus};
use std::time::{Duration, Instant};

/// A node says its counts once a second; one that was not heard for so long says nothing any more.
const STALE: Duration = Duration::from_secs(5);
/// Frames that were refused or on which the model failed, since the node began.
const REFUSED: &str = "frames refused";
/// What serves frames.
const DIGEST: &str = "bundle digest";

/// Counts of one inference node.
#[derive(Debug)]
pub(crate) struct Failures {
    /// Name of its status.
    name: String,
    /// What it said last, and when.
    last: Option<(Said, Instant)>,
    /// What came in this period.
    failed: u64,
    /// Whether counts and bundle are known since the period began.
    whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    refused: u64,
    digest: String,
}

impl Said {
    /// `None` of a status that is another node's way of speaking.
    fn of(status: &DiagnosticStatus) -> Option<Self> {
        let value = |key: &str| status.values.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str());
        Some(Self { refused: value(REFUSED)?.parse().ok()?, digest: value(DIGEST)?.to_owned() })
    }
}

/// What failed in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Frames without an answer.
    pub frames: u64,
    /// Digest of the bundle that served all the while.
    pub digest: String,
}

impl Failures {
    /// Of the node with this fully-qualified name.
    pub(crate) fn new(node: &str) -> Self {
        let name = format!("{}: inference", node.trim_start_matches('/'));
        Self { name, last: None, failed: 0, whole: false }
    }

    /// Takes what some node said of itself.
    pub(crate) fn hear(&mut self, diagnostics: &DiagnosticArray, now: Instant) {
        let ours = diagnostics.status.iter().find(|status| status.name == self.name);
        let Some(said) = ours.and_then(Said::of) else { return };
        match &self.last {
            Some((before, _)) if before.digest == said.digest => {
                // One that counts from the beginning has restarted.
                self.failed += said.refused.checked_sub(before.refused).unwrap_or(said.refused);
            }
            // Which of the two bundles failed nobody can tell.
            Some(_) => (self.failed, self.whole) = (0, false),
            None => {}
        }
        self.last = Some((said, now));
    }

    /// Ends the period. `None` when it is not known how many failed, or of which bundle.
    pub(crate) fn close(&mut self, now: Instant) -> Option<Failed> {
        let heard = self.last.as_ref().filter(|(_, at)| now.saturating_duration_since(*at) < STALE);
        let whole = std::mem::replace(&mut self.whole, heard.is_some());
        let frames = std::mem::take(&mut self.failed);
        let (said, _) = heard.filter(|(said, _)| whole && !said.digest.is_empty())?;
        Some(Failed { frames, digest: said.digest.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_ros::diagnostic_msgs::msg::KeyValue;

    /// A status as the inference node words it.
    fn said(name: &str, refused: &str, digest: &str) -> DiagnosticArray {
        let pair = |key: &str, value: &str| KeyValue { key: key.into(), value: value.into() };
        let values = vec![pair("bundle digest", digest), pair("frames refused", refused)];
        let other = DiagnosticStatus { name: "camera: driver".into(), ..DiagnosticStatus::default() };
        let status = vec![other, DiagnosticStatus { name: name.into(), values, ..DiagnosticStatus::default() }];
        DiagnosticArray { status, ..DiagnosticArray::default() }
    }

    const OURS: &str = "robot_1/inference_node: inference";

    fn failed(frames: u64, digest: &str) -> Option<Failed> {
        Some(Failed { frames, digest: digest.into() })
    }

    #[test]
    fn a_periods_failures_are_what_the_nodes_counts_differ_by() {
        let (mut failures, now) = (Failures::new("/robot_1/inference_node"), Instant::now());
        let hear = |failures: &mut Failures, refused: &str, digest: &str| failures.hear(&said(OURS, refused, digest), now);
        hear(&mut failures, "40", "d");
        hear(&mut failures, "45", "d");
        assert_eq!(failures.close(now), None, "how it was when the period began is not known");
        hear(&mut failures, "47", "d");
        hear(&mut failures, "50", "d");
        failures.hear(&said("robot_2/inference_node: inference", "900", "d"), now);
        failures.hear(&said(OURS, "many", "d"), now);
        assert_eq!(failures.close(now), failed(5, "d"));
        assert_eq!(failures.close(now), failed(0, "d"), "a period without a word is one without a failure, for a while");
        hear(&mut failures, "3", "d");
        assert_eq!(failures.close(now), failed(3, "d"), "the node restarted");
        assert_eq!(failures.close(now + STALE), None, "it is silent");
        assert_eq!(failures.close(now + STALE), None);
    }

    #[test]
    fn a_period_in_which_another_bundle_came_says_nothing() {
        let (mut failures, now) = (Failures::new("/robot_1/inference_node"), Instant::now());
        for (refused, digest) in [("0", ""), ("0", "old"), ("7", "old")] {
            failures.hear(&said(OURS, refused, digest), now);
        }
        assert_eq!(failures.close(now), None);
        failures.hear(&said(OURS, "9", "new"), now);
        assert_eq!(failures.close(now), None);
        failures.hear(&said(OURS, "11", "new"), now);
        assert_eq!(failures.close(now), failed(2, "new"));
    }
}
