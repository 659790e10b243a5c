//! `input`: what the node hears, and how it becomes a tensor. One spec per kind of message, each with its own keys.

use serde::{Deserialize, Serialize};

use super::image::ImageSpec;
use super::rows::{ArraySpec, ImuSpec, JointStateSpec, PointCloudSpec, Rows, WindowSpec};
use crate::Result;

/// What becomes the graph's input. Written without `kind` it is an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputSpec {
    /// A camera's frame.
    Image(ImageSpec),
    /// The points of a lidar's or depth camera's scan.
    PointCloud(PointCloudSpec),
    /// The newest samples of an inertial measurement unit.
    Imu(ImuSpec),
    /// The newest states of named joints.
    JointState(JointStateSpec),
    /// The newest arrays of numbers.
    Array(ArraySpec),
}

impl InputSpec {
    /// As the manifest says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::PointCloud(_) => "point_cloud",
            Self::Imu(_) => "imu",
            Self::JointState(_) => "joint_state",
            Self::Array(_) => "array",
        }
    }

    /// Graph input to fill. Absent: the only one.
    pub fn tensor(&self) -> Option<&str> {
        match self {
            Self::Image(spec) => spec.tensor.as_deref(),
            other => other.rows().and_then(|rows| rows.tensor.as_deref()),
        }
    }

    /// The frame, when it is an image.
    pub fn image(&self) -> Option<&ImageSpec> {
        match self {
            Self::Image(spec) => Some(spec),
            _ => None,
        }
    }

    /// How rows of numbers fill the tensor; `None` for an image.
    pub fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Image(_) => None,
            Self::PointCloud(spec) => Some(&spec.rows),
            Self::Imu(spec) => Some(&spec.rows),
            Self::JointState(spec) => Some(&spec.rows),
            Self::Array(spec) => Some(&spec.rows),
        }
    }

    /// How many messages become one tensor; `None` where one does.
    pub fn window(&self) -> Option<&WindowSpec> {
        match self {
            Self::Image(_) | Self::PointCloud(_) => None,
            Self::Imu(spec) => Some(&spec.window),
            Self::JointState(spec) => Some(&spec.window),
            Self::Array(spec) => Some(&spec.window),
        }
    }

    /// Rows of a window per second, hertz; `None` where there is one per message.
    pub fn rate_hz(&self) -> Option<f64> {
        match self {
            Self::Imu(spec) => spec.rate_hz,
            _ => None,
        }
    }

    /// Numbers of one point or message, in the order of the tensor; 0 for an image.
    pub fn columns(&self) -> usize {
        match self {
            Self::Image(_) => 0,
            Self::PointCloud(spec) => spec.fields.len(),
            Self::Imu(spec) => spec.fields.len(),
            Self::JointState(spec) => spec.joints.len() * spec.fields.len(),
            Self::Array(spec) => spec.elements as usize,
        }
    }

    /// Points or messages of one tensor; `None` where the graph or the message decides, and for an image.
    pub fn row_count(&self) -> Option<usize> {
        match self {
            Self::PointCloud(spec) => spec.points.map(|points| points as usize),
            other => other.window().map(|window| window.window as usize),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self {
            Self::Image(spec) => return spec.validate(),
            Self::PointCloud(spec) => spec.validate()?,
            Self::Imu(spec) => spec.validate()?,
            Self::JointState(spec) => spec.validate()?,
            Self::Array(spec) => spec.validate()?,
        }
        self.rows().map_or(Ok(()), |rows| rows.validate(self.columns()))
    }
}
