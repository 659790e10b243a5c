//! Points of a scan. Where a field lies in a point, of which type and in which byte order, only the message says.

use edgeflow_bundle::{InputSpec, PointCloudSpec, WhenFewer, WhenMore};

use super::{Adapted, Adapter};
use crate::{Error, Result};

/// A scan as `sensor_msgs/PointCloud2` carries it.
#[derive(Clone, Debug)]
pub struct Cloud<'a> {
    /// Points per row.
    pub width: u32,
    /// Rows; 1 where points have no order in space.
    pub height: u32,
    /// What a point consists of.
    pub fields: Vec<CloudField<'a>>,
    /// Byte order of the numbers.
    pub is_bigendian: bool,
    /// Bytes per point.
    pub point_step: u32,
    /// Bytes per row.
    pub row_step: u32,
    /// `height * row_step` bytes.
    pub data: &'a [u8],
}

/// One field of every point, as `sensor_msgs/PointField`.
#[derive(Clone, Copy, Debug)]
pub struct CloudField<'a> {
    /// Its name.
    pub name: &'a str,
    /// Bytes from the beginning of the point.
    pub offset: u32,
    /// Type of the number: `INT8` (1) to `FLOAT64` (8).
    pub datatype: u8,
    /// Numbers in the field.
    pub count: u32,
}

/// The type of a field.
#[derive(Clone, Copy)]
enum Number {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Number {
    fn of(datatype: u8) -> Option<Self> {
        Some(match datatype {
            1 => Self::I8,
            2 => Self::U8,
            3 => Self::I16,
            4 => Self::U16,
            5 => Self::I32,
            6 => Self::U32,
            7 => Self::F32,
            8 => Self::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The number at the beginning of `bytes`, of which there are enough.
    fn read(self, bytes: &[u8], is_bigendian: bool) -> f64 {
        fn array<const N: usize>(bytes: &[u8], is_bigendian: bool) -> [u8; N] {
            let mut own = [0; N];
            own.copy_from_slice(&bytes[..N]);
            if is_bigendian {
                own.reverse();
            }
            own
        }
        match self {
            Self::I8 => f64::from(bytes[0] as i8),
            Self::U8 => f64::from(bytes[0]),
            Self::I16 => f64::from(i16::from_le_bytes(array(bytes, is_bigendian))),
            Self::U16 => f64::from(u16::from_le_bytes(array(bytes, is_bigendian))),
            Self::I32 => f64::from(i32::from_le_bytes(array(bytes, is_bigendian))),
            Self::U32 => f64::from(u32::from_le_bytes(array(bytes, is_bigendian))),
            Self::F32 => f64::from(f32::from_le_bytes(array(bytes, is_bigendian))),
            Self::F64 => f64::from_le_bytes(array(bytes, is_bigendian)),
        }
    }
}

/// A column: where its number lies in a point.
struct Column {
    offset: usize,
    number: Number,
}

impl Adapter {
    /// The tensor of a scan, and its features.
    ///
    /// # Errors
    /// [`Error::NoInput`] when the model takes something else, [`Error::Message`] when the scan contradicts itself, lacks a
    /// field, or has more or fewer points than the manifest lets pass.
    pub fn cloud(&self, cloud: &Cloud<'_>) -> Result<Adapted> {
        let InputSpec::PointCloud(spec) = self.spec() else {
            return Err(Error::NoInput { given: "point_cloud", reason: format!("edgeflow.yaml describes {}", self.spec().kind()) });
        };
        let columns = spec.fields.iter().map(|name| self.column(cloud, name)).collect::<Result<Vec<_>>>()?;
        let points = self.points(cloud)?;
        let read = |point: &[u8], column: &Column| column.number.read(&point[column.offset..], cloud.is_bigendian);
        let is_valid = |point: &&[u8]| columns.iter().all(|column| read(point, column).is_finite());
        let points: Vec<&[u8]> = points.filter(|point| !spec.drop_invalid || is_valid(point)).collect();
        let chosen = self.choose(spec, points.len())?;
        let (rows, found) = (self.count.unwrap_or(chosen.len()), points.len());
        let numbers: Vec<f64> =
            chosen.into_iter().flat_map(|i| columns.iter().map(move |c| (i, c))).map(|(i, c)| read(points[i], c)).collect();
        Ok(Adapted { tensor: self.table(&numbers, rows)?, numbers: self.of_points(found, &numbers) })
    }

    fn column(&self, cloud: &Cloud<'_>, name: &str) -> Result<Column> {
        let Some(field) = cloud.fields.iter().find(|field| field.name == name) else {
            let names: Vec<&str> = cloud.fields.iter().map(|field| field.name).collect();
            return Err(self.refuse(format!("it has no field `{name}`, but {}", names.join(", "))));
        };
        let number = Number::of(field.datatype).ok_or_else(|| {
            self.refuse(format!("field `{name}` has the datatype {}, which is none of 1 (INT8) to 8 (FLOAT64)", field.datatype))
        })?;
        // Drivers leave the count at 0 where it is 1.
        if field.count > 1 {
            return Err(self.refuse(format!("field `{name}` has {} numbers, and a column has one", field.count)));
        }
        let (offset, end) = (field.offset as usize, field.offset as usize + number.bytes());
        if end > cloud.point_step as usize {
            return Err(self.refuse(format!("field `{name}` ends at byte {end} of points of {} bytes", cloud.point_step)));
        }
        Ok(Column { offset, number })
    }

    /// The bytes of each point.
    fn points<'a>(&self, cloud: &Cloud<'a>) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let (width, height, step) = (cloud.width as usize, cloud.height as usize, cloud.point_step as usize);
        let row = cloud.row_step as usize;
        // In 64 bits neither product overflows: each factor has 32.
        if row < width * step {
            return Err(self.refuse(format!("row_step is {row} bytes, but {width} points of {step} bytes need {}", width * step)));
        }
        if cloud.data.len() != row * height {
            let have = cloud.data.len();
            return Err(self.refuse(format!("data has {have} bytes, but height x row_step is {height} x {row} = {}", row * height)));
        }
        // A step of 0 is refused with its first field, and rows of no points are none.
        let rows = cloud.data.chunks_exact(row.max(1)).take(if width == 0 { 0 } else { height });
        Ok(rows.flat_map(move |row| row[..width * step].chunks_exact(step)))
    }

    /// Which of so many points become rows.
    fn choose(&self, spec: &PointCloudSpec, points: usize) -> Result<Vec<usize>> {
        let Some(rows) = self.count.filter(|rows| *rows != points) else { return Ok((0..points).collect()) };
        let number = |what: &str| self.refuse(format!("it has {points} points, and the model takes {rows}; {what} is refuse"));
        if points > rows {
            return match spec.when_more {
                WhenMore::Spread => Ok((0..rows).map(|i| (i as u64 * points as u64 / rows as u64) as usize).collect()),
                WhenMore::First => Ok((0..rows).collect()),
                WhenMore::Refuse => Err(number("when_more")),
            };
        }
        match spec.when_fewer {
            WhenFewer::Zeros => Ok((0..points).collect()),
            WhenFewer::Repeat if points == 0 => Err(self.refuse("it has no points that could be repeated".to_owned())),
            WhenFewer::Repeat => Ok((0..points).cycle().take(rows).collect()),
            WhenFewer::Refuse => Err(number("when_fewer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::adapter;
    use super::*;
    use crate::tensor::{Data, Tensor};

    const FLOAT32: u8 = 7;

    fn field(name: &str, offset: u32, datatype: u8) -> CloudField<'_> {
        CloudField { name, offset, datatype, count: 1 }
    }

    /// Points of x, y as float32 with four bytes between them and the next.
    fn bytes(points: &[[f32; 2]]) -> Vec<u8> {
        points.iter().flat_map(|[x, y]| [x.to_le_bytes(), y.to_le_bytes(), [9; 4]].concat()).collect()
    }

    fn cloud(points: usize, data: &[u8]) -> Cloud<'_> {
        Cloud {
            width: points as u32,
            height: 1,
            fields: vec![field("x", 0, FLOAT32), field("y", 4, FLOAT32)],
            is_bigendian: false,
            point_step: 12,
            row_step: 12 * points as u32,
            data,
        }
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        tensor.data.to_f64().unwrap()
    }

    #[test]
    fn fields_are_found_by_name_whatever_their_order_type_and_byte_order() {
        let mut data = Vec::new();
        for i in 0..2i16 {
            data.extend((-100 * i - 1).to_be_bytes());
            data.extend(f64::from(i).to_be_bytes());
            data.extend([200 + i as u8, 0xff]);
            data.extend((70_000u32 + i as u32).to_be_bytes());
            data.extend((-70_000i32).to_be_bytes());
            data.extend((60_000u16).to_be_bytes());
        }
        let fields = [("a", 0, 3), ("b", 2, 8), ("c", 10, 2), ("d", 11, 1), ("e", 12, 6), ("f", 16, 5), ("g", 20, 4)];
        let fields = fields.map(|(name, offset, datatype)| field(name, offset, datatype)).to_vec();
        let cloud = Cloud { width: 1, height: 2, fields, is_bigendian: true, point_step: 22, row_step: 22, data: &data };
        let tensor = adapter("kind: point_cloud, fields: [g, f, e, d, c, b, a]", &[1, -1, 7]).cloud(&cloud).unwrap().tensor;
        assert_eq!(tensor.shape, [1, 2, 7]);
        let first = [60_000.0, -70_000.0, 70_000.0, -1.0, 200.0, 0.0, -1.0];
        assert_eq!(values(&tensor), [first, [60_000.0, -70_000.0, 70_001.0, -1.0, 201.0, 1.0, -101.0]].concat());
    }

    #[test]
    fn rows_with_padding_and_points_without_measurement_are_read_as_meant() {
        // Two rows of one point and four bytes of padding each.
        let data = [bytes(&[[1.0, 2.0]]), vec![7; 4], bytes(&[[f32::NAN, 4.0]]), vec![7; 4]].concat();
        let padded = Cloud { width: 1, height: 2, row_step: 16, ..cloud(1, &data) };
        assert_eq!(values(&adapter("kind: point_cloud, fields: [x, y]", &[1, -1, 2]).cloud(&padded).unwrap().tensor), [1.0, 2.0]);
        // Only the fields that are taken count.
        assert_eq!(values(&adapter("kind: point_cloud, fields: [y]", &[1, -1, 1]).cloud(&padded).unwrap().tensor), [2.0, 4.0]);
        let kept = adapter("kind: point_cloud, fields: [x, y], drop_invalid: false", &[1, -1, 2]).cloud(&padded).unwrap().tensor;
        assert!(values(&kept)[2].is_nan() && kept.shape == [1, 2, 2]);
        let nothing = adapter("kind: point_cloud, fields: [x, y]", &[1, -1, 2]).cloud(&cloud(0, &[])).unwrap().tensor;
        assert_eq!((nothing.shape.as_slice(), nothing.data), ([1, 0, 2].as_slice(), Data::F32(vec![])));
    }

    #[test]
    fn more_and_fewer_points_than_rows_are_spread_filled_or_refused() {
        let seven: Vec<[f32; 2]> = (0..7).map(|i| [i as f32, 0.0]).collect();
        let (seven, two) = (bytes(&seven), bytes(&[[5.0, 0.0], [6.0, 0.0]]));
        let take = |keys: &str, cloud: &Cloud<'_>| {
            adapter(&format!("kind: point_cloud, fields: [x], points: 3{keys}"), &[1, 3, 1]).cloud(cloud).map(|it| it.tensor)
        };
        let (more, fewer) = (cloud(7, &seven), cloud(2, &two));
        assert_eq!(values(&take("", &more).unwrap()), [0.0, 2.0, 4.0]);
        assert_eq!(values(&take(", when_more: first", &more).unwrap()), [0.0, 1.0, 2.0]);
        assert_eq!(values(&take(", mean: [1]", &fewer).unwrap()), [4.0, 5.0, 0.0], "zeros are the tensor's");
        assert_eq!(values(&take(", when_fewer: repeat", &fewer).unwrap()), [5.0, 6.0, 5.0]);
        for (keys, cloud, want) in [
            (", when_more: refuse", &more, "it has 7 points, and the model takes 3; when_more is refuse"),
            (", when_fewer: refuse", &fewer, "it has 2 points, and the model takes 3; when_fewer is refuse"),
            (", when_fewer: repeat", &self::cloud(0, &[]), "no points that could be repeated"),
        ] {
            let error = take(keys, cloud).unwrap_err().to_string();
            assert!(error.starts_with("point_cloud refused: ") && error.contains(want), "{error}");
        }
    }

    #[test]
    fn clouds_that_contradict_themselves_are_refused_by_name() {
        let data = bytes(&[[1.0, 2.0], [3.0, 4.0]]);
        let good = cloud(2, &data);
        let with = |field: CloudField<'static>| Cloud { fields: vec![field], ..good.clone() };
        for (bad, want) in [
            (with(field("z", 0, FLOAT32)), "it has no field `x`, but z"),
            (with(field("x", 0, 9)), "field `x` has the datatype 9, which is none of 1 (INT8) to 8 (FLOAT64)"),
            (with(CloudField { count: 3, ..field("x", 0, FLOAT32) }), "field `x` has 3 numbers"),
            (with(field("x", 9, FLOAT32)), "field `x` ends at byte 13 of points of 12 bytes"),
            (with(field("x", u32::MAX, FLOAT32)), "ends at byte 4294967299"),
            (Cloud { point_step: 0, row_step: 0, data: &[], ..good.clone() }, "of points of 0 bytes"),
            (Cloud { row_step: 23, ..good.clone() }, "row_step is 23 bytes, but 2 points of 12 bytes need 24"),
            (Cloud { height: 2, ..good.clone() }, "data has 24 bytes, but height x row_step is 2 x 24 = 48"),
            (Cloud { width: u32::MAX, ..good.clone() }, "row_step is 24 bytes, but 4294967295 points"),
        ] {
            let error = adapter("kind: point_cloud, fields: [x]", &[1, -1, 1]).cloud(&bad).unwrap_err().to_string();
            assert!(error.starts_with("point_cloud refused: ") && error.contains(want), "{error}");
        }
        let error = adapter("kind: imu", &[1, 1, 6]).cloud(&good).unwrap_err().to_string();
        assert_eq!(error, "this model takes no point_cloud: edgeflow.yaml describes imu");
    }
}
