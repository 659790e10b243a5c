//! Values as JSON: defaults, and what a user wrote completed and checked.

use super::{Array, Element, FieldDescription, TypeDescription, part};
use crate::error::{Error, Result};
use serde_json::{Map, Number, Value};

impl TypeDescription {
    /// A message with every field at its default.
    #[must_use]
    pub fn default_value(&self) -> Value {
        Value::Object(self.fields.iter().map(|f| (f.name.to_string(), f.default_value())).collect())
    }

    /// `value` with defaults for the fields it lacks, and every number and string in the form
    /// [`TypeDescription::decode`] gives it. `null` stands for nothing given.
    ///
    /// # Errors
    /// [`Error::Value`] with the path of an unknown field or of a value that does not fit.
    pub fn complete(&self, value: &Value) -> Result<Value> {
        self.complete_at(value, self.name)
    }

    fn complete_at(&self, value: &Value, path: &str) -> Result<Value> {
        let given = match value {
            Value::Null => return Ok(self.default_value()),
            Value::Object(given) => given,
            other => return Err(fail(path, format!("must be a map of the fields of {}, got {other}", self.name))),
        };
        if let Some(unknown) = given.keys().find(|key| !self.fields.iter().any(|f| f.name == *key)) {
            let known: Vec<_> = self.fields.iter().map(|f| f.name).collect();
            let known = if known.is_empty() { "no fields".to_string() } else { format!("the fields {}", known.join(", ")) };
            return Err(fail(path, format!("there is no field \"{unknown}\": {} has {known}", self.name)));
        }
        let mut complete = Map::new();
        for field in self.fields {
            let value = match given.get(field.name) {
                Some(value) => field.complete(value, &format!("{path}.{}", field.name))?,
                None => field.default_value(),
            };
            complete.insert(field.name.to_string(), value);
        }
        Ok(Value::Object(complete))
    }
}

impl FieldDescription {
    fn default_value(&self) -> Value {
        if let Some(default) = self.default.and_then(|text| serde_json::from_str(text).ok()) {
            // A float's default may be written as an integer.
            return self.complete(&default, self.name).unwrap_or(default);
        }
        match self.array {
            Array::Single => self.ty.default_value(),
            Array::Fixed(n) => Value::Array(vec![self.ty.default_value(); n]),
            Array::Bounded(_) | Array::Unbounded => Value::Array(Vec::new()),
        }
    }

    pub(super) fn complete(&self, value: &Value, path: &str) -> Result<Value> {
        if self.array == Array::Single {
            return self.element(value, path);
        }
        let items = value.as_array().ok_or_else(|| fail(path, format!("must be a list, got {value}")))?;
        match self.array {
            Array::Fixed(n) if items.len() != n => return Err(fail(path, format!("must have exactly {n} elements, got {}", items.len()))),
            Array::Bounded(n) if items.len() > n => return Err(fail(path, format!("must have at most {n} elements, got {}", items.len()))),
            _ => {}
        }
        items.iter().enumerate().map(|(i, item)| self.element(item, &format!("{path}[{i}]"))).collect::<Result<_>>().map(Value::Array)
    }

    fn element(&self, value: &Value, path: &str) -> Result<Value> {
        let value = self.ty.complete(value, path)?;
        match (self.string_bound, value.as_str()) {
            (Some(bound), Some(text)) if text.len() > bound => {
                Err(fail(path, format!("must have at most {bound} bytes, got {}", text.len())))
            }
            _ => Ok(value),
        }
    }
}

impl Element {
    fn default_value(self) -> Value {
        match self {
            Self::Bool => Value::Bool(false),
            Self::Float32 | Self::Float64 => Value::from(0.0),
            Self::String => Value::String(String::new()),
            Self::Message(name) => part(name).default_value(),
            _ => Value::from(0),
        }
    }

    fn complete(self, value: &Value, path: &str) -> Result<Value> {
        let wrong = || fail(path, format!("must be a {}, got {value}", self.name()));
        match self {
            Self::Message(name) => part(name).complete_at(value, path),
            Self::Bool => value.is_boolean().then(|| value.clone()).ok_or_else(wrong),
            Self::String => value.is_string().then(|| value.clone()).ok_or_else(wrong),
            Self::Float32 | Self::Float64 => float(value).map(to_json).ok_or_else(wrong),
            _ => {
                let (low, high) = self.range();
                let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)).ok_or_else(wrong)?;
                if (low..=high).contains(&integer) {
                    Ok(value.clone())
                } else {
                    Err(fail(path, format!("must be {low} to {high} ({}), got {value}", self.name())))
                }
            }
        }
    }

    /// Least and greatest value of an integer.
    fn range(self) -> (i128, i128) {
        match self {
            Self::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Self::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Self::Uint16 => (0, u16::MAX.into()),
            Self::Int32 => (i32::MIN.into(), i32::MAX.into()),
            Self::Uint32 => (0, u32::MAX.into()),
            Self::Int64 => (i64::MIN.into(), i64::MAX.into()),
            Self::Uint64 => (0, u64::MAX.into()),
            _ => (0, u8::MAX.into()),
        }
    }
}

/// A float as a number or spelled out, as in YAML or as Python prints it.
pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => match text.to_lowercase().as_str() {
            ".nan" | "nan" => Some(f64::NAN),
            ".inf" | "+.inf" | "inf" => Some(f64::INFINITY),
            "-.inf" | "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }
}

pub(super) fn to_json(float: f64) -> Value {
    let spelled = if float.is_nan() {
        ".nan"
    } else if float > 0.0 {
        ".inf"
    } else {
        "-.inf"
    };
    Number::from_f64(float).map_or_else(|| Value::String(spelled.into()), Value::Number)
}

pub(super) fn fail(path: &str, reason: String) -> Error {
    Error::Value { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::super::message;
    use serde_json::json;

    #[test]
    fn missing_fields_get_their_defaults() {
        let header = message("std_msgs/msg/Header").unwrap();
        let complete = header.complete(&json!({"stamp": {"sec": 7}})).unwrap();
        assert_eq!(complete, json!({"stamp": {"sec": 7, "nanosec": 0}, "frame_id": ""}));
        assert_eq!(message("geometry_msgs/Quaternion").unwrap().default_value(), json!({"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}));
        assert_eq!(header.complete(&json!(null)).unwrap(), header.default_value());
    }

    #[test]
    fn values_that_do_not_fit_are_named_with_their_path() {
        let image = message("sensor_msgs/msg/Image").unwrap();
        for (value, path, reason) in [
            (json!({"hight": 1}), "sensor_msgs/msg/Image", "no field \"hight\": sensor_msgs/msg/Image has the fields header, height"),
            (json!({"header": {"stamp": {"sec": "x"}}}), "Image.header.stamp.sec", "must be a int32"),
            (json!({"height": -1}), "Image.height", "0 to 4294967295"),
            (json!({"data": [1, 256]}), "Image.data[1]", "0 to 255"),
            (json!({"data": 3}), "Image.data", "must be a list"),
            (json!([1]), "Image", "must be a map"),
        ] {
            let error = image.complete(&value).unwrap_err().to_string();
            assert!(error.contains(path) && error.contains(reason), "{error}");
        }
        let uuid = message("unique_identifier_msgs/msg/UUID").unwrap();
        assert!(uuid.complete(&json!({"uuid": [1]})).unwrap_err().to_string().contains("exactly 16 elements"));
    }

    #[test]
    fn what_json_lacks_is_spelled_out() {
        let point = message("geometry_msgs/msg/Point").unwrap();
        let complete = point.complete(&json!({"x": ".nan", "y": "-.inf", "z": 3})).unwrap();
        assert_eq!(complete, json!({"x": ".nan", "y": "-.inf", "z": 3.0}));
    }

    #[test]
    fn unknown_types_come_with_similar_names() {
        assert!(message("std_msgs/msg/Strin").unwrap_err().to_string().contains("did you mean std_msgs/msg/String"));
        assert!(message("").unwrap_err().to_string().contains("write package/kind/Type"));
        assert!(super::super::service("std_srvs/srv/Triger").is_err());
    }
}
