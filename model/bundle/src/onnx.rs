//! Reads the schema out of an ONNX protobuf that streams by.
//!
//! A model is mostly weights. They are stepped over field by field; only names and small messages (types, operator
//! sets, metadata) are held and decoded, so that a model of gigabytes needs kilobytes, and one pass can hash it too.
//! Field numbers are those of `onnx/onnx.proto3`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};

use prost::Message;

use crate::{ElemType, Error, OnnxSchema, Result, ValueInfo, ValueKind};

/// No name, type or metadata entry is larger; a length beyond it is damage.
const MAX_HELD_BYTES: u64 = 1 << 20;

pub(crate) fn read_schema(reader: impl Read) -> Result<OnnxSchema> {
    read_buffered(BufReader::with_capacity(1 << 16, reader))
}

fn read_buffered(reader: impl BufRead) -> Result<OnnxSchema> {
    let mut wire = Wire::new(reader);
    let mut ir_version = None;
    let mut graph = None;
    let mut schema = OnnxSchema {
        inputs: Vec::new(),
        outputs: Vec::new(),
        opset: 0,
        domains: Vec::new(),
        producer: String::new(),
        producer_version: String::new(),
        ir_version: 0,
        metadata: Vec::new(),
    };
    let mut operator_sets = 0;
    while let Some(field) = wire.next_field(u64::MAX, "model")? {
        match (field.number, field.kind) {
            (1, Kind::Varint(version)) => ir_version = Some(version.cast_signed()),
            (2, Kind::Bytes(len)) => schema.producer = wire.text(len, "producer_name")?,
            (3, Kind::Bytes(len)) => schema.producer_version = wire.text(len, "producer_version")?,
            (7, Kind::Bytes(len)) => {
                if graph.is_some() {
                    return Err(damaged("it holds two graphs"));
                }
                graph = Some(read_graph(&mut wire, len)?);
            }
            (8, Kind::Bytes(len)) => {
                let set: OperatorSetId = wire.message(len, "opset_import")?;
                operator_sets += 1;
                if set.domain.is_empty() || set.domain == "ai.onnx" {
                    schema.opset = set.version;
                } else {
                    schema.domains.push((set.domain, set.version));
                }
            }
            (14, Kind::Bytes(len)) => {
                let entry: StringStringEntry = wire.message(len, "metadata_props")?;
                schema.metadata.push((entry.key, entry.value));
            }
            (_, kind) => wire.skip_kind(kind, "model")?,
        }
    }
    if wire.position == 0 {
        return Err(damaged("it is empty"));
    }
    schema.ir_version = ir_version.ok_or_else(|| damaged("it names no format version (ir_version)"))?;
    let graph = graph.ok_or_else(|| damaged("it holds no graph; it may be cut short"))?;
    if operator_sets == 0 {
        return Err(damaged("it names no operator set (opset_import); it may be cut short"));
    }
    if graph.outputs.is_empty() {
        return Err(damaged("its graph has no output"));
    }
    // Until format version 4 initialisers were listed among the inputs; nobody feeds those.
    schema.inputs = graph.inputs.into_iter().filter(|input| !graph.initialisers.contains(&input.name)).collect();
    schema.outputs = graph.outputs;
    Ok(schema)
}

struct Graph {
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
    initialisers: HashSet<String>,
}

fn read_graph(wire: &mut Wire<impl BufRead>, len: u64) -> Result<Graph> {
    let end = wire.position.saturating_add(len);
    let mut graph = Graph { inputs: Vec::new(), outputs: Vec::new(), initialisers: HashSet::new() };
    while let Some(field) = wire.next_field(end, "graph")? {
        match (field.number, field.kind) {
            (5, Kind::Bytes(len)) => {
                graph.initialisers.extend(read_initialiser(wire, len)?);
            }
            (11, Kind::Bytes(len)) => graph.inputs.push(value_info(wire.message(len, "graph.input")?, "input")?),
            (12, Kind::Bytes(len)) => graph.outputs.push(value_info(wire.message(len, "graph.output")?, "output")?),
            (15, Kind::Bytes(len)) => {
                let end = wire.position.saturating_add(len);
                while let Some(field) = wire.next_field(end, "graph.sparse_initializer")? {
                    match (field.number, field.kind) {
                        (1, Kind::Bytes(len)) => graph.initialisers.extend(read_initialiser(wire, len)?),
                        (_, kind) => wire.skip_kind(kind, "graph.sparse_initializer")?,
                    }
                }
            }
            (_, kind) => wire.skip_kind(kind, "graph")?,
        }
    }
    Ok(graph)
}

/// The name of a weight tensor, everything else stepped over.
fn read_initialiser(wire: &mut Wire<impl BufRead>, len: u64) -> Result<Option<String>> {
    const WHERE: &str = "graph.initializer";
    let end = wire.position.saturating_add(len);
    let mut name = None;
    let mut external = false;
    while let Some(field) = wire.next_field(end, WHERE)? {
        match (field.number, field.kind) {
            (8, Kind::Bytes(len)) => name = Some(wire.text(len, WHERE)?),
            (13, Kind::Bytes(len)) => {
                external = true;
                wire.skip(len, WHERE)?;
            }
            (_, kind) => wire.skip_kind(kind, WHERE)?,
        }
    }
    if external {
        let name = name.unwrap_or_default();
        return Err(damaged(format!(
            "its weights {name:?} are in another file, which a bundle cannot hold (save it with all weights inside)"
        )));
    }
    Ok(name)
}

fn value_info(proto: ValueInfoProto, role: &str) -> Result<ValueInfo> {
    if proto.name.is_empty() {
        return Err(damaged(format!("an {role} of its graph has no name")));
    }
    let name = proto.name;
    let Some(value) = proto.r#type.and_then(|t| t.value) else {
        return Err(damaged(format!("{role} {name:?} of its graph has no type")));
    };
    let kind = match &value {
        TypeValue::Tensor(_) => ValueKind::Tensor,
        TypeValue::SparseTensor(_) => ValueKind::SparseTensor,
        TypeValue::Sequence(_) => ValueKind::Sequence,
        TypeValue::Map(_) => ValueKind::Map,
        TypeValue::Optional(_) => ValueKind::Optional,
    };
    let code = element_code(&value);
    let elem_type = ElemType::from_code(code)
        .ok_or_else(|| damaged(format!("{role} {name:?} of its graph has element type {code}, which this version does not know")))?;
    let shape = match value {
        TypeValue::Tensor(tensor) | TypeValue::SparseTensor(tensor) => tensor.shape,
        _ => None,
    };
    let rank_known = shape.is_some();
    let shape = shape.map_or_else(Vec::new, |shape| shape.dim.into_iter().map(Dimension::length).collect());
    Ok(ValueInfo { name, kind, elem_type, shape, rank_known })
}

fn element_code(value: &TypeValue) -> i32 {
    let inner = match value {
        TypeValue::Tensor(tensor) | TypeValue::SparseTensor(tensor) => return tensor.elem_type,
        TypeValue::Sequence(wrapper) | TypeValue::Optional(wrapper) => &wrapper.elem_type,
        TypeValue::Map(map) => &map.value_type,
    };
    inner.as_ref().and_then(|t| t.value.as_ref()).map_or(0, element_code)
}

fn damaged(message: impl Into<String>) -> Error {
    Error::Onnx { message: message.into() }
}

/// A protobuf stream, read field by field.
pub(crate) struct Wire<R> {
    reader: R,
    position: u64,
}

pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Varint(u64),
    /// That many bytes follow.
    Bytes(u64),
}

impl<R: BufRead> Wire<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, position: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Head of the next field of a message that ends at `end` (`u64::MAX`: with the stream); `None` at its end.
    pub(crate) fn next_field(&mut self, end: u64, place: &str) -> Result<Option<Field>> {
        if self.position == end || (end == u64::MAX && self.at_end()?) {
            return Ok(None);
        }
        let tag = self.varint(place)?;
        let kind = match tag & 7 {
            0 => Kind::Varint(self.varint(place)?),
            1 => Kind::Bytes(8),
            2 => Kind::Bytes(self.varint(place)?),
            5 => Kind::Bytes(4),
            other => return Err(damaged(format!("byte {} in {place} is no protobuf (wire type {other})", self.position))),
        };
        let length = if let Kind::Bytes(len) = kind { len } else { 0 };
        if self.position.checked_add(length).is_none_or(|after| after > end) {
            return Err(damaged(format!("a field of {place} at byte {} is longer than what holds it", self.position)));
        }
        Ok(Some(Field { number: tag >> 3, kind }))
    }

    fn fill(&mut self) -> Result<&[u8]> {
        let position = self.position;
        self.reader.fill_buf().map_err(|error| damaged(format!("reading stopped at byte {position}: {error}")))
    }

    fn at_end(&mut self) -> Result<bool> {
        Ok(self.fill()?.is_empty())
    }

    fn cut(&self, place: &str) -> Error {
        damaged(format!("it is cut short: it ends after {} bytes, inside {place}", self.position))
    }

    fn varint(&mut self, place: &str) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.fill()?.first() else { return Err(self.cut(place)) };
            self.reader.consume(1);
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged(format!("byte {} in {place} is no protobuf (endless number)", self.position)))
    }

    fn skip(&mut self, len: u64, place: &str) -> Result<()> {
        let mut left = len;
        while left > 0 {
            let available = self.fill()?.len() as u64;
            if available == 0 {
                return Err(self.cut(place));
            }
            let step = available.min(left);
            // At most the length of a buffer in memory, hence a usize.
            self.reader.consume(step as usize);
            self.position += step;
            left -= step;
        }
        Ok(())
    }

    pub(crate) fn skip_kind(&mut self, kind: Kind, place: &str) -> Result<()> {
        match kind {
            Kind::Varint(_) => Ok(()),
            Kind::Bytes(len) => self.skip(len, place),
        }
    }

    pub(crate) fn held(&mut self, len: u64, place: &str) -> Result<Vec<u8>> {
        if len > MAX_HELD_BYTES {
            return Err(damaged(format!("{place} at byte {} claims {len} bytes, more than it can sensibly have", self.position)));
        }
        let mut bytes = Vec::new();
        let position = self.position;
        (&mut self.reader)
            .take(len)
            .read_to_end(&mut bytes)
            .map_err(|error| damaged(format!("reading stopped at byte {position}: {error}")))?;
        self.position += bytes.len() as u64;
        if (bytes.len() as u64) < len {
            return Err(self.cut(place));
        }
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, len: u64, place: &str) -> Result<String> {
        let position = self.position;
        String::from_utf8(self.held(len, place)?).map_err(|_| damaged(format!("{place} at byte {position} is not UTF-8")))
    }

    pub(crate) fn message<M: Message + Default>(&mut self, len: u64, place: &str) -> Result<M> {
        let position = self.position;
        let bytes = self.held(len, place)?;
        M::decode(&bytes[..]).map_err(|error| damaged(format!("{place} at byte {position}: {error}")))
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

impl ValueInfoProto {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions, `None` where one is open; `None` as a whole when it is no tensor or has any number of them.
    pub(crate) fn lengths(&self) -> Option<Vec<Option<i64>>> {
        match self.r#type.as_ref()?.value.as_ref()? {
            TypeValue::Tensor(tensor) => tensor.shape.clone().map(|shape| shape.dim.into_iter().map(Dimension::length).collect()),
            _ => None,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(oneof = "TypeValue", tags = "1, 4, 5, 8, 9")]
    value: Option<TypeValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum TypeValue {
    #[prost(message, tag = "1")]
    Tensor(TensorType),
    #[prost(message, tag = "4")]
    Sequence(Box<WrapperType>),
    #[prost(message, tag = "5")]
    Map(Box<MapType>),
    #[prost(message, tag = "8")]
    SparseTensor(TensorType),
    #[prost(message, tag = "9")]
    Optional(Box<WrapperType>),
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
}

/// `TypeProto.Sequence` and `TypeProto.Optional`, which look the same.
#[derive(Clone, PartialEq, Message)]
struct WrapperType {
    #[prost(message, optional, boxed, tag = "1")]
    elem_type: Option<Box<TypeProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct MapType {
    #[prost(int32, tag = "1")]
    key_type: i32,
    #[prost(message, optional, boxed, tag = "2")]
    value_type: Option<Box<TypeProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    value: Option<DimensionValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum DimensionValue {
    #[prost(int64, tag = "1")]
    Length(i64),
    #[prost(string, tag = "2")]
    Name(String),
}

impl Dimension {
    /// Its length, where the graph fixes one.
    fn length(self) -> Option<i64> {
        match self.value {
            Some(DimensionValue::Length(length)) if length >= 0 => Some(length),
            _ => None,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetId {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}
