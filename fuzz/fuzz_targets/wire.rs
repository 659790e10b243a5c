//! Any bytes are a document or an error, and a document survives another round trip.
#![no_main]

use edgeflow_wire::{DesiredState, Envelope, LogAck, Upstream, decode, encode};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(document) = decode::<T>(bytes) {
        let again: T = decode(&encode(&document).expect("what was read can be written")).expect("and be read again");
        assert_eq!(again, document);
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read::<Upstream>(bytes);
    read::<LogAck>(bytes);
    read::<Envelope>(bytes);
    read::<DesiredState>(bytes);
});
