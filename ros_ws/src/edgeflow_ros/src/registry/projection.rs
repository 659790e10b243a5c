//! Single values out of a CDR body, without decoding the rest: what lies before them is stepped over, what lies behind is
//! not looked at. A camera's frame is as cheap as its header.

use super::{Array, Element, FieldDescription, TypeDescription, part};
use crate::error::{Error, Result};

/// One step on the way to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Into the field of this name.
    Field(&'a str),
    /// To this element of an array, from 0.
    At(usize),
    /// To every element of an array.
    Every,
}

/// A value that is no message and no array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// `bool`.
    Bool(bool),
    /// `int8` to `int64`.
    Int(i64),
    /// `uint8` to `uint64`, `byte` and `char`.
    Uint(u64),
    /// `float32`.
    Single(f32),
    /// `float64`.
    Double(f64),
    /// `string`.
    Text(&'a str),
}

/// The way to the values of one field of a type.
#[derive(Clone, Debug)]
pub struct Projection {
    type_name: &'static str,
    hops: Vec<Hop>,
    element: Element,
    owner: &'static TypeDescription,
    name: &'static str,
}

#[derive(Clone, Debug)]
struct Hop {
    /// The fields of the message before the one that is wanted.
    before: Vec<Skip>,
    field: &'static FieldDescription,
    /// One element of the field, where it is an array.
    over: Vec<Skip>,
    index: Index,
}

/// What is stepped over. Types are looked up when the way is made, not for every message.
#[derive(Clone, Debug)]
enum Skip {
    /// So many primitives of so many octets.
    Primitives { size: usize, count: usize },
    /// A length and so many primitives of so many octets; a string too, which is a length and its octets.
    Sequence { size: usize },
    /// Something so many times.
    Times(usize, Vec<Skip>),
    /// A length, and something so many times.
    Each(Vec<Skip>),
}

impl Skip {
    /// All of these fields.
    fn fields(fields: &[FieldDescription]) -> Vec<Self> {
        let mut all = Vec::new();
        for field in fields {
            let count = match field.array {
                Array::Single => Some(1),
                Array::Fixed(count) => Some(count),
                Array::Bounded(_) | Array::Unbounded => None,
            };
            match (count, size(field.ty)) {
                (Some(count), Some(size)) => all.push(Self::Primitives { size, count }),
                (None, Some(size)) => all.push(Self::Sequence { size }),
                (Some(1), None) => all.extend(Self::element(field.ty)),
                (Some(count), None) => all.push(Self::Times(count, Self::element(field.ty))),
                (None, None) => all.push(Self::Each(Self::element(field.ty))),
            }
        }
        all
    }

    /// One value of this type.
    fn element(element: Element) -> Vec<Self> {
        match (element, size(element)) {
            (_, Some(size)) => vec![Self::Primitives { size, count: 1 }],
            (Element::Message(name), None) => match part(name).fields {
                // An empty message is one octet.
                [] => vec![Self::Primitives { size: 1, count: 1 }],
                fields => Self::fields(fields),
            },
            (_, None) => vec![Self::Sequence { size: 1 }],
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Index {
    None,
    At(usize),
    Every,
}

impl Projection {
    /// The way along `steps` through a message of type `ty`.
    ///
    /// # Errors
    /// [`Error::Value`] with the place: a field there is not, an index where there is no array or none where there is one,
    /// an end that is no single value.
    pub fn new(ty: &'static TypeDescription, steps: &[Step<'_>]) -> Result<Self> {
        let fail = |path: &str, reason: String| Error::Value { path: path.into(), reason };
        let mut path = ty.name.to_owned();
        let mut owner = ty;
        let mut hops: Vec<Hop> = Vec::new();
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            let Step::Field(name) = step else { return Err(fail(&path, "is no array".into())) };
            let Some(at) = owner.fields.iter().position(|field| field.name == *name) else {
                let known: Vec<_> = owner.fields.iter().map(|field| field.name).collect();
                return Err(fail(&path, format!("there is no field \"{name}\": {} has the fields {}", owner.name, known.join(", "))));
            };
            let (before, rest) = owner.fields.split_at(at);
            let Some(field) = rest.first() else { return Err(fail(&path, "has no fields".into())) };
            path = format!("{path}.{name}");
            let index = match steps.peek() {
                Some(Step::At(at)) => Index::At(*at),
                Some(Step::Every) => Index::Every,
                _ => Index::None,
            };
            match (field.array, index) {
                (Array::Single, Index::None) => {}
                (Array::Single, _) => return Err(fail(&path, "is no array".into())),
                (_, Index::None) => return Err(fail(&path, format!("is an array: write {name}[0] for one element or {name}[*] for all"))),
                (Array::Fixed(n) | Array::Bounded(n), Index::At(at)) if at >= n => {
                    return Err(fail(&path, format!("has at most {n} elements, from [0] on: there is no [{at}]")));
                }
                _ => {}
            }
            if !matches!(index, Index::None) {
                steps.next();
            }
            let over = if matches!(index, Index::None) { Vec::new() } else { Skip::element(field.ty) };
            hops.push(Hop { before: Skip::fields(before), field, over, index });
            match (field.ty, steps.peek()) {
                (Element::Message(name), Some(_)) => owner = part(name),
                (Element::Message(name), None) => {
                    let known: Vec<_> = part(name).fields.iter().map(|field| field.name).collect();
                    return Err(fail(&path, format!("is a {name}: name one of its fields {}", known.join(", "))));
                }
                (element, None) => {
                    return Ok(Self { type_name: ty.name, hops, element, owner, name: field.name });
                }
                (element, Some(_)) => return Err(fail(&path, format!("is a {}, which has no parts", element.name()))),
            }
        }
        Err(fail(&path, "name a field".into()))
    }

    /// Type of the values.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Names of the values that the message's definition has: its constants of the same type whose names begin as the field's
    /// does (`POWER_SUPPLY_STATUS_FULL` for `power_supply_status`), or else all of the same type if no two have the same value.
    #[must_use]
    pub fn constants(&self) -> Vec<(i128, &'static str)> {
        let of_type = self.owner.constants.iter().filter(|constant| constant.ty == self.element.name());
        let all: Vec<(i128, &'static str)> =
            of_type.filter_map(|constant| Some((constant.value.trim().parse().ok()?, constant.name))).collect();
        let family = format!("{}_", self.name.to_uppercase());
        let of_family: Vec<(i128, &'static str)> =
            all.iter().filter_map(|(value, name)| Some((*value, name.strip_prefix(family.as_str())?))).collect();
        if !of_family.is_empty() {
            return of_family;
        }
        let clear = all.iter().enumerate().all(|(at, (value, _))| all.iter().skip(at + 1).all(|(other, _)| other != value));
        if clear { all } else { Vec::new() }
    }

    /// Gives each value in a CDR body to `sink`, in order; none where an array is too short.
    ///
    /// # Errors
    /// [`Error::Decode`] for a body that is cut short or not of the type.
    pub fn read<'a>(&self, body: &'a [u8], sink: &mut dyn FnMut(Scalar<'a>)) -> Result<()> {
        let mut cursor = Cursor { body, position: 0 };
        cursor
            .walk(&self.hops, sink)
            .map_err(|reason| Error::Decode { type_name: self.type_name.into(), reason: format!("{reason} at octet {}", cursor.position) })
    }
}

struct Cursor<'a> {
    body: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn walk(&mut self, hops: &[Hop], sink: &mut dyn FnMut(Scalar<'a>)) -> Result<(), &'static str> {
        let Some((hop, rest)) = hops.split_first() else { return Ok(()) };
        self.skip(&hop.before)?;
        let length = match hop.field.array {
            Array::Single => 1,
            Array::Fixed(n) => n,
            Array::Bounded(_) | Array::Unbounded => self.length()?,
        };
        match hop.index {
            Index::None => self.enter(hop.field.ty, rest, sink),
            Index::At(at) if at < length => {
                self.times(at, &hop.over)?;
                self.enter(hop.field.ty, rest, sink)
            }
            Index::At(_) => Ok(()),
            Index::Every => {
                for _ in 0..length {
                    let begin = self.position;
                    self.enter(hop.field.ty, rest, sink)?;
                    if !rest.is_empty() {
                        self.position = begin;
                        self.skip(&hop.over)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn enter(&mut self, element: Element, rest: &[Hop], sink: &mut dyn FnMut(Scalar<'a>)) -> Result<(), &'static str> {
        if !rest.is_empty() {
            return self.walk(rest, sink);
        }
        sink(self.scalar(element)?);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let end = self.position.checked_add(count).ok_or("it ends too early")?;
        let bytes = self.body.get(self.position..end).ok_or("it ends too early")?;
        self.position = end;
        Ok(bytes)
    }

    fn get<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.position = self.position.next_multiple_of(N);
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        usize::try_from(u32::from_le_bytes(self.get()?)).map_err(|_| "a length is too large")
    }

    fn skip(&mut self, all: &[Skip]) -> Result<(), &'static str> {
        for one in all {
            match one {
                Skip::Primitives { size, count } => self.primitives(*size, *count)?,
                Skip::Sequence { size } => {
                    let length = self.length()?;
                    self.primitives(*size, length)?;
                }
                Skip::Times(count, each) => self.times(*count, each)?,
                Skip::Each(each) => {
                    let length = self.length()?;
                    self.times(length, each)?;
                }
            }
        }
        Ok(())
    }

    fn times(&mut self, count: usize, each: &[Skip]) -> Result<(), &'static str> {
        match each {
            [Skip::Primitives { size, count: 1 }] => self.primitives(*size, count),
            each => (0..count).try_for_each(|_| self.skip(each)),
        }
    }

    fn primitives(&mut self, size: usize, count: usize) -> Result<(), &'static str> {
        // Nothing is not even aligned.
        if count == 0 {
            return Ok(());
        }
        self.position = self.position.next_multiple_of(size);
        self.take(size.checked_mul(count).ok_or("a length is too large")?).map(drop)
    }

    fn scalar(&mut self, element: Element) -> Result<Scalar<'a>, &'static str> {
        Ok(match element {
            Element::Bool => match self.get::<1>()? {
                [0] => Scalar::Bool(false),
                [1] => Scalar::Bool(true),
                _ => return Err("a bool is neither 0 nor 1"),
            },
            Element::Byte | Element::Char | Element::Uint8 => Scalar::Uint(u8::from_le_bytes(self.get()?).into()),
            Element::Int8 => Scalar::Int(i8::from_le_bytes(self.get()?).into()),
            Element::Int16 => Scalar::Int(i16::from_le_bytes(self.get()?).into()),
            Element::Uint16 => Scalar::Uint(u16::from_le_bytes(self.get()?).into()),
            Element::Int32 => Scalar::Int(i32::from_le_bytes(self.get()?).into()),
            Element::Uint32 => Scalar::Uint(u32::from_le_bytes(self.get()?).into()),
            Element::Int64 => Scalar::Int(i64::from_le_bytes(self.get()?)),
            Element::Uint64 => Scalar::Uint(u64::from_le_bytes(self.get()?)),
            Element::Float32 => Scalar::Single(f32::from_le_bytes(self.get()?)),
            Element::Float64 => Scalar::Double(f64::from_le_bytes(self.get()?)),
            Element::String => {
                let length = self.length()?;
                let bytes = self.take(length)?;
                Scalar::Text(std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).map_err(|_| "a string is not UTF-8")?)
            }
            Element::Message(_) => return Err("a message is no single value"),
        })
    }
}

/// Octets of a primitive; none for what has no fixed size.
fn size(element: Element) -> Option<usize> {
    Some(match element {
        Element::Bool | Element::Byte | Element::Char | Element::Int8 | Element::Uint8 => 1,
        Element::Int16 | Element::Uint16 => 2,
        Element::Int32 | Element::Uint32 | Element::Float32 => 4,
        Element::Int64 | Element::Uint64 | Element::Float64 => 8,
        Element::String | Element::Message(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::message;
    use serde_json::{Value, json};

    fn steps(path: &str) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        for word in path.split('.') {
            let mut pieces = word.split(['[', ']']).filter(|piece| !piece.is_empty());
            steps.push(Step::Field(pieces.next().unwrap()));
            steps.extend(pieces.map(|piece| if piece == "*" { Step::Every } else { Step::At(piece.parse().unwrap()) }));
        }
        steps
    }

    fn read(ty: &str, value: &Value, path: &str) -> Vec<String> {
        let ty = message(ty).unwrap();
        let body = ty.encode(&ty.complete(value).unwrap()).unwrap();
        let mut found = Vec::new();
        Projection::new(ty, &steps(path)).unwrap().read(&body, &mut |scalar| found.push(format!("{scalar:?}"))).unwrap();
        found
    }

    #[test]
    fn values_are_found_wherever_they_lie() {
        let odometry = json!({"header": {"frame_id": "odd"}, "child_frame_id": "x", "pose": {"pose": {"position": {"y": 2.5}}, "covariance": vec![1.5; 36]},
            "twist": {"twist": {"angular": {"z": -0.5}}}});
        assert_eq!(read("nav_msgs/msg/Odometry", &odometry, "pose.pose.position.y"), ["Double(2.5)"]);
        assert_eq!(read("nav_msgs/msg/Odometry", &odometry, "pose.covariance[35]"), ["Double(1.5)"]);
        assert_eq!(read("nav_msgs/msg/Odometry", &odometry, "twist.twist.angular.z"), ["Double(-0.5)"]);
        assert_eq!(read("nav_msgs/msg/Odometry", &odometry, "header.frame_id"), ["Text(\"odd\")"]);
        let scan = json!({"header": {"frame_id": "a"}, "ranges": [0.5, ".inf"], "intensities": [7.0]});
        assert_eq!(read("sensor_msgs/msg/LaserScan", &scan, "ranges[*]"), ["Single(0.5)", "Single(inf)"]);
        assert_eq!(read("sensor_msgs/msg/LaserScan", &scan, "ranges[2]"), Vec::<String>::new(), "beyond the end is no value");
        assert_eq!(read("sensor_msgs/msg/LaserScan", &scan, "intensities[0]"), ["Single(7.0)"]);
        let status = |name: &str, level: u8| json!({"name": name, "level": level, "values": [{"key": name, "value": "v"}, {"key": "k"}]});
        let array = json!({"status": [status("a", 0), status("longer", 2)]});
        assert_eq!(read("diagnostic_msgs/msg/DiagnosticArray", &array, "status[*].level"), ["Uint(0)", "Uint(2)"]);
        assert_eq!(read("diagnostic_msgs/msg/DiagnosticArray", &array, "status[1].values[0].key"), ["Text(\"longer\")"]);
        assert_eq!(read("diagnostic_msgs/msg/DiagnosticArray", &array, "status[*].values[*].key").len(), 4);
    }

    #[test]
    fn every_primitive_of_every_type_reads_as_the_whole_value_does() {
        for name in crate::registry::messages() {
            let ty = message(name).unwrap();
            let value = ty.default_value();
            let body = ty.encode(&value).unwrap();
            for field in ty.fields.iter().filter(|field| field.array == Array::Single && !matches!(field.ty, Element::Message(_))) {
                let mut found = None;
                let projection = Projection::new(ty, &[Step::Field(field.name)]).unwrap();
                projection.read(&body, &mut |scalar| found = Some(format!("{scalar:?}"))).unwrap();
                let expected = match &value[field.name] {
                    Value::Bool(value) => format!("Bool({value})"),
                    Value::String(text) if field.ty == Element::String => format!("Text({text:?})"),
                    number => number.to_string(),
                };
                let found = found.unwrap();
                assert!(found == expected || found.contains(&format!("({expected})")), "{name}.{}: {found}, not {expected}", field.name);
            }
        }
    }

    #[test]
    fn ways_that_lead_nowhere_are_named() {
        let odometry = message("nav_msgs/msg/Odometry").unwrap();
        for (path, reason) in [
            ("pose.pose.positon.x", "no field \"positon\": geometry_msgs/msg/Pose has the fields position, orientation"),
            ("pose.pose.position", "name one of its fields x, y, z"),
            ("pose.covariance", "write covariance[0]"),
            ("pose.covariance[36]", "there is no [36]"),
            ("child_frame_id[0]", "is no array"),
            ("child_frame_id.x", "is a string, which has no parts"),
        ] {
            let error = Projection::new(odometry, &steps(path)).unwrap_err().to_string();
            assert!(error.contains(reason) && error.starts_with("nav_msgs/msg/Odometry"), "{path}: {error}");
        }
        assert!(Projection::new(odometry, &[]).is_err() && Projection::new(odometry, &[Step::Every]).is_err());
    }

    #[test]
    fn a_body_cut_anywhere_is_an_error_and_never_a_panic() {
        let ty = message("diagnostic_msgs/msg/DiagnosticArray").unwrap();
        let value = json!({"status": [{"name": "a", "values": [{"key": "k", "value": "v"}]}]});
        let body = ty.encode(&ty.complete(&value).unwrap()).unwrap();
        let projection = Projection::new(ty, &steps("status[*].values[*].value")).unwrap();
        for cut in 0..body.len() {
            assert!(projection.read(&body[..cut], &mut |_| ()).is_err(), "cut at {cut}");
        }
        // A false length neither runs for ever nor takes memory.
        let mut wrong = body.clone();
        wrong[16..20].fill(0xff);
        assert!(projection.read(&wrong, &mut |_| ()).is_err());
    }

    #[test]
    fn states_have_the_names_of_the_definition() {
        let of = |ty: &str, path: &str| Projection::new(message(ty).unwrap(), &steps(path)).unwrap().constants();
        let levels = of("diagnostic_msgs/msg/DiagnosticArray", "status[*].level");
        assert!(levels.contains(&(0, "OK")) && levels.contains(&(2, "ERROR")), "{levels:?}");
        let supply = of("sensor_msgs/msg/BatteryState", "power_supply_status");
        assert!(supply.contains(&(1, "CHARGING")) && supply.iter().all(|(_, name)| !name.contains("HEALTH")), "{supply:?}");
        assert!(of("sensor_msgs/msg/BatteryState", "percentage").is_empty());
    }
}
