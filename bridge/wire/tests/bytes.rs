//! Bytes that nobody meant: whatever comes over the network, a decoder answers with a document or with an error.
#![allow(clippy::unwrap_used)]

use edgeflow_wire::{
    AckOutcome, ApplicationEventBody, Batch, Class, ClassPosition, DesiredState, Entry, EntryBody, Envelope, EventSeverity, Hello, LogAck,
    Loss, MAX_DECODED_BYTES, Upstream, Version, WIRE_VERSION, decode, encode,
};
use proptest::{prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Decodes, and holds that what was read survives another round trip.
fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(document) = decode::<T>(bytes) {
        let again: T = decode(&encode(&document).unwrap()).unwrap();
        assert_eq!(again, document);
    }
}

fn read_as_anything(bytes: &[u8]) {
    read::<Upstream>(bytes);
    read::<LogAck>(bytes);
    read::<Envelope>(bytes);
    read::<DesiredState>(bytes);
}

/// Documents as they are, to begin from.
fn documents() -> Vec<Vec<u8>> {
    let event = ApplicationEventBody {
        source: "charger".into(),
        name: "docked".into(),
        severity: EventSeverity::Info,
        message: String::new(),
        data: serde_json::json!({ "volts": 25.2, "cells": [1, null, "x"] }),
    };
    let entries = (5..9).map(|seq| Entry { seq, t_us: -7, boot_us: 1, content: EntryBody::ApplicationEvent(event.clone()).into() });
    let loss = Some(Loss { first_seq: 1, last_seq: 4, bytes: 9, first_t_us: 1, last_t_us: 2, ..Loss::default() });
    let batch = Batch { v: WIRE_VERSION, epoch: "e".into(), class: Class::Event, loss, entries: entries.collect() };
    let classes = Class::ALL.map(|class| ClassPosition { class, first_seq: 1, next_seq: u64::MAX }).to_vec();
    let hello = Hello { v: WIRE_VERSION, epoch: "e".into(), software: "s".into(), classes, t_us: 1, boot_us: 2 };
    let ack = LogAck { v: WIRE_VERSION, epoch: "e".into(), outcome: AckOutcome::OutOfOrder, next: Vec::new(), server_time_us: 1 };
    let version = Version { server_epoch: 1, generation: 2 };
    let desired = DesiredState { v: WIRE_VERSION, target: "robot-1".into(), version, ..DesiredState::default() };
    let mut documents = Vec::new();
    for upstream in [Upstream::Batch(batch), Upstream::Hello(hello)] {
        documents.extend([encode(&upstream).unwrap(), serde_json::to_vec(&upstream).unwrap()]);
    }
    documents.extend([encode(&ack).unwrap(), serde_json::to_vec(&ack).unwrap(), serde_json::to_vec(&desired).unwrap()]);
    documents
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_document_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600), compressed in any::<bool>()) {
        let bytes = if compressed { [&[0x28, 0xb5, 0x2f, 0xfd], bytes.as_slice()].concat() } else { bytes };
        read_as_anything(&bytes);
    }

    #[test]
    fn a_document_with_bytes_changed_moved_or_missing_is_a_document_or_an_error(
        which in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..8),
        cut in any::<Index>(),
        repeated in any::<Index>(),
    ) {
        let documents = documents();
        let mut bytes = which.get(&documents).clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(2 * bytes.len()).max(1));
        let from = repeated.index(bytes.len());
        bytes.extend_from_within(from..);
        read_as_anything(&bytes);
    }

    #[test]
    fn json_of_any_shape_inside_a_frame_is_a_document_or_an_error(text in r#"[\{\}\[\],:"a-z0-9_\-\. ]{0,200}"#) {
        read_as_anything(&zstd::bulk::compress(text.as_bytes(), 1).unwrap());
        read_as_anything(text.as_bytes());
    }
}

#[test]
fn nesting_without_end_is_an_error_and_no_overflow_of_the_stack() {
    for open in ["[", r#"{"a":"#] {
        let deep = open.repeat(1_000_000);
        read_as_anything(deep.as_bytes());
        let body = format!(
            r#"{{"type":"batch","v":1,"epoch":"e","class":"event","entries":[{{"seq":"1","t_us":1,"boot_us":1,"kind":"k","body":{deep}"#
        );
        read_as_anything(body.as_bytes());
    }
}

#[test]
fn many_frames_that_unfold_beyond_the_cap_together_are_refused() {
    let frame = zstd::bulk::compress(&vec![b' '; MAX_DECODED_BYTES / 2], 1).unwrap();
    assert!(decode::<Upstream>(&[frame.clone(), frame.clone(), frame].concat()).is_err());
}
