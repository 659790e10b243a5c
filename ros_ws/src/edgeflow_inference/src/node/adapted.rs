//! Messages that are no images, on their way to the model: seen as the library's [adapters](crate::adapt) see them, and
//! gathered where the model takes a window of them.

use edgeflow_ros::Node;
use edgeflow_ros::sensor_msgs::msg::{Imu, JointState, PointCloud2};
use edgeflow_ros::std_msgs::msg::{Float32MultiArray, Header};

use super::frames::Input;
use super::messages::nanoseconds;
use super::tally::Tally;
use crate::Result;
use crate::adapt::{Adapted, Cloud, CloudField, Sample, Window};
use crate::engine::Model;

/// An array has no header: it is given one when it comes.
pub(super) fn stamped(node: &Node, array: Float32MultiArray) -> Input {
    Input::Array(Header { stamp: node.now(), ..Header::default() }, array)
}

/// A view of a scan.
pub(super) fn cloud(message: &PointCloud2) -> Cloud<'_> {
    let fields = message.fields.iter().map(|f| CloudField { name: &f.name, offset: f.offset, datatype: f.datatype, count: f.count });
    Cloud {
        width: message.width,
        height: message.height,
        fields: fields.collect(),
        is_bigendian: message.is_bigendian,
        point_step: message.point_step,
        row_step: message.row_step,
        data: &message.data,
    }
}

/// The messages that are gathered for a slot's model.
#[derive(Default)]
pub(super) struct Gatherer {
    window: Window,
    /// Sizes of an array's dimensions, kept for its memory.
    dimensions: Vec<u32>,
}

impl Gatherer {
    /// Takes in a message; gives the graph's input when it is time for one, and counts what is not.
    pub(super) fn gather(&mut self, model: &Model, input: &Input, tally: &Tally) -> Result<Option<Adapted>> {
        let sample = match input {
            Input::Imu(imu) => imu_sample(imu),
            Input::Joints(joints) => joint_sample(joints),
            Input::Array(_, array) => {
                self.dimensions.clear();
                self.dimensions.extend(array.layout.dim.iter().map(|dimension| dimension.size));
                Sample::Array { dimensions: &self.dimensions, data_offset: array.layout.data_offset, data: &array.data }
            }
            Input::Image(_) | Input::Compressed(_) | Input::Tensors(_) | Input::Points(_) => return Ok(None),
        };
        let gathered = self.window.push(model.adapter(sample.kind())?, nanoseconds(&input.header().stamp), &sample)?;
        tally.gathered(gathered.adapted.is_none(), gathered.interrupted);
        Ok(gathered.adapted)
    }
}

fn imu_sample(imu: &Imu) -> Sample<'_> {
    // REP 145 and the message itself: where the first element is -1 there is no such measurement.
    let known = |covariance: &[f64]| covariance.first() != Some(&-1.0);
    let (q, v, a) = (&imu.orientation, &imu.angular_velocity, &imu.linear_acceleration);
    Sample::Imu {
        orientation: known(&imu.orientation_covariance).then_some([q.x, q.y, q.z, q.w]),
        angular_velocity: known(&imu.angular_velocity_covariance).then_some([v.x, v.y, v.z]),
        linear_acceleration: known(&imu.linear_acceleration_covariance).then_some([a.x, a.y, a.z]),
    }
}

fn joint_sample(joints: &JointState) -> Sample<'_> {
    let JointState { name, position, velocity, effort, .. } = joints;
    Sample::JointState { names: name, position, velocity, effort }
}
