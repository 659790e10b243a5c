//! The same verdict for `rqt_robot_monitor` and every other reader of `/diagnostics`.

use edgeflow_ros::constants::diagnostic_msgs::msg::DiagnosticStatus as level;
use edgeflow_ros::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::std_msgs::msg::Header;

use crate::severity::{Level, Severity};

/// What has become of the newest report, and of the poses that place it.
pub(crate) struct Diagnostics {
    name: String,
    status: DiagnosticStatus,
}

impl Diagnostics {
    /// `node` is the fully-qualified name: the monitor of a fleet shows one line for each robot.
    pub(crate) fn new(node: &str) -> Self {
        let name = format!("{}: drift", node.trim_start_matches('/'));
        let status = DiagnosticStatus { level: level::OK, message: "no drift window has closed yet".into(), ..DiagnosticStatus::default() };
        Self { name, status }
    }

    /// A window was shown, or could be shown nowhere.
    pub(crate) fn note(&mut self, report: &DriftReport, severity: &Severity, windows: u64) {
        let value = |key: &str, value: String| KeyValue { key: key.to_owned(), value };
        self.status = DiagnosticStatus {
            // One window beyond chance is what chance does at times: no warning yet.
            level: if severity.level == Level::Drifting { level::WARN } else { level::OK },
            message: format!("{}: {}", severity.headline(), severity.detail()),
            values: vec![
                value("model", report.model_name.clone()),
                value("version", report.model_version.clone()),
                value("digest", report.model_digest.clone()),
                value("window", report.window.to_string()),
                value("greatest PSI", format!("{:.3}", report.max_psi)),
                value("windows seen", windows.to_string()),
            ],
            ..DiagnosticStatus::default()
        };
    }

    /// To be published once a second: monitors call older ones stale.
    pub(crate) fn message(&self, header: Header, poses: u64) -> DiagnosticArray {
        let mut status = DiagnosticStatus { name: self.name.clone(), ..self.status.clone() };
        status.values.push(KeyValue { key: "poses seen".into(), value: poses.to_string() });
        DiagnosticArray { header, status: vec![status] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_ros::edgeflow_msgs::msg::DriftFeature;

    #[test]
    fn drift_is_a_warning_and_names_the_figures() {
        let feature = DriftFeature { name: "brightness".into(), psi: 4.0, psi_threshold: 0.5, flagged: true, ..DriftFeature::default() };
        let report = DriftReport { flagged: true, features: vec![feature], window: 7, ..DriftReport::default() };
        let mut diagnostics = Diagnostics::new("/robot_1/drift_markers_node");
        let before = diagnostics.message(Header::default(), 0);
        assert_eq!((before.status[0].level, before.status[0].name.as_str()), (level::OK, "robot_1/drift_markers_node: drift"));
        diagnostics.note(&report, &Severity::of(&report), 1);
        let after = diagnostics.message(Header::default(), 12);
        assert_eq!(after.status[0].level, level::WARN);
        assert_eq!(after.status[0].message, "DRIFTING: brightness: PSI 4.00, threshold 0.50");
        let value = |key: &str| after.status[0].values.iter().find(|v| v.key == key).map(|v| v.value.as_str());
        assert_eq!((value("window"), value("poses seen")), (Some("7"), Some("12")));
    }
}
