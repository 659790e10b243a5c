//! The numbers of one message that goes into a window.

use edgeflow_bundle::{ImuField, ImuSpec, InputSpec, JointField, JointStateSpec};

use super::Adapter;
use crate::{Error, Result};

/// One message of a stream of them.
#[derive(Clone, Copy, Debug)]
pub enum Sample<'a> {
    /// `sensor_msgs/Imu`; `None` where its covariance says that it has no such measurement.
    Imu {
        /// x, y, z, w of a unit quaternion.
        orientation: Option<[f64; 4]>,
        /// Radians per second about x, y, z.
        angular_velocity: Option<[f64; 3]>,
        /// Metres per second squared along x, y, z.
        linear_acceleration: Option<[f64; 3]>,
    },
    /// `sensor_msgs/JointState`; a list that is not known is empty.
    JointState {
        /// Names of the joints.
        names: &'a [String],
        /// Radians or metres.
        position: &'a [f64],
        /// Radians or metres per second.
        velocity: &'a [f64],
        /// Newton metres or newtons.
        effort: &'a [f64],
    },
    /// `std_msgs/Float32MultiArray`.
    Array {
        /// Elements along each dimension; empty where the message does not say.
        dimensions: &'a [u32],
        /// Elements before the first one that counts.
        data_offset: u32,
        /// All elements.
        data: &'a [f32],
    },
}

impl Sample<'_> {
    /// As the manifest says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Imu { .. } => "imu",
            Self::JointState { .. } => "joint_state",
            Self::Array { .. } => "array",
        }
    }
}

impl Adapter {
    /// The row of a message, its numbers as they came.
    ///
    /// # Errors
    /// [`Error::NoInput`] when the model takes something else; [`Error::Message`] when the message contradicts itself or lacks
    /// what the manifest takes of it.
    pub fn row(&self, sample: &Sample<'_>) -> Result<Vec<f64>> {
        match (self.spec(), *sample) {
            (InputSpec::Imu(spec), Sample::Imu { orientation, angular_velocity, linear_acceleration }) => {
                self.imu(spec, orientation, angular_velocity, linear_acceleration)
            }
            (InputSpec::JointState(spec), Sample::JointState { names, position, velocity, effort }) => {
                self.joints(spec, names, [position, velocity, effort])
            }
            (InputSpec::Array(spec), Sample::Array { dimensions, data_offset, data }) => {
                self.array(spec.elements as usize, dimensions, data_offset, data)
            }
            (other, sample) => Err(Error::NoInput { given: sample.kind(), reason: format!("edgeflow.yaml describes {}", other.kind()) }),
        }
    }

    fn imu(
        &self,
        spec: &ImuSpec,
        orientation: Option<[f64; 4]>,
        angular_velocity: Option<[f64; 3]>,
        linear_acceleration: Option<[f64; 3]>,
    ) -> Result<Vec<f64>> {
        let lacks = |what: &str| self.refuse(format!("it has no {what}: the covariance of that begins with -1"));
        let axis = |vector: Option<[f64; 3]>, axis: usize, what: &str| vector.map(|v| v[axis]).ok_or_else(|| lacks(what));
        let turn = |axis: usize| orientation.map(|q| q[axis]).ok_or_else(|| lacks("orientation"));
        let numbers = spec.fields.iter().map(|field| match field {
            ImuField::OrientationX => turn(0),
            ImuField::OrientationY => turn(1),
            ImuField::OrientationZ => turn(2),
            ImuField::OrientationW => turn(3),
            ImuField::AngularVelocityX => axis(angular_velocity, 0, "angular_velocity"),
            ImuField::AngularVelocityY => axis(angular_velocity, 1, "angular_velocity"),
            ImuField::AngularVelocityZ => axis(angular_velocity, 2, "angular_velocity"),
            ImuField::LinearAccelerationX => axis(linear_acceleration, 0, "linear_acceleration"),
            ImuField::LinearAccelerationY => axis(linear_acceleration, 1, "linear_acceleration"),
            ImuField::LinearAccelerationZ => axis(linear_acceleration, 2, "linear_acceleration"),
        });
        let numbers = numbers.collect::<Result<Vec<_>>>()?;
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(i) => Err(self.refuse(format!("{} is {}, no measurement", spec.fields[i].name(), numbers[i]))),
            None => Ok(numbers),
        }
    }

    fn joints(&self, spec: &JointStateSpec, names: &[String], lists: [&[f64]; 3]) -> Result<Vec<f64>> {
        let place = |joint: &String| {
            names
                .iter()
                .position(|name| name == joint)
                .ok_or_else(|| self.refuse(format!("it has no joint `{joint}`, but {}", names.join(", "))))
        };
        let places = spec.joints.iter().map(place).collect::<Result<Vec<_>>>()?;
        let mut numbers = Vec::with_capacity(spec.fields.len() * places.len());
        for field in &spec.fields {
            let list = match field {
                JointField::Position => lists[0],
                JointField::Velocity => lists[1],
                JointField::Effort => lists[2],
            };
            if list.len() != names.len() {
                let (field, have, joints) = (field.name(), list.len(), names.len());
                return Err(self.refuse(format!("{field} has {have} numbers for {joints} joints, and the model takes {field}")));
            }
            for (joint, place) in spec.joints.iter().zip(&places) {
                let number = list[*place];
                if !number.is_finite() {
                    return Err(self.refuse(format!("{} of joint `{joint}` is {number}, no measurement", field.name())));
                }
                numbers.push(number);
            }
        }
        Ok(numbers)
    }

    /// What an array's numbers mean only its sender and the model know: they pass as they are, NaN included.
    fn array(&self, elements: usize, dimensions: &[u32], data_offset: u32, data: &[f32]) -> Result<Vec<f64>> {
        let Some(data) = data.get(data_offset as usize..) else {
            return Err(self.refuse(format!("data has {} elements, and data_offset is {data_offset}", data.len())));
        };
        let stated = dimensions.iter().try_fold(1usize, |n, d| n.checked_mul(*d as usize));
        if !dimensions.is_empty() && stated != Some(data.len()) {
            return Err(self.refuse(format!("its layout has the dimensions {dimensions:?}, but data has {} elements", data.len())));
        }
        if data.len() != elements {
            return Err(self.refuse(format!("it has {} elements, and the model takes {elements}", data.len())));
        }
        Ok(data.iter().map(|number| f64::from(*number)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::adapter;
    use super::*;

    fn imu() -> Sample<'static> {
        Sample::Imu {
            orientation: Some([0.1, 0.2, 0.3, 0.4]),
            angular_velocity: Some([1.0, 2.0, 3.0]),
            linear_acceleration: Some([4.0, 5.0, 6.0]),
        }
    }

    fn refusal(input: &str, sample: &Sample<'_>) -> String {
        adapter(input, &[1, -1, -1]).row(sample).unwrap_err().to_string()
    }

    #[test]
    fn an_imu_gives_its_fields_in_the_manifests_order() {
        assert_eq!(adapter("kind: imu", &[1, 1, 6]).row(&imu()).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let some = "kind: imu, fields: [linear_acceleration.z, orientation.w, orientation.x, angular_velocity.y]";
        assert_eq!(adapter(some, &[1, 1, 4]).row(&imu()).unwrap(), [6.0, 0.4, 0.1, 2.0]);
        let without = Sample::Imu { orientation: None, angular_velocity: Some([f64::NAN; 3]), linear_acceleration: Some([0.0; 3]) };
        assert!(refusal(some, &without).contains("imu refused: it has no orientation: the covariance of that begins with -1"));
        assert!(refusal("kind: imu", &without).contains("angular_velocity.x is NaN, no measurement"));
        let acceleration = "kind: imu, fields: [linear_acceleration.x]";
        assert_eq!(adapter(acceleration, &[1, 1, 1]).row(&without).unwrap(), [0.0], "what is not taken may be missing");
        assert_eq!(refusal("kind: array, elements: 3", &imu()), "this model takes no imu: edgeflow.yaml describes array");
    }

    #[test]
    fn joints_are_found_by_name() {
        let names = ["wrist", "elbow", "shoulder"].map(String::from);
        let sample = Sample::JointState { names: &names, position: &[1.0, 2.0, 3.0], velocity: &[10.0, 20.0, 30.0], effort: &[] };
        let both = "kind: joint_state, joints: [shoulder, elbow], fields: [position, velocity]";
        assert_eq!(adapter(both, &[1, 1, 4]).row(&sample).unwrap(), [3.0, 2.0, 30.0, 20.0]);
        for (input, want) in [
            ("kind: joint_state, joints: [knee]", "joint_state refused: it has no joint `knee`, but wrist, elbow, shoulder"),
            (
                "kind: joint_state, joints: [wrist], fields: [effort]",
                "joint_state refused: effort has 0 numbers for 3 joints, and the model takes effort",
            ),
        ] {
            assert_eq!(refusal(input, &sample), want);
        }
        let broken = Sample::JointState { names: &names, position: &[1.0, f64::INFINITY, 3.0], velocity: &[], effort: &[] };
        assert!(refusal("kind: joint_state, joints: [elbow]", &broken).contains("position of joint `elbow` is inf"));
    }

    #[test]
    fn an_array_has_the_elements_its_layout_and_the_manifest_say() {
        let of = |dimensions: &'static [u32], data_offset: u32, data: &'static [f32]| Sample::Array { dimensions, data_offset, data };
        let input = "kind: array, elements: 2";
        assert_eq!(adapter(input, &[1, 1, 2]).row(&of(&[], 0, &[1.0, 2.0])).unwrap(), [1.0, 2.0]);
        assert_eq!(adapter(input, &[1, 1, 2]).row(&of(&[2, 1], 1, &[9.0, 1.0, 2.0])).unwrap(), [1.0, 2.0]);
        for (sample, want) in [
            (of(&[], 0, &[1.0]), "array refused: it has 1 elements, and the model takes 2"),
            (of(&[3], 0, &[1.0, 2.0]), "its layout has the dimensions [3], but data has 2 elements"),
            (of(&[u32::MAX, u32::MAX, u32::MAX], 0, &[1.0, 2.0]), "its layout has the dimensions"),
            (of(&[], 3, &[1.0, 2.0]), "data has 2 elements, and data_offset is 3"),
        ] {
            assert!(refusal(input, &sample).contains(want), "{}", refusal(input, &sample));
        }
    }
}
