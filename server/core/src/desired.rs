//! Desired state: how the next document of a robot is made, and that it never goes back.

use edgeflow_wire::{DesiredState, SlotSpec, Version, VersionedPolicy, WIRE_VERSION};
use std::collections::BTreeMap;

use crate::{CoreError, SlotName, TargetName};

/// The document of a robot nothing was declared for.
pub fn empty(target: &TargetName) -> DesiredState {
    DesiredState { v: WIRE_VERSION, target: target.to_string(), version: Version::default(), slots: BTreeMap::new(), policy: None }
}

/// The document that follows `current` when `slot` shall hold `spec`. The other slots stay as they are.
///
/// Fails when `server_epoch` is below that of `current`: robots would refuse the outcome.
pub fn with_slot(current: &DesiredState, server_epoch: u64, slot: &SlotName, spec: SlotSpec) -> Result<DesiredState, CoreError> {
    let mut next = DesiredState { version: after(current.version, server_epoch)?, ..current.clone() };
    next.slots.insert(slot.to_string(), spec);
    Ok(next)
}

/// The document that follows `current` when the robot shall report what `policy` says. The slots stay as they are. `None`
/// when that is the policy it has.
///
/// Fails when `policy` is no policy, or when `server_epoch` is below that of `current`.
pub fn with_policy(current: &DesiredState, server_epoch: u64, policy: serde_json::Value) -> Result<Option<DesiredState>, CoreError> {
    crate::policy::check(&policy)?;
    if current.policy.as_ref().is_some_and(|known| known.document == policy) {
        return Ok(None);
    }
    let version = current.policy.as_ref().map_or(0, |known| known.version) + 1;
    let policy = Some(VersionedPolicy { version, document: policy });
    Ok(Some(DesiredState { version: after(current.version, server_epoch)?, policy, ..current.clone() }))
}

fn after(current: Version, server_epoch: u64) -> Result<Version, CoreError> {
    let next = Version { server_epoch, generation: current.generation + 1 };
    if next > current { Ok(next) } else { Err(CoreError::DesiredNotNewer { current: label(current), next: label(next) }) }
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
    fn a_policy_has_a_version_of_its_own_and_leaves_the_slots_alone() {
        let slot = SlotName::default_slot();
        let policy = |period_s: u32| {
            serde_json::json!({ "routes": [
            { "name": "odom", "allow": ["odom"], "fields": ["twist.twist.linear.x"], "window": { "period_s": period_s } } ] })
        };
        let first = with_slot(&empty(&TargetName::new("r1").unwrap()), 1, &slot, spec("1")).unwrap();
        let second = with_policy(&first, 1, policy(60)).unwrap().unwrap();
        assert_eq!((second.version.generation, second.policy.as_ref().unwrap().version, second.slots.len()), (2, 1, 1));
        assert_eq!(with_policy(&second, 1, policy(60)).unwrap(), None, "what is declared already is no change");
        let third = with_policy(&with_slot(&second, 1, &slot, spec("2")).unwrap(), 1, policy(10)).unwrap().unwrap();
        assert_eq!((third.version.generation, third.policy.unwrap().version), (4, 2));
        let error = with_policy(&second, 1, policy(0)).unwrap_err();
        assert_eq!(error.to_string(), "bad policy: routes[0].window.period_s: 0 is not in 0.1 to 86400");
    }

    #[test]
    fn a_document_never_goes_back_to_a_lower_server_epoch() {
        let slot = SlotName::default_slot();
        let current = with_slot(&empty(&TargetName::new("r1").unwrap()), 3, &slot, spec("1")).unwrap();
        let error = with_slot(&current, 2, &slot, spec("2")).unwrap_err();
        assert_eq!(error.to_string(), "desired state 2.2 does not come after 3.1: raise the server epoch");
    }
}
