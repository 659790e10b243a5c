//! Desired state: how the next document of a robot is made, and that it never goes back.

use edgeflow_wire::{DesiredState, Hold, SlotSpec, Version, VersionedPolicy, WIRE_VERSION};

use crate::{CoreError, SlotName, TargetName};

/// The document of a robot nothing was declared for.
pub fn empty(target: &TargetName) -> DesiredState {
    DesiredState { v: WIRE_VERSION, target: target.to_string(), ..DesiredState::default() }
}

/// The document that follows `current` when `slot` shall hold `spec`. The other slots stay as they are.
///
/// Fails when `server_epoch` is below that of `current`: robots would refuse the outcome.
pub fn with_slot(current: &DesiredState, server_epoch: u64, slot: &SlotName, spec: SlotSpec) -> Result<DesiredState, CoreError> {
    let mut next = DesiredState { version: after(current.version, server_epoch)?, ..current.clone() };
    next.slots.insert(slot.to_string(), spec);
    declared(&mut next, slot);
    Ok(next)
}

/// The document that follows `current` when nothing shall be declared for `slot` any more; `None` when nothing is.
///
/// Fails when `server_epoch` is below that of `current`.
pub fn without_slot(current: &DesiredState, server_epoch: u64, slot: &SlotName) -> Result<Option<DesiredState>, CoreError> {
    if !current.slots.contains_key(slot.as_str()) {
        return Ok(None);
    }
    let mut next = DesiredState { version: after(current.version, server_epoch)?, ..current.clone() };
    next.slots.remove(slot.as_str());
    declared(&mut next, slot);
    Ok(Some(next))
}

/// Puts on record that this document is the one that declared `slot` last.
fn declared(next: &mut DesiredState, slot: &SlotName) {
    next.vectors.entry(slot.to_string()).or_default().control = next.version;
}

/// The document that follows `current` when the robot shall change nothing (`Some`), or shall follow again (`None`). `None` when that
/// is how it stands.
///
/// Fails when `server_epoch` is below that of `current`.
pub fn with_hold(current: &DesiredState, server_epoch: u64, hold: Option<Hold>) -> Result<Option<DesiredState>, CoreError> {
    if current.hold == hold {
        return Ok(None);
    }
    Ok(Some(DesiredState { version: after(current.version, server_epoch)?, hold, ..current.clone() }))
}

/// The document that follows `current` when the robot shall report what `policy` says. The slots stay as they are. `None`
/// when that is the policy it has.
///
/// Fails when `policy` is no policy, or when `server_epoch` is below that of `current`.
pub fn with_policy(current: &DesiredState, server_epoch: u64, policy: serde_json::Value) -> Result<Option<DesiredState>, CoreError> {
    let same = current.policy.as_ref().is_some_and(|known| known.document == policy);
    let next = with_policy_again(current, server_epoch, policy)?;
    Ok((!same).then_some(next))
}

/// The same, also when that is the policy it has: under a new version, of which the robot says anew what became of it.
///
/// Fails when `policy` is no policy, or when `server_epoch` is below that of `current`.
pub fn with_policy_again(current: &DesiredState, server_epoch: u64, policy: serde_json::Value) -> Result<DesiredState, CoreError> {
    crate::policy::check(&policy)?;
    let version = current.policy.as_ref().map_or(0, |known| known.version) + 1;
    let policy = Some(VersionedPolicy { version, document: policy });
    Ok(DesiredState { version: after(current.version, server_epoch)?, policy, ..current.clone() })
}

pub(crate) fn after(current: Version, server_epoch: u64) -> Result<Version, CoreError> {
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
        assert_eq!((restored.vectors["map"].control, restored.vectors["default"].control), (second.version, restored.version));
    }

    #[test]
    fn a_slot_leaves_and_a_hold_comes_and_goes_each_with_a_generation_of_its_own() {
        let slot = SlotName::default_slot();
        let first = with_slot(&empty(&TargetName::new("r1").unwrap()), 1, &slot, spec("1")).unwrap();
        let second = without_slot(&first, 1, &slot).unwrap().unwrap();
        assert_eq!((second.version.generation, second.slots.len(), second.vectors["default"].control), (2, 0, second.version));
        assert_eq!(without_slot(&second, 1, &slot).unwrap(), None);
        let hold = Some(Hold { reason: "audit".into(), by: "administrator".into(), since_us: 5 });
        let third = with_hold(&second, 1, hold.clone()).unwrap().unwrap();
        assert_eq!((third.version.generation, &third.hold, &third.vectors), (3, &hold, &second.vectors));
        assert_eq!(with_hold(&third, 1, hold).unwrap(), None);
        assert_eq!(with_hold(&third, 1, None).unwrap().unwrap().hold, None);
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
        let again = with_policy_again(&second, 1, policy(60)).unwrap().policy.unwrap();
        assert_eq!((again.version, again.document), (2, policy(60)), "unless it is to be looked at again");
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
