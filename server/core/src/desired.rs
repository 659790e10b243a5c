//! Desired state: how the next document of a robot is made, and that it never goes back.

use edgeflow_wire::{DesiredState, SlotSpec, Version, WIRE_VERSION};
use std::collections::BTreeMap;

use crate::{CoreError, SlotName, TargetName};

/// The document of a robot nothing was declared for.
pub fn empty(target: &TargetName) -> DesiredState {
    DesiredState { v: WIRE_VERSION, target: target.to_string(), version: Version::default(), slots: BTreeMap::new() }
}

/// The document that follows `current` when `slot` shall hold `spec`. The other slots stay as they are.
///
/// Fails when `server_epoch` is below that of `current`: robots would refuse the outcome.
pub fn with_slot(current: &DesiredState, server_epoch: u64, slot: &SlotName, spec: SlotSpec) -> Result<DesiredState, CoreError> {
    let next = Version { server_epoch, generation: current.version.generation + 1 };
    if next <= current.version {
        return Err(CoreError::DesiredNotNewer { current: label(current.version), next: label(next) });
    }
    let mut slots = current.slots.clone();
    slots.insert(slot.to_string(), spec);
    Ok(DesiredState { v: WIRE_VERSION, target: current.target.clone(), version: next, slots })
}

fn label(version: Version) -> String {
    format!("{}.{}", version.server_epoch, version.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_wire::SlotKind;

    fn spec(version: &str) -> SlotSpec {
        SlotSpec { kind: SlotKind::Model, model: "m".into(), version: version.into(), digest: "d".into(), files: vec![] }
    }

    #[test]
    fn a_change_raises_the_generation_and_leaves_other_slots_alone() {
        let slot = SlotName::default_slot();
        let first = with_slot(&empty(&TargetName::new("r1").unwrap()), 1, &slot, spec("1")).unwrap();
        assert_eq!(first.version, Version { server_epoch: 1, generation: 1 });
        let second = with_slot(&first, 1, &SlotName::new("map").unwrap(), spec("2")).unwrap();
        assert_eq!(second.version, Version { server_epoch: 1, generation: 2 });
        assert_eq!(second.slots["default"].version, "1");
        let restored = with_slot(&second, 2, &slot, spec("3")).unwrap();
        assert!(restored.version > second.version);
    }

    #[test]
    fn a_document_never_goes_back_to_a_lower_server_epoch() {
        let slot = SlotName::default_slot();
        let current = with_slot(&empty(&TargetName::new("r1").unwrap()), 3, &slot, spec("1")).unwrap();
        let error = with_slot(&current, 2, &slot, spec("2")).unwrap_err();
        assert_eq!(error.to_string(), "desired state 2.2 does not come after 3.1: raise the server epoch");
    }
}
