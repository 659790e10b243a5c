//! Documents to bytes and back: JSON, zstd-compressed, with a cap on what a few hostile bytes may unfold to.

use serde::{Serialize, de::DeserializeOwned};
use std::{cell::RefCell, io::Read};
use zstd::bulk::{Compressor, Decompressor};

/// Most bytes a document may take once decompressed.
pub const MAX_DECODED_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of an encoded document that the control plane takes, whichever uplink carries it. A robot cuts its batches so.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

const LEVEL: i32 = 3;
/// What documents up to this size are read and written with is kept by each thread: to make it anew takes longer than the document.
const KEPT_BYTES: usize = 256 * 1024;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What can be wrong with a document.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The document could not be written as JSON.
    #[error("could not encode a wire document")]
    Encode(#[source] serde_json::Error),
    /// The bytes are not the JSON document that was expected.
    #[error("could not decode a wire document: check that both sides speak wire version {}", crate::WIRE_VERSION)]
    Decode(#[source] serde_json::Error),
    /// The bytes are not a whole zstd frame.
    #[error("could not decompress a wire document: it is cut short or corrupt")]
    Decompress(#[source] std::io::Error),
    /// The document is larger than [`MAX_DECODED_BYTES`] once decompressed.
    #[error("a wire document unfolds to more than {limit_bytes} bytes: send smaller batches")]
    TooLarge {
        /// The cap that was hit.
        limit_bytes: usize,
    },
    /// A value class that this version does not know.
    #[error("unknown value class {name:?}: expected critical, event, summary or detail")]
    UnknownClass {
        /// What was given.
        name: String,
    },
    /// A robot name that cannot be part of a topic.
    #[error("bad robot name {name:?}: use 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit")]
    BadName {
        /// What was given.
        name: String,
    },
}

/// Writes a document as zstd-compressed JSON.
pub fn encode<T: Serialize>(document: &T) -> Result<Vec<u8>, WireError> {
    let json = serde_json::to_vec(document).map_err(WireError::Encode)?;
    if json.len() > KEPT_BYTES {
        return zstd::bulk::compress(&json, LEVEL).map_err(WireError::Decompress);
    }
    let mut kept = COMPRESSOR.take();
    let compressor = match &mut kept {
        Some(compressor) => compressor,
        none => none.insert(Compressor::new(LEVEL).map_err(WireError::Decompress)?),
    };
    let written = compressor.compress(&json).map_err(WireError::Decompress);
    COMPRESSOR.set(kept);
    written
}

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A small document that says how large it is, as ours do; anything else is read as a stream.
fn unfold(bytes: &[u8]) -> Option<Vec<u8>> {
    let size = Decompressor::upper_bound(bytes).filter(|size| *size <= KEPT_BYTES)?;
    let mut kept = DECOMPRESSOR.take().or_else(|| Decompressor::new().ok())?;
    let unfolded = kept.decompress(bytes, size).ok();
    DECOMPRESSOR.set(Some(kept));
    unfolded
}

/// Reads a document from zstd-compressed or plain JSON (so that a person can publish one by hand).
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if !bytes.starts_with(&ZSTD_MAGIC) {
        if bytes.len() > MAX_DECODED_BYTES {
            return Err(WireError::TooLarge { limit_bytes: MAX_DECODED_BYTES });
        }
        return serde_json::from_slice(bytes).map_err(WireError::Decode);
    }
    if let Some(json) = unfold(bytes) {
        return serde_json::from_slice(&json).map_err(WireError::Decode);
    }
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(WireError::Decompress)?;
    let mut json = Vec::new();
    decoder.take(MAX_DECODED_BYTES as u64 + 1).read_to_end(&mut json).map_err(WireError::Decompress)?;
    if json.len() > MAX_DECODED_BYTES {
        return Err(WireError::TooLarge { limit_bytes: MAX_DECODED_BYTES });
    }
    serde_json::from_slice(&json).map_err(WireError::Decode)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Ack, AckOutcome, Class, LogAck, WIRE_VERSION};

    fn ack() -> LogAck {
        LogAck {
            v: WIRE_VERSION,
            epoch: "e".into(),
            outcome: AckOutcome::Accepted,
            next: vec![Ack { class: Class::Event, next_seq: u64::MAX }],
            server_time_us: 7,
        }
    }

    #[test]
    fn documents_survive_the_round_trip_with_numbers_beyond_2_to_the_53() {
        let bytes = encode(&ack()).unwrap();
        assert_eq!(decode::<LogAck>(&bytes).unwrap(), ack());
        let json = serde_json::to_string(&ack()).unwrap();
        assert!(json.contains("\"18446744073709551615\""), "{json}");
    }

    #[test]
    fn plain_json_is_read_and_unknown_fields_are_ignored() {
        let json = br#"{"v":1,"epoch":"e","outcome":"accepted","next":[],"server_time_us":0,"later":true}"#;
        assert_eq!(decode::<LogAck>(json).unwrap().epoch, "e");
    }

    #[test]
    fn a_document_cut_anywhere_is_an_error_and_not_a_panic() {
        let bytes = encode(&ack()).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode::<LogAck>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_small_document_that_unfolds_beyond_the_cap_is_refused() {
        let bomb = zstd::bulk::compress(&vec![b' '; MAX_DECODED_BYTES + 1], LEVEL).unwrap();
        assert!(bomb.len() < 10_000);
        assert!(matches!(decode::<LogAck>(&bomb), Err(WireError::TooLarge { .. })));
    }
}
