//! Messages to CDR and back, through serde. A body is what follows the four octets of encapsulation.

use super::Message;
use crate::error::{Error, Result};
use hiroz_cdr::{CdrSerializer, LittleEndian, from_bytes};

/// Little-endian CDR, which is all that ROS 2 sends on the platforms we know.
pub(super) const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];

/// Encapsulation and body, as published.
pub(crate) fn encode<T: Message>(message: &T) -> Result<Vec<u8>> {
    let mut bytes = ENCAPSULATION.to_vec();
    write(message, &mut bytes)?;
    Ok(bytes)
}

/// The body alone, as hiroz's services take it.
pub(super) fn encode_body<T: Message>(message: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(message, &mut bytes)?;
    Ok(bytes)
}

/// Appends the body. Alignment counts from where it begins.
fn write<T: Message>(message: &T, bytes: &mut Vec<u8>) -> Result<()> {
    let mut serializer = CdrSerializer::<LittleEndian>::new(bytes);
    message.serialize(&mut serializer).map_err(|e| Error::Encode { type_name: T::TYPE_NAME.into(), reason: e.to_string() })
}

/// The message of encapsulation and body.
pub(crate) fn decode<T: Message>(bytes: &[u8]) -> Result<T> {
    match bytes {
        // The last two octets are options, which say nothing about the body.
        [0, 1, _, _, body @ ..] => decode_body(body),
        _ => Err(Error::Decode { type_name: T::TYPE_NAME.into(), reason: "it does not begin as little-endian CDR does".into() }),
    }
}

pub(super) fn decode_body<T: Message>(body: &[u8]) -> Result<T> {
    let decoded = from_bytes::<T, LittleEndian>(body);
    decoded.map(|(message, _)| message).map_err(|e| Error::Decode { type_name: T::TYPE_NAME.into(), reason: e.to_string() })
}
