//! Things to put into a store.

use edgeflow_bundle::{BundleFile, Digest, GraphReport, OnnxSchema};
use edgeflow_core::{
    ModelName, OrganisationId, RobotId, SlotName, TargetName,
    deployment::NewDeployment,
    desired,
    model::{NewModelVersion, Origin, VersionBundle},
    target::Target,
};
use edgeflow_wire::{Batch, Class, ClassPosition, Content, Entry, EntryBody, Hello, Loss, SlotKind, SlotSpec, WIRE_VERSION};

pub(super) fn org() -> OrganisationId {
    OrganisationId::first()
}

pub(super) fn other_org() -> OrganisationId {
    OrganisationId::new("other").unwrap()
}

pub(super) fn target_name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

pub(super) fn robot(name: &str) -> RobotId {
    RobotId { organisation: org(), name: target_name(name) }
}

pub(super) fn target(name: &str) -> Target {
    Target {
        id: robot(name),
        labels: [("site".to_owned(), "berlin".to_owned())].into(),
        token_hash: [7; 32],
        created_at_us: 5,
        desired: desired::empty(&target_name(name)),
    }
}

pub(super) fn spec(digest: &str) -> SlotSpec {
    SlotSpec { kind: SlotKind::Model, model: "reader".into(), version: "1".into(), digest: digest.into(), files: vec![] }
}

pub(super) fn deployment(digest: &str, targets: &[&str]) -> NewDeployment {
    NewDeployment {
        model: ModelName::new("reader").unwrap(),
        version: "1".into(),
        spec: spec(digest),
        slot: SlotName::default_slot(),
        targets: targets.iter().map(|name| target_name(name)).collect(),
        created_at_us: 9,
        created_by: "administrator".into(),
    }
}

pub(super) fn version(model: &str, content: &str) -> NewModelVersion {
    let file = Digest::of(content.as_bytes());
    let bundle = VersionBundle {
        kind: SlotKind::Model,
        digest: Digest::of(format!("bundle {content}").as_bytes()).to_string(),
        model_digest: file.to_string(),
        files: vec![BundleFile { path: "model.onnx".into(), size_bytes: content.len() as u64, sha256: file }],
        schema: OnnxSchema {
            inputs: vec![],
            outputs: vec![],
            opset: 17,
            domains: vec![("ai.onnx.ml".into(), 3)],
            producer: "test".into(),
            producer_version: String::new(),
            ir_version: 8,
            metadata: vec![],
        },
        labels: vec!["0".into(), "1".into()],
        manifest: Some("v: 1\n".into()),
        report: Some(GraphReport { nodes: 3, macs: 77, operators: [("Gemm".to_owned(), 3)].into(), ..GraphReport::default() }),
    };
    NewModelVersion { bundle: Some(bundle), ..bare_version(model) }
}

/// A version that no robot can run.
pub(super) fn bare_version(model: &str) -> NewModelVersion {
    NewModelVersion {
        model: ModelName::new(model).unwrap(),
        bundle: None,
        note: "its folder has no ONNX model".into(),
        origin: Origin {
            source: "mlflow-artifacts:/0/models/m-1/artifacts".into(),
            folder: Some("0/models/m-1/artifacts".parse().unwrap()),
            run_id: Some("run-1".into()),
            run_link: None,
            model_id: Some("m-1".into()),
        },
        description: "a test".into(),
        tags: [("team".to_owned(), "vision".to_owned())].into(),
        created_at_us: 3,
        created_by: "administrator".into(),
    }
}

/// An entry whose content tells its place.
pub(super) fn entry(seq: u64) -> Entry {
    entry_with(seq, Content::Unknown { kind: "test".into(), body: serde_json::json!({ "seq": seq }) })
}

pub(super) fn entry_with(seq: u64, content: impl Into<Content>) -> Entry {
    Entry { seq, t_us: 1_000 + seq as i64, boot_us: seq as i64, content: content.into() }
}

pub(super) fn batch(epoch: &str, class: Class, entries: Vec<Entry>) -> Batch {
    Batch { v: WIRE_VERSION, epoch: epoch.into(), class, loss: None, entries }
}

pub(super) fn run(seqs: std::ops::RangeInclusive<u64>) -> Batch {
    batch("e1", Class::Event, seqs.map(entry).collect())
}

pub(super) fn known(class: Class, first: u64, bodies: Vec<EntryBody>) -> Batch {
    batch("e1", class, bodies.into_iter().zip(first..).map(|(body, seq)| entry_with(seq, body)).collect())
}

pub(super) fn loss(first_seq: u64, last_seq: u64) -> Loss {
    Loss { first_seq, last_seq, bytes: 77, first_t_us: 1, last_t_us: 2, ..Loss::default() }
}

pub(super) fn hello(epoch: &str, first_seq: u64, next_seq: u64) -> Hello {
    let classes = vec![ClassPosition { class: Class::Event, first_seq, next_seq }];
    Hello { v: WIRE_VERSION, epoch: epoch.into(), software: "0.1.0".into(), classes, t_us: 1, boot_us: 1 }
}
