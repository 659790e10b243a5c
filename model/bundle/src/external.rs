//! Weights that an exporter put beside the graph, put back into it.
//!
//! A bundle is one file of a model: exporters split larger ones (`mlflow.onnx` does by default), and a robot must never
//! load a graph with the weights of another. [`whole_model`] says which pieces make the graph whole, so that whoever has the files
//! streams them; only the graph itself is held. Field numbers are those of `onnx/onnx.proto3`.

use crate::{Error, Result};

/// A piece of a model on its way to be whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes of a file beside the graph.
    Weights {
        /// The file, relative to the graph's folder, as the graph calls it.
        file: String,
        /// Where in it they begin.
        offset: u64,
        /// How many.
        length: u64,
    },
}

impl Piece {
    /// How many bytes it is.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Weights { length, .. } => *length,
        }
    }
}

/// No protobuf is larger.
const MAX_MODEL_BYTES: u64 = i32::MAX as u64;
/// Graphs inside of graphs; no exporter makes more.
const MAX_DEPTH: u32 = 64;

/// The pieces that make a graph whole; `None` when all its weights are inside already. `size_of` knows the files beside it.
///
/// # Errors
/// [`Error::Onnx`] when it is no ONNX model, when weights are in a file that is not there or outside of it, or when the whole would be
/// larger than a protobuf can be.
pub fn whole_model(graph: &[u8], size_of: impl Fn(&str) -> Option<u64>) -> Result<Option<Vec<Piece>>> {
    let mut out = Pieces::default();
    rewrite(Message::Model, graph, &size_of, &mut out, 0)?;
    if !out.list.iter().any(|piece| matches!(piece, Piece::Weights { .. })) {
        return Ok(None);
    }
    if out.size_bytes > MAX_MODEL_BYTES {
        return Err(bad(format!("with its weights it has {} bytes, and one ONNX file holds at most {MAX_MODEL_BYTES}", out.size_bytes)));
    }
    Ok(Some(out.list))
}

/// The messages on the way to tensors.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// What a field holds, if tensors can be in it.
    fn field(self, number: u64) -> Option<Message> {
        match (self, number) {
            (Message::Model, 7) | (Message::Attribute, 6 | 11) => Some(Message::Graph),
            (Message::Model, 25) => Some(Message::Function),
            (Message::Graph, 1) | (Message::Function, 7) => Some(Message::Node),
            (Message::Graph, 5) | (Message::Attribute, 5 | 10) | (Message::SparseTensor, 1 | 2) => Some(Message::Tensor),
            (Message::Graph, 15) | (Message::Attribute, 22 | 23) => Some(Message::SparseTensor),
            (Message::Node, 5) => Some(Message::Attribute),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Pieces {
    list: Vec<Piece>,
    size_bytes: u64,
}

impl Pieces {
    fn bytes(&mut self, more: &[u8]) {
        self.size_bytes += more.len() as u64;
        match self.list.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(more),
            _ => self.list.push(Piece::Bytes(more.to_vec())),
        }
    }

    fn append(&mut self, more: Pieces) {
        for piece in more.list {
            match piece {
                Piece::Bytes(bytes) => self.bytes(&bytes),
                weights => {
                    self.size_bytes += weights.size_bytes();
                    self.list.push(weights);
                }
            }
        }
    }

    /// A field that holds `length` bytes begins.
    fn begin(&mut self, number: u64, length: u64) {
        self.bytes(&varint(number << 3 | 2));
        self.bytes(&varint(length));
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::Onnx { message: message.into() }
}

/// One field of a message in memory.
struct Field<'a> {
    number: u64,
    /// All of it, with its tag.
    whole: &'a [u8],
    /// What it holds, if that has a length.
    held: Option<&'a [u8]>,
    /// Its number, if that is what it is.
    value: u64,
}

/// Takes the next field off `bytes`; `None` at the end.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Result<Option<Field<'a>>> {
    let start = *bytes;
    if start.is_empty() {
        return Ok(None);
    }
    let cut = || bad("it is cut short, or is no protobuf");
    let tag = take_varint(bytes).ok_or_else(cut)?;
    let (mut held, mut value) = (None, 0);
    match tag & 7 {
        0 => value = take_varint(bytes).ok_or_else(cut)?,
        1 => *bytes = bytes.get(8..).ok_or_else(cut)?,
        5 => *bytes = bytes.get(4..).ok_or_else(cut)?,
        2 => {
            let length = take_varint(bytes).ok_or_else(cut)?;
            let (taken, rest) = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length)).ok_or_else(cut)?;
            (held, *bytes) = (Some(taken), rest);
        }
        _ => return Err(cut()),
    }
    let whole = start.get(..start.len() - bytes.len()).unwrap_or_default();
    Ok(Some(Field { number: tag >> 3, whole, held, value }))
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn rewrite(message: Message, mut bytes: &[u8], size_of: &impl Fn(&str) -> Option<u64>, out: &mut Pieces, depth: u32) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(bad("it holds graphs in graphs without end"));
    }
    if let Message::Tensor = message {
        return rewrite_tensor(bytes, size_of, out);
    }
    while let Some(field) = next_field(&mut bytes)? {
        match message.field(field.number).zip(field.held) {
            Some((inner, held)) => {
                let mut inside = Pieces::default();
                rewrite(inner, held, size_of, &mut inside, depth + 1)?;
                out.begin(field.number, inside.size_bytes);
                out.append(inside);
            }
            None => out.bytes(field.whole),
        }
    }
    Ok(())
}

const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

fn rewrite_tensor(tensor: &[u8], size_of: &impl Fn(&str) -> Option<u64>, out: &mut Pieces) -> Result<()> {
    let (mut rest, mut external, mut name) = (tensor, false, String::new());
    let (mut file, mut offset, mut length) = (None, 0, None);
    let text = |held: &[u8]| String::from_utf8_lossy(held).into_owned();
    while let Some(field) = next_field(&mut rest)? {
        match (field.number, field.held) {
            (8, Some(held)) => name = text(held),
            (DATA_LOCATION, None) => external = field.value == 1,
            (EXTERNAL_DATA, Some(mut entry)) => {
                let (mut key, mut value) = (String::new(), String::new());
                while let Some(part) = next_field(&mut entry)? {
                    match (part.number, part.held) {
                        (1, Some(held)) => key = text(held),
                        (2, Some(held)) => value = text(held),
                        _ => {}
                    }
                }
                let number = || value.parse::<u64>().map_err(|_| bad(format!("the {key} of its weights {name:?} is {value:?}, no number")));
                match key.as_str() {
                    "location" => file = Some(value),
                    "offset" => offset = number()?,
                    "length" => length = Some(number()?),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    if !external {
        out.bytes(tensor);
        return Ok(());
    }
    let file = file.ok_or_else(|| bad(format!("its weights {name:?} are in another file, and it does not say in which")))?;
    let size = size_of(&file).ok_or_else(|| bad(format!("its weights {name:?} are in {file:?}, which is not beside it")))?;
    let length = length.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(bad(format!("its weights {name:?} are at {offset} to {offset}+{length} of {file:?}, which has {size} bytes")));
    }
    let mut rest = tensor;
    while let Some(field) = next_field(&mut rest)? {
        if !matches!(field.number, RAW_DATA | EXTERNAL_DATA | DATA_LOCATION) {
            out.bytes(field.whole);
        }
    }
    out.begin(RAW_DATA, length);
    out.size_bytes += length;
    out.list.push(Piece::Weights { file, offset, length });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(number: u64, content: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        held(EXTERNAL_DATA, &[held(1, key.as_bytes()), held(2, value.as_bytes())].concat())
    }

    fn external(name: &str, entries: &[Vec<u8>]) -> Vec<u8> {
        [held(8, name.as_bytes()), entries.concat(), varint(DATA_LOCATION << 3), varint(1)].concat()
    }

    fn inside(name: &str, data: &[u8]) -> Vec<u8> {
        [held(8, name.as_bytes()), held(RAW_DATA, data)].concat()
    }

    /// A model with a weight in its graph and one in the branch of a node.
    fn model(first: &[u8], second: &[u8]) -> Vec<u8> {
        let branch = held(5, second);
        let node = held(1, &held(5, &held(6, &branch)));
        [held(2, b"test"), held(7, &[node, held(5, first), held(2, b"graph")].concat())].concat()
    }

    fn join(pieces: &[Piece], files: &[(&str, &[u8])]) -> Vec<u8> {
        let part = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Weights { file, offset, length } => {
                let content = files.iter().find(|(name, _)| name == file).unwrap().1;
                content[*offset as usize..(offset + length) as usize].to_vec()
            }
        };
        pieces.iter().flat_map(part).collect()
    }

    #[test]
    fn weights_come_back_to_where_they_belong() {
        let files: [(&str, &[u8]); 2] = [("w.data", b"0123456789"), ("x", &[7; 300])];
        let size_of = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, content)| content.len() as u64);
        let first = external("a", &[entry("location", "w.data"), entry("offset", "2"), entry("length", "4")]);
        let second = external("b", &[entry("location", "x")]);
        let pieces = whole_model(&model(&first, &second), size_of).unwrap().unwrap();
        let whole = join(&pieces, &files);
        assert_eq!(whole, model(&inside("a", b"2345"), &inside("b", &[7; 300])));
        assert_eq!(pieces.iter().map(Piece::size_bytes).sum::<u64>(), whole.len() as u64);
        assert_eq!(whole_model(&whole, |_| None).unwrap(), None, "it is whole");
    }

    #[test]
    fn weights_that_are_not_there_are_named() {
        let refusal = |entries: &[Vec<u8>]| {
            whole_model(&model(&external("a", entries), &[]), |name| (name == "w").then_some(10)).unwrap_err().to_string()
        };
        assert!(refusal(&[entry("location", "gone")]).contains("\"gone\", which is not beside it"));
        assert!(refusal(&[entry("location", "w"), entry("offset", "8"), entry("length", "3")]).contains("has 10 bytes"));
        assert!(refusal(&[entry("location", "w"), entry("offset", "18446744073709551615")]).contains("has 10 bytes"));
        assert!(refusal(&[entry("location", "w"), entry("length", "many")]).contains("no number"));
        assert!(refusal(&[]).contains("does not say in which"));
        let large = external("a", &[entry("location", "w")]);
        let error = whole_model(&model(&large, &[]), |_| Some(u64::from(u32::MAX))).unwrap_err().to_string();
        assert!(error.contains("at most 2147483647"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = whole_model(&bytes, |_| Some(1));
        }
    }
}
