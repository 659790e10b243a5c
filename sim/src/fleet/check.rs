//! Where every robot must be once a rollout has ended, by how it behaves, and who is elsewhere. Pure.

use std::collections::BTreeMap;

use super::behaviour::Behaviour;
use super::robot::BREAKS;

/// What the control plane says of one robot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Where it is in the rollout: `updated`, `deferred`, `failed`, ...
    pub phase: String,
    /// Why it waits, failed or was skipped.
    pub reason: String,
    /// Digest it attests.
    pub runs: String,
    /// Status of its slot: `active`, `failed`, ...
    pub status: String,
    /// Digest that is declared.
    pub declared: String,
}

/// The bundles of a rollout.
#[derive(Debug, Clone, Copy)]
pub struct Bundles<'a> {
    /// What it brings.
    pub new: &'a str,
    /// What robots had before.
    pub old: &'a str,
}

/// What is wrong with a robot that was found so after a rollout that succeeded; `None` when it is where it must be. `back`: everybody
/// came back since.
pub fn misplaced(behaviour: Behaviour, back: bool, found: &Found, bundles: Bundles<'_>) -> Option<String> {
    let serves = |digest: &str, status: &str| found.runs == digest && found.status == status;
    let right = match behaviour {
        _ if found.declared != bundles.new => false,
        Behaviour::Well => found.phase == "updated" && serves(bundles.new, "active"),
        Behaviour::Returns { .. } | Behaviour::Away if back => found.phase == "updated" && serves(bundles.new, "active"),
        // Of one that returned by itself it is not known how far it is.
        Behaviour::Returns { .. } => matches!(found.phase.as_str(), "updated" | "deferred"),
        Behaviour::Away => found.phase == "deferred" && serves(bundles.old, "active"),
        Behaviour::Breaks => found.phase == "failed" && serves(bundles.old, "failed") && found.reason.contains(BREAKS),
        Behaviour::Silent => found.phase == "failed" && serves(bundles.old, "active"),
    };
    (!right).then(|| {
        let Found { phase, reason, runs, status, .. } = found;
        let declared = if found.declared == bundles.new { "" } else { ", and something else is declared" };
        format!("{phase} ({reason}), runs {} ({status}){declared}", name(runs, bundles))
    })
}

/// What is wrong with a robot that was found so after a rollout that was rolled back: each has what it had.
pub fn not_back(found: &Found, bundles: Bundles<'_>) -> Option<String> {
    let right = found.runs == bundles.old && found.status == "active" && found.declared == bundles.old;
    (!right).then(|| format!("{} ({}), runs {} ({})", found.phase, found.reason, name(&found.runs, bundles), found.status))
}

fn name<'a>(digest: &'a str, bundles: Bundles<'_>) -> &'a str {
    match digest {
        "" => "nothing",
        new if new == bundles.new => "the new one",
        old if old == bundles.old => "the old one",
        other => other,
    }
}

/// The control plane's words on every robot.
pub type Everyone = BTreeMap<String, Found>;

/// Everyone who is misplaced, by name.
pub fn misplaced_robots<'a>(
    fleet: impl IntoIterator<Item = (&'a str, Behaviour)>,
    everyone: &Everyone,
    wrong: impl Fn(Behaviour, &Found) -> Option<String>,
) -> Vec<String> {
    let missing = Found { phase: "not in the rollout".to_owned(), ..Found::default() };
    let each = fleet.into_iter().filter_map(|(name, behaviour)| {
        let what = wrong(behaviour, everyone.get(name).unwrap_or(&missing))?;
        Some(format!("{name} ({behaviour:?}): {what}"))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BUNDLES: Bundles<'static> = Bundles { new: "n", old: "o" };

    fn found(phase: &str, runs: &str, status: &str) -> Found {
        let [phase, runs, status, declared] = [phase, runs, status, "n"].map(str::to_owned);
        Found { phase, runs, status, declared, reason: format!("it said: {BREAKS}") }
    }

    #[test]
    fn each_behaviour_has_its_place_and_no_other() {
        let returns = Behaviour::Returns { after: Duration::from_secs(1) };
        let all = [Behaviour::Well, returns, Behaviour::Away, Behaviour::Breaks, Behaviour::Silent];
        for (here, back, place) in [
            (vec![Behaviour::Well], false, found("updated", "n", "active")),
            (vec![Behaviour::Well, returns, Behaviour::Away], true, found("updated", "n", "active")),
            (vec![Behaviour::Breaks], true, found("failed", "o", "failed")),
            (vec![Behaviour::Silent], true, found("failed", "o", "active")),
            (vec![returns, Behaviour::Away], false, found("deferred", "o", "active")),
            (vec![], true, found("deferred", "o", "active")),
            (vec![], true, found("updating", "o", "active")),
            (vec![], true, Found { declared: "o".into(), ..found("updated", "n", "active") }),
        ] {
            for behaviour in all {
                let mut right = here.contains(&behaviour);
                // Not yet known of one that returned by itself.
                right |= !back && behaviour == returns && place.phase == "updated";
                assert_eq!(misplaced(behaviour, back, &place, BUNDLES).is_none(), right, "{behaviour:?} {place:?}");
            }
        }
        assert!(
            misplaced(Behaviour::Breaks, true, &Found { reason: "silent".into(), ..found("failed", "o", "failed") }, BUNDLES).is_some()
        );
    }

    #[test]
    fn who_is_misplaced_is_named_with_what_was_found() {
        let everyone = BTreeMap::from([("a".to_owned(), found("updated", "n", "active"))]);
        let fleet = [("a", Behaviour::Well), ("b", Behaviour::Well)];
        let wrong = misplaced_robots(fleet, &everyone, |behaviour, found| misplaced(behaviour, true, found, BUNDLES));
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("b (Well): not in the rollout") && wrong[0].contains("runs nothing"), "{wrong:?}");
        assert_eq!(not_back(&Found { declared: "o".into(), ..found("rolled_back", "o", "active") }, BUNDLES), None);
        assert!(not_back(&found("rolled_back", "o", "active"), BUNDLES).is_some(), "the new one is declared still");
    }
}
