//! Drift over the fleet: one robot that drifts is a sensor, a site that drifts is the site, a fleet that drifts is the world or the
//! model.
//!
//! Each robot's newest window is a test of "nothing has drifted" by itself. That *more than half* of a site's or the fleet's robots have
//! drifted is tested by a partial conjunction of their p-values (Benjamini and Heller 2008, with Simes' combination, which holds
//! when robots share a baseline); false discoveries over all robots, sites and features are controlled together (Benjamini and Hochberg
//! 1995). Histograms of robots over the same edges add up exactly.

use edgeflow_wire::{DriftFeatureBody, DriftReportBody};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Share of false ones among what is told to have drifted.
pub const FALSE_DISCOVERIES: f64 = 0.05;

/// What drifted, of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FleetVerdict {
    /// Nothing.
    None,
    /// Single robots: look at their sensors.
    Sensor,
    /// Most robots of some sites: look at the site.
    Site,
    /// Most robots of most sites: the world has changed, or the model does not fit it.
    Fleet,
}

/// A robot's newest window.
#[derive(Debug, Clone, Copy)]
pub struct RobotReport<'a> {
    /// Its name.
    pub robot: &'a str,
    /// Where it is; `None` when nobody said.
    pub site: Option<&'a str>,
    /// What it reported.
    pub report: &'a DriftReportBody,
}

/// One feature over the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FleetFeatureView {
    /// Bundle digest whose inputs or outputs it is of.
    pub digest: String,
    /// Feature name.
    pub name: String,
    /// `input` or `output`: of what the model sees, or of what it says.
    pub subject: String,
    /// What drifted.
    pub verdict: FleetVerdict,
    /// Chance of what the verdict rests on when nothing has drifted: of most of the fleet, of the strangest site, or of the strangest robot.
    pub p: f64,
    /// The same with all that was looked at: share of false discoveries if this and all that are as strange are told.
    pub q: f64,
    /// How far the mean of all robots together has moved, in standard deviations of the baseline; `null` of categories.
    pub statistic: Option<f64>,
    /// Frames of all robots whose histograms were added up.
    pub n: u64,
    /// Robots whose histograms were added up: those with the same bins.
    pub merged_robots: usize,
    /// Interior bin edges of the sum; none where there are categories.
    pub edges: Vec<f64>,
    /// Names of its bins where there are categories.
    pub categories: Vec<String>,
    /// Frames per bin, all robots.
    pub counts: Vec<u64>,
    /// Robots that drifted.
    pub robots: Vec<String>,
    /// Sites of which most robots drifted.
    pub sites: Vec<String>,
    /// Robots that were looked at.
    pub of_robots: usize,
    /// Sites that were looked at.
    pub of_sites: usize,
}

/// Drift over the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FleetDriftView {
    /// The worst of all features.
    pub verdict: FleetVerdict,
    /// Share of false discoveries that is allowed.
    pub false_discoveries: f64,
    /// Robots that reported.
    pub robots: usize,
    /// Per digest, subject and feature.
    pub features: Vec<FleetFeatureView>,
}

/// One hypothesis: nothing has drifted here.
#[derive(Debug, Clone, Copy)]
struct Tested<'a> {
    feature: usize,
    what: What<'a>,
    p: f64,
}

#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Robot(&'a str),
    Site(&'a str),
    Fleet,
}

/// One robot's window of a feature.
struct Seen<'a> {
    robot: &'a str,
    site: Option<&'a str>,
    feature: &'a DriftFeatureBody,
    p: f64,
}

/// What drifted, by the newest windows of robots.
pub fn verdict(reports: &[RobotReport<'_>]) -> FleetDriftView {
    let mut features: BTreeMap<(&str, &str, &str), Vec<Seen<'_>>> = BTreeMap::new();
    for RobotReport { robot, site, report } in reports {
        for feature in &report.features {
            // Of several windows its statistics are those of the strangest.
            let p = (feature.p_value * report.windows.max(1) as f64).min(1.0);
            if !p.is_nan() {
                let key = (report.digest.as_str(), feature.subject.as_str(), feature.name.as_str());
                features.entry(key).or_default().push(Seen { robot, site: *site, feature, p });
            }
        }
    }
    let mut tested: Vec<Tested<'_>> = Vec::new();
    for (at, seen) in features.values().enumerate() {
        tested.extend(seen.iter().map(|one| Tested { feature: at, what: What::Robot(one.robot), p: one.p }));
        for (site, of) in by_site(seen) {
            if of.len() > 1 {
                tested.push(Tested { feature: at, what: What::Site(site), p: most_drifted(of) });
            }
        }
        if seen.len() > 1 {
            tested.push(Tested { feature: at, what: What::Fleet, p: most_drifted(seen.iter().map(|one| one.p).collect()) });
        }
    }
    let q = adjusted(&tested.iter().map(|one| one.p).collect::<Vec<_>>());
    let mut of: Vec<Vec<(Tested<'_>, f64)>> = features.iter().map(|_| Vec::new()).collect();
    for (one, q) in tested.into_iter().zip(q) {
        if let Some(of) = of.get_mut(one.feature) {
            of.push((one, q));
        }
    }
    let views: Vec<FleetFeatureView> = features.iter().zip(&of).map(|((key, seen), tested)| view(*key, seen, tested)).collect();
    FleetDriftView {
        verdict: views.iter().map(|view| view.verdict).max().unwrap_or(FleetVerdict::None),
        false_discoveries: FALSE_DISCOVERIES,
        robots: reports.len(),
        features: views,
    }
}

fn by_site<'a>(seen: &[Seen<'a>]) -> BTreeMap<&'a str, Vec<f64>> {
    let mut sites: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (site, p) in seen.iter().filter_map(|one| Some((one.site?, one.p))) {
        sites.entry(site).or_default().push(p);
    }
    sites
}

fn view((digest, subject, name): (&str, &str, &str), seen: &[Seen<'_>], tested: &[(Tested<'_>, f64)]) -> FleetFeatureView {
    let least = |take: fn(&What<'_>) -> bool| {
        let of = tested.iter().filter(|(one, _)| take(&one.what)).map(|(one, q)| (one.p, *q));
        of.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (fleet, site, robot) = (
        least(|what| matches!(what, What::Fleet)),
        least(|what| matches!(what, What::Site(_))),
        least(|what| matches!(what, What::Robot(_))),
    );
    let drifted: Vec<What<'_>> = tested.iter().filter(|(_, q)| *q <= FALSE_DISCOVERIES).map(|(one, _)| one.what).collect();
    let robots: Vec<&str> = drifted.iter().filter_map(|what| if let What::Robot(name) = what { Some(*name) } else { None }).collect();
    let sites: Vec<&str> = drifted.iter().filter_map(|what| if let What::Site(name) = what { Some(*name) } else { None }).collect();
    let whole = drifted.iter().any(|what| matches!(what, What::Fleet));
    // A site of one robot drifts when that robot does.
    let alone: BTreeSet<&str> = seen.iter().filter(|one| robots.contains(&one.robot)).filter_map(|one| one.site).collect();
    let of_site = by_site(seen);
    let drifting = of_site.iter().filter(|(site, of)| sites.contains(*site) || of.len() == 1 && alone.contains(*site)).count();
    let verdict = if whole && (of_site.len() < 2 || sites.is_empty() || 2 * drifting > of_site.len()) {
        FleetVerdict::Fleet
    } else if !sites.is_empty() {
        FleetVerdict::Site
    } else if !robots.is_empty() {
        FleetVerdict::Sensor
    } else {
        FleetVerdict::None
    };
    let rests_on = match verdict {
        FleetVerdict::Fleet | FleetVerdict::None => fleet.or(robot),
        FleetVerdict::Site => site,
        FleetVerdict::Sensor => robot,
    };
    let (p, q) = rests_on.unwrap_or((1.0, 1.0));
    let merged = merge(seen);
    FleetFeatureView {
        digest: digest.to_owned(),
        name: name.to_owned(),
        subject: subject.to_owned(),
        verdict,
        p,
        q,
        robots: robots.into_iter().map(str::to_owned).collect(),
        sites: sites.into_iter().map(str::to_owned).collect(),
        of_robots: seen.len(),
        of_sites: of_site.len(),
        statistic: merged.shift,
        n: merged.n,
        merged_robots: merged.robots,
        edges: merged.edges,
        categories: merged.categories,
        counts: merged.counts,
    }
}

/// Chance that at most half of these are drift: partial conjunction of `p_(u)` to `p_(n)`, `u` the first beyond the half, by Simes.
fn most_drifted(mut p: Vec<f64>) -> f64 {
    p.sort_unstable_by(f64::total_cmp);
    let half = p.len() / 2;
    let left = (p.len() - half) as f64;
    p.iter().skip(half).zip(1_u32..).map(|(p, j)| left / f64::from(j) * p).fold(1.0, f64::min)
}

/// Each p-value as the least share of false discoveries at which it is told (Benjamini and Hochberg).
fn adjusted(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p.iter().copied().enumerate().collect();
    order.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
    let (mut q, mut least) = (vec![1.0; p.len()], 1.0_f64);
    for ((at, p_value), rank) in order.into_iter().zip((1..=p.len()).rev()) {
        least = least.min(p_value * p.len() as f64 / rank as f64);
        if let Some(q) = q.get_mut(at) {
            *q = least;
        }
    }
    q
}

/// Histograms added up.
#[derive(Default)]
struct Merged {
    robots: usize,
    n: u64,
    shift: Option<f64>,
    edges: Vec<f64>,
    categories: Vec<String>,
    counts: Vec<u64>,
}

/// The sum over those robots whose bins are the commonest: learnt baselines have edges of their own.
fn merge(seen: &[Seen<'_>]) -> Merged {
    type Bins<'a> = (Vec<u64>, &'a [String], usize);
    let mut kinds: BTreeMap<Bins<'_>, Vec<&DriftFeatureBody>> = BTreeMap::new();
    for one in seen {
        let edges = one.feature.edges.iter().map(|edge| edge.to_bits()).collect();
        kinds.entry((edges, &one.feature.categories, one.feature.counts.len())).or_default().push(one.feature);
    }
    let Some(same) = kinds.into_values().max_by_key(Vec::len) else { return Merged::default() };
    let Some(first) = same.first() else { return Merged::default() };
    let mut counts = vec![0_u64; first.counts.len()];
    for feature in &same {
        counts.iter_mut().zip(&feature.counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }
    let n: u64 = same.iter().map(|feature| feature.n).sum();
    let mean = same.iter().map(|feature| feature.mean * feature.n as f64).sum::<f64>() / n.max(1) as f64;
    let shift = (mean - first.baseline_mean) / first.baseline_std;
    Merged {
        robots: same.len(),
        n,
        shift: shift.is_finite().then_some(shift),
        edges: first.edges.clone(),
        categories: first.categories.clone(),
        counts,
    }
}

#[cfg(test)]
#[path = "drift_fleet_tests.rs"]
mod tests;
