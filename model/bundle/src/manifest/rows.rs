//! `input` of the kinds whose tensor is a table: a row per point or per message, a column per number of it.

use serde::{Deserialize, Serialize};

use super::value;
use crate::Result;

/// Greatest number of rows or columns a tensor may be asked to have.
const MAX: u32 = 4_194_304;

/// Greatest rate rows may be asked for at, hertz.
const MAX_RATE_HZ: f64 = 100_000.0;

/// How rows of numbers fill the tensor: per column `value = (number * scale - mean) / std`, laid out as `layout`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// Graph input to fill. Absent: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// Order of the elements.
    #[serde(default)]
    pub layout: RowLayout,
    /// Factor on numbers; one value, or one per column.
    #[serde(default = "ones")]
    pub scale: Vec<f64>,
    /// Subtracted after `scale`; one value, or one per column.
    #[serde(default = "zeros")]
    pub mean: Vec<f64>,
    /// Divided by after `mean`; one value, or one per column.
    #[serde(default = "ones")]
    pub std: Vec<f64>,
}

/// Order of the elements of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowLayout {
    /// `[1, rows, columns]`.
    #[default]
    RowsColumns,
    /// `[1, columns, rows]`.
    ColumnsRows,
    /// `[1, rows * columns]`, row by row.
    Flat,
}

impl RowLayout {
    /// As the manifest says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RowsColumns => "rows_columns",
            Self::ColumnsRows => "columns_rows",
            Self::Flat => "flat",
        }
    }

    /// Shape of the tensor; `None` where the number of rows is open.
    pub fn shape(self, rows: Option<i64>, columns: i64) -> Vec<Option<i64>> {
        match self {
            Self::RowsColumns => vec![Some(1), rows, Some(columns)],
            Self::ColumnsRows => vec![Some(1), Some(columns), rows],
            Self::Flat => vec![Some(1), rows.map(|rows| rows * columns)],
        }
    }
}

/// How many messages become one tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowSpec {
    /// Newest messages in one tensor, the oldest first.
    #[serde(default = "one")]
    pub window: u32,
    /// New messages (rows, where they have a rate of their own) from one tensor to the next.
    #[serde(default = "one")]
    pub stride: u32,
    /// Two messages further apart than this are no neighbours: the window begins anew, as it does when stamps run backwards.
    /// Seconds.
    #[serde(default = "second")]
    pub max_gap_s: f64,
}

/// Points of a `sensor_msgs/PointCloud2`; a row per point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointCloudSpec {
    /// Fields of a point, by name; a column each.
    pub fields: Vec<String>,
    /// Points in the tensor. Absent: as many as the graph wants, or, where it leaves that open, as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<u32>,
    /// What happens to a cloud with more points than that.
    #[serde(default)]
    pub when_more: WhenMore,
    /// What happens to a cloud with fewer.
    #[serde(default)]
    pub when_fewer: WhenFewer,
    /// Leave out points with a field that is no finite number.
    #[serde(default = "yes")]
    pub drop_invalid: bool,
    /// How they fill the tensor.
    #[serde(flatten)]
    pub rows: Rows,
}

/// What happens to a cloud with more points than the tensor has rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenMore {
    /// Points at even distances in the order of the message.
    #[default]
    Spread,
    /// The first ones.
    First,
    /// No result.
    Refuse,
}

/// What happens to a cloud with fewer points than the tensor has rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFewer {
    /// Zeros in the tensor behind them.
    #[default]
    Zeros,
    /// Its points again from the first.
    Repeat,
    /// No result.
    Refuse,
}

/// A window of `sensor_msgs/Imu`; a row per message, or at a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImuSpec {
    /// What is taken of a message; a column each.
    #[serde(default = "rates_and_accelerations")]
    pub fields: Vec<ImuField>,
    /// Rows per second, whatever the sensor's rate: numbers between two messages lie on a straight line. Absent: a row per
    /// message. Hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<f64>,
    /// How many messages become one tensor.
    #[serde(flatten)]
    pub window: WindowSpec,
    /// How they fill it.
    #[serde(flatten)]
    pub rows: Rows,
}

/// A number of a `sensor_msgs/Imu`, by its path in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ImuField {
    #[serde(rename = "orientation.x")]
    OrientationX,
    #[serde(rename = "orientation.y")]
    OrientationY,
    #[serde(rename = "orientation.z")]
    OrientationZ,
    #[serde(rename = "orientation.w")]
    OrientationW,
    #[serde(rename = "angular_velocity.x")]
    AngularVelocityX,
    #[serde(rename = "angular_velocity.y")]
    AngularVelocityY,
    #[serde(rename = "angular_velocity.z")]
    AngularVelocityZ,
    #[serde(rename = "linear_acceleration.x")]
    LinearAccelerationX,
    #[serde(rename = "linear_acceleration.y")]
    LinearAccelerationY,
    #[serde(rename = "linear_acceleration.z")]
    LinearAccelerationZ,
}

impl ImuField {
    /// As the manifest says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrientationX => "orientation.x",
            Self::OrientationY => "orientation.y",
            Self::OrientationZ => "orientation.z",
            Self::OrientationW => "orientation.w",
            Self::AngularVelocityX => "angular_velocity.x",
            Self::AngularVelocityY => "angular_velocity.y",
            Self::AngularVelocityZ => "angular_velocity.z",
            Self::LinearAccelerationX => "linear_acceleration.x",
            Self::LinearAccelerationY => "linear_acceleration.y",
            Self::LinearAccelerationZ => "linear_acceleration.z",
        }
    }
}

/// A window of `sensor_msgs/JointState`; a row per message, in it each field of every joint, field by field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JointStateSpec {
    /// Names of the joints, in the order of the tensor.
    pub joints: Vec<String>,
    /// What is taken of each.
    #[serde(default = "position")]
    pub fields: Vec<JointField>,
    /// How many messages become one tensor.
    #[serde(flatten)]
    pub window: WindowSpec,
    /// How they fill it.
    #[serde(flatten)]
    pub rows: Rows,
}

/// A list of a `sensor_msgs/JointState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JointField {
    /// Radians, or metres.
    Position,
    /// Radians or metres per second.
    Velocity,
    /// Newton metres, or newtons.
    Effort,
}

impl JointField {
    /// As the manifest and the message say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Velocity => "velocity",
            Self::Effort => "effort",
        }
    }
}

/// A window of `std_msgs/Float32MultiArray`; a row per message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArraySpec {
    /// Numbers of one message.
    pub elements: u32,
    /// How many messages become one tensor.
    #[serde(flatten)]
    pub window: WindowSpec,
    /// How they fill it.
    #[serde(flatten)]
    pub rows: Rows,
}

fn one() -> u32 {
    1
}

fn second() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

fn zeros() -> Vec<f64> {
    vec![0.0]
}

fn ones() -> Vec<f64> {
    vec![1.0]
}

fn position() -> Vec<JointField> {
    vec![JointField::Position]
}

fn rates_and_accelerations() -> Vec<ImuField> {
    use ImuField::*;
    vec![AngularVelocityX, AngularVelocityY, AngularVelocityZ, LinearAccelerationX, LinearAccelerationY, LinearAccelerationZ]
}

impl Rows {
    pub(super) fn validate(&self, columns: usize) -> Result<()> {
        for (key, values) in [("input.scale", &self.scale), ("input.mean", &self.mean), ("input.std", &self.std)] {
            if values.len() != 1 && values.len() != columns {
                return Err(value(key, format!("has {} values; give 1, or {columns} for the columns of the tensor", values.len())));
            }
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                return Err(value(key, format!("{bad} is no finite number")));
            }
        }
        if self.scale.contains(&0.0) {
            return Err(value("input.scale", "0 would make every number the same; give 1 for no scaling".to_owned()));
        }
        if self.std.contains(&0.0) {
            return Err(value("input.std", "0 cannot be divided by; give 1 for no scaling".to_owned()));
        }
        Ok(())
    }
}

impl WindowSpec {
    fn validate(&self) -> Result<()> {
        for (key, messages) in [("input.window", self.window), ("input.stride", self.stride)] {
            if messages == 0 || messages > MAX {
                return Err(value(key, format!("{messages} is out of range; give 1 to {MAX} messages")));
            }
        }
        if !(self.max_gap_s.is_finite() && self.max_gap_s > 0.0) {
            return Err(value("input.max_gap_s", format!("{} is out of range; give seconds, more than 0", self.max_gap_s)));
        }
        Ok(())
    }
}

impl PointCloudSpec {
    pub(super) fn validate(&self) -> Result<()> {
        distinct("input.fields", &self.fields)?;
        if let Some(bad) = self.fields.iter().find(|field| field.is_empty()) {
            return Err(value("input.fields", format!("{bad:?} is no name of a field")));
        }
        match self.points {
            Some(points) if points == 0 || points > MAX => {
                Err(value("input.points", format!("{points} is out of range; give 1 to {MAX}, or leave it out")))
            }
            _ => Ok(()),
        }
    }
}

impl ImuSpec {
    pub(super) fn validate(&self) -> Result<()> {
        distinct("input.fields", &self.fields)?;
        if let Some(rate) = self.rate_hz {
            if !(rate > 0.0 && rate <= MAX_RATE_HZ) {
                return Err(value("input.rate_hz", format!("{rate} is out of range; give more than 0, and at most {MAX_RATE_HZ}")));
            }
            if let Some(turn) = self.fields.iter().find(|field| field.name().starts_with("orientation")) {
                return Err(value(
                    "input.rate_hz",
                    format!("{} does not lie on a straight line between two messages; take it or the rate out", turn.name()),
                ));
            }
        }
        self.window.validate()
    }
}

impl JointStateSpec {
    pub(super) fn validate(&self) -> Result<()> {
        distinct("input.joints", &self.joints)?;
        distinct("input.fields", &self.fields)?;
        self.window.validate()
    }
}

impl ArraySpec {
    pub(super) fn validate(&self) -> Result<()> {
        if self.elements == 0 || self.elements > MAX {
            return Err(value("input.elements", format!("{} is out of range; give 1 to {MAX} numbers", self.elements)));
        }
        self.window.validate()
    }
}

/// At least one, and none twice.
fn distinct<T: PartialEq + std::fmt::Debug>(key: &'static str, all: &[T]) -> Result<()> {
    if all.is_empty() {
        return Err(value(key, "is empty; name at least one".to_owned()));
    }
    match all.iter().enumerate().find(|(i, one)| all[..*i].contains(one)) {
        Some((_, twice)) => Err(value(key, format!("{twice:?} is there twice"))),
        None => Ok(()),
    }
}
