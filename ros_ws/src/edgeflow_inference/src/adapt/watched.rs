//! What of a message that is no image is watched for drift: its columns, by name, as they came. Scale, mean and standard
//! deviation of the manifest are not applied, so that reports are in the sensor's units and a baseline made of a recording
//! holds.

use edgeflow_bundle::{ImuField, InputSpec};
use edgeflow_drift::Feature;

use super::Adapter;

impl Adapter {
    /// Names and units of the numbers that are watched: each column of a sample or array; of a scan the number of its points,
    /// and of each column their mean and standard deviation.
    pub fn features(&self) -> Vec<Feature> {
        let plain = |name: String| Feature::numeric(name, "");
        match self.spec() {
            InputSpec::Image(_) => Vec::new(),
            InputSpec::PointCloud(spec) => {
                let columns = spec.fields.iter().flat_map(|field| [field.clone(), format!("{field}.std")]);
                std::iter::once("points".to_owned()).chain(columns).map(plain).collect()
            }
            InputSpec::Imu(spec) => spec.fields.iter().map(|field| Feature::numeric(field.name(), unit(*field))).collect(),
            InputSpec::JointState(spec) => {
                let joints = |field: &'static str| spec.joints.iter().map(move |joint| format!("{field}[{joint}]"));
                spec.fields.iter().flat_map(|field| joints(field.name())).map(plain).collect()
            }
            InputSpec::Array(spec) if spec.elements == 1 => vec![plain(self.tensor().to_owned())],
            InputSpec::Array(spec) => (0..spec.elements).map(|at| plain(format!("{}[{at}]", self.tensor()))).collect(),
        }
    }

    /// The numbers of a scan: `found` points could be used, `chosen` are the columns of those the model sees, row by row.
    /// What is no finite number is left out.
    pub(super) fn of_points(&self, found: usize, chosen: &[f64]) -> Vec<f64> {
        let columns = self.columns();
        let mut numbers = Vec::with_capacity(1 + 2 * columns);
        numbers.push(found as f64);
        for column in 0..columns {
            let values = || chosen.iter().skip(column).step_by(columns).filter(|value| value.is_finite());
            let count = values().count() as f64;
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            numbers.extend([mean, variance.sqrt()]);
        }
        numbers
    }
}

fn unit(field: ImuField) -> &'static str {
    match field {
        ImuField::OrientationX | ImuField::OrientationY | ImuField::OrientationZ | ImuField::OrientationW => "",
        ImuField::AngularVelocityX | ImuField::AngularVelocityY | ImuField::AngularVelocityZ => "rad/s",
        ImuField::LinearAccelerationX | ImuField::LinearAccelerationY | ImuField::LinearAccelerationZ => "m/s^2",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::adapter;

    #[test]
    fn columns_have_the_names_of_the_message() {
        for (input, shape, names) in [
            ("kind: point_cloud, fields: [x, intensity]", [1, -1, 2], &["points", "x", "x.std", "intensity", "intensity.std"][..]),
            ("kind: imu, fields: [orientation.w, linear_acceleration.z]", [1, 1, 2], &["orientation.w", "linear_acceleration.z"]),
            (
                "kind: joint_state, joints: [hip, knee], fields: [velocity, effort]",
                [1, 1, 4],
                &["velocity[hip]", "velocity[knee]", "effort[hip]", "effort[knee]"],
            ),
            ("kind: array, elements: 2, window: 3", [1, 3, 2], &["x[0]", "x[1]"]),
            ("kind: array, elements: 1", [1, 1, 1], &["x"]),
        ] {
            let features = adapter(input, &shape).features();
            assert_eq!(features.iter().map(|feature| feature.name.as_str()).collect::<Vec<_>>(), names, "{input}");
        }
    }

    #[test]
    fn a_scan_is_its_number_of_points_and_their_middle_and_spread() {
        let adapter = adapter("kind: point_cloud, fields: [x, y], drop_invalid: false, mean: [7]", &[1, -1, 2]);
        let numbers = adapter.of_points(9, &[1.0, 5.0, 3.0, f64::NAN, 5.0, 5.0]);
        assert_eq!(numbers, [9.0, 3.0, (8.0f64 / 3.0).sqrt(), 5.0, 0.0]);
        let nothing = adapter.of_points(0, &[]);
        assert!(nothing[0] == 0.0 && nothing[1..].iter().all(|number| number.is_nan()), "{nothing:?}");
    }
}
