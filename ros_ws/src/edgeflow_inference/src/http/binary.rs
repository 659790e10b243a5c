//! The binary tensor extension of the Open Inference Protocol: JSON first, then the tensors' bytes one behind the other, with the
//! JSON's length in a header. Strings (BYTES) carry their length in four bytes each.

use crate::tensor::{Data, ElementType, Tensor};

/// Says where the JSON ends and the bytes begin.
pub(super) const JSON_LENGTH: &str = "inference-header-content-length";

/// The protocol's name of an element type.
pub(super) fn datatype(ty: ElementType) -> &'static str {
    match ty {
        ElementType::F32 => "FP32",
        ElementType::F64 => "FP64",
        ElementType::F16 => "FP16",
        ElementType::BF16 => "BF16",
        ElementType::U8 => "UINT8",
        ElementType::I8 => "INT8",
        ElementType::U16 => "UINT16",
        ElementType::I16 => "INT16",
        ElementType::U32 => "UINT32",
        ElementType::I32 => "INT32",
        ElementType::U64 => "UINT64",
        ElementType::I64 => "INT64",
        ElementType::Bool => "BOOL",
        ElementType::String => "BYTES",
    }
}

/// An element type by the protocol's name.
pub(super) fn element_type(datatype: &str) -> Option<ElementType> {
    ElementType::ALL.iter().copied().find(|ty| self::datatype(*ty) == datatype)
}

/// A tensor from its bytes, or what is wrong with them.
pub(super) fn decode(name: &str, ty: ElementType, shape: Vec<i64>, bytes: &[u8]) -> crate::Result<Tensor> {
    if ty != ElementType::String {
        return Tensor::from_wire(name, ty.onnx(), &shape, bytes, &[]);
    }
    let strings = strings(bytes).map_err(|reason| crate::Error::Tensor { name: name.to_owned(), reason })?;
    Tensor::new(name, shape, Data::String(strings))
}

fn strings(mut bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut strings = Vec::new();
    while !bytes.is_empty() {
        let cut = || format!("its bytes end inside string {}", strings.len());
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| format!("string {} is not UTF-8, which onnxruntime wants", strings.len()))?;
        strings.push(text.to_owned());
        bytes = rest;
    }
    Ok(strings)
}

/// A tensor's bytes.
pub(super) fn encode(data: &Data) -> Vec<u8> {
    let Data::String(strings) = data else { return data.to_le_bytes() };
    let mut bytes = Vec::new();
    for text in strings {
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_and_goes_there_and_back() {
        for ty in ElementType::ALL {
            assert_eq!(element_type(datatype(*ty)), Some(*ty));
            let tensor = Tensor::new("x", vec![2, 1], Data::zeros(*ty, 2)).unwrap();
            assert_eq!(decode("x", *ty, vec![2, 1], &encode(&tensor.data)).unwrap(), tensor);
        }
        let words = Data::String(vec!["a".into(), "zürich".into()]);
        assert_eq!(decode("x", ElementType::String, vec![2], &encode(&words)).unwrap().data, words);
    }

    #[test]
    fn damaged_bytes_are_named() {
        for (bytes, want) in [
            (vec![1, 0, 0], "end inside string 0"),
            (vec![1, 0, 0, 0, b'a', 9, 0, 0, 0, b'b'], "end inside string 1"),
            (vec![1, 0, 0, 0, 0xff], "string 0 is not UTF-8"),
            (vec![0, 0, 0, 0, 0, 0, 0, 0], "has 1 elements, but 2 were given"),
        ] {
            let error = decode("words", ElementType::String, vec![1], &bytes).unwrap_err().to_string();
            assert!(error.contains("`words`") && error.contains(want), "{error}");
        }
    }
}
