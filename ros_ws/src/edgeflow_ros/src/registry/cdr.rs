//! Values to CDR and back by description alone: little-endian, each primitive aligned to its size
//! from the start of the body, strings with their length and a final zero octet.

use super::{Array, Element, FieldDescription, TypeDescription, part, value};
use crate::error::{Error, Result};
use serde_json::{Map, Value};

impl TypeDescription {
    /// The CDR body of a complete value (see [`TypeDescription::complete`]).
    ///
    /// # Errors
    /// [`Error::Value`] for a field that is missing or does not fit.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>> {
        let mut writer = Writer(Vec::new());
        writer.message(self, value, self.name)?;
        Ok(writer.0)
    }

    /// The value in a CDR body.
    ///
    /// # Errors
    /// [`Error::Decode`] for a body that is cut short or not of this type.
    pub fn decode(&self, body: &[u8]) -> Result<Value> {
        let mut reader = Reader { body, position: 0 };
        reader
            .message(self)
            .map_err(|reason| Error::Decode { type_name: self.name.into(), reason: format!("{reason} at octet {}", reader.position) })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.resize(self.0.len().next_multiple_of(N), 0);
        self.0.extend_from_slice(&bytes);
    }

    fn length(&mut self, length: usize, path: &str) -> Result<()> {
        let length = u32::try_from(length).map_err(|_| value::fail(path, format!("{length} is too long for the wire")))?;
        self.put(length.to_le_bytes());
        Ok(())
    }

    fn message(&mut self, ty: &TypeDescription, value: &Value, path: &str) -> Result<()> {
        if ty.fields.is_empty() {
            self.put([0]);
        }
        for field in ty.fields {
            let path = format!("{path}.{}", field.name);
            let value = value.get(field.name).ok_or_else(|| value::fail(&path, "is missing".into()))?;
            self.field(field, value, &path)?;
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescription, value: &Value, path: &str) -> Result<()> {
        if field.array == Array::Single {
            return self.element(field.ty, value, path);
        }
        let items = value.as_array().ok_or_else(|| value::fail(path, "must be a list".into()))?;
        match field.array {
            Array::Fixed(n) if items.len() != n => {
                return Err(value::fail(path, format!("must have exactly {n} elements, got {}", items.len())));
            }
            Array::Fixed(_) => {}
            _ => self.length(items.len(), path)?,
        }
        items.iter().try_for_each(|item| self.element(field.ty, item, path))
    }

    fn element(&mut self, ty: Element, value: &Value, path: &str) -> Result<()> {
        let wrong = || value::fail(path, format!("must be a {}, got {value}", ty.name()));
        let signed = || value.as_i64().ok_or_else(wrong);
        let unsigned = || value.as_u64().ok_or_else(wrong);
        let range = |_: std::num::TryFromIntError| wrong();
        match ty {
            Element::Bool => self.put([u8::from(value.as_bool().ok_or_else(wrong)?)]),
            Element::Byte | Element::Char | Element::Uint8 => self.put(u8::try_from(unsigned()?).map_err(range)?.to_le_bytes()),
            Element::Int8 => self.put(i8::try_from(signed()?).map_err(range)?.to_le_bytes()),
            Element::Int16 => self.put(i16::try_from(signed()?).map_err(range)?.to_le_bytes()),
            Element::Uint16 => self.put(u16::try_from(unsigned()?).map_err(range)?.to_le_bytes()),
            Element::Int32 => self.put(i32::try_from(signed()?).map_err(range)?.to_le_bytes()),
            Element::Uint32 => self.put(u32::try_from(unsigned()?).map_err(range)?.to_le_bytes()),
            Element::Int64 => self.put(signed()?.to_le_bytes()),
            Element::Uint64 => self.put(unsigned()?.to_le_bytes()),
            #[allow(clippy::cast_possible_truncation)]
            Element::Float32 => self.put((value::float(value).ok_or_else(wrong)? as f32).to_le_bytes()),
            Element::Float64 => self.put(value::float(value).ok_or_else(wrong)?.to_le_bytes()),
            Element::String => {
                let text = value.as_str().ok_or_else(wrong)?;
                self.length(text.len() + 1, path)?;
                self.0.extend_from_slice(text.as_bytes());
                self.0.push(0);
            }
            Element::Message(name) => self.message(part(name), value, path)?,
        }
        Ok(())
    }
}

struct Reader<'a> {
    body: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let bytes = self.body.get(self.position..).and_then(|rest| rest.get(..count)).ok_or("it ends too early")?;
        self.position += count;
        Ok(bytes)
    }

    fn get<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.position = self.position.next_multiple_of(N);
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn length(&mut self) -> Result<usize, String> {
        usize::try_from(u32::from_le_bytes(self.get()?)).map_err(|e| e.to_string())
    }

    fn message(&mut self, ty: &TypeDescription) -> Result<Value, String> {
        if ty.fields.is_empty() {
            self.take(1)?;
        }
        let mut fields = Map::new();
        for field in ty.fields {
            let value = self.field(field).map_err(|reason| {
                if reason.starts_with('.') { format!(".{}{reason}", field.name) } else { format!(".{}: {reason}", field.name) }
            })?;
            fields.insert(field.name.to_string(), value);
        }
        Ok(Value::Object(fields))
    }

    fn field(&mut self, field: &FieldDescription) -> Result<Value, String> {
        let length = match field.array {
            Array::Single => return self.element(field.ty),
            Array::Fixed(n) => n,
            Array::Bounded(_) | Array::Unbounded => self.length()?,
        };
        if matches!(field.ty, Element::Byte | Element::Char | Element::Uint8) {
            return Ok(Value::from(self.take(length)?));
        }
        // Every element takes an octet at least, so a false length cannot reserve more than there is.
        if length > self.body.len() - self.position.min(self.body.len()) {
            return Err(format!("{length} elements cannot fit"));
        }
        (0..length).map(|_| self.element(field.ty)).collect::<Result<_, _>>().map(Value::Array)
    }

    fn element(&mut self, ty: Element) -> Result<Value, String> {
        Ok(match ty {
            Element::Bool => match self.get::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(format!("{other} is no bool")),
            },
            Element::Byte | Element::Char | Element::Uint8 => u8::from_le_bytes(self.get()?).into(),
            Element::Int8 => i8::from_le_bytes(self.get()?).into(),
            Element::Int16 => i16::from_le_bytes(self.get()?).into(),
            Element::Uint16 => u16::from_le_bytes(self.get()?).into(),
            Element::Int32 => i32::from_le_bytes(self.get()?).into(),
            Element::Uint32 => u32::from_le_bytes(self.get()?).into(),
            Element::Int64 => i64::from_le_bytes(self.get()?).into(),
            Element::Uint64 => u64::from_le_bytes(self.get()?).into(),
            Element::Float32 => float32(f32::from_le_bytes(self.get()?)),
            Element::Float64 => value::to_json(f64::from_le_bytes(self.get()?)),
            Element::String => {
                let length = self.length()?;
                let bytes = self.take(length)?;
                let text =
                    std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).map_err(|e| format!("a string is not UTF-8: {e}"))?;
                Value::String(text.to_string())
            }
            Element::Message(name) => self.message(part(name))?,
        })
    }
}

/// 0.1 as a float32 is 0.1, not 0.10000000149011612: the shortest decimal that means the same float32.
fn float32(float: f32) -> Value {
    let short = format!("{float}").parse().unwrap_or(f64::from(float));
    value::to_json(if float.is_finite() { short } else { float.into() })
}
