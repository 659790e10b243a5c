//! All robots of a fleet: let in, started, sent away and called back together.

use futures::{StreamExt, TryStreamExt, stream};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::behaviour::{Behaviour, Shares, behaviours};
use super::door::{Door, Traffic, Who};
use super::robot::{Common, Pace, Robot, Weather};
use super::{FleetError, Worth};
use crate::demo::control_plane::ControlPlane;

/// Robots that are let in at a time.
const AT_ONCE: usize = 32;
/// Sites that robots are at.
const SITES: usize = 20;

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct Crew {
    /// Number of robots.
    pub robots: usize,
    /// Connections that they share.
    pub connections: usize,
    /// Seed of everything that is not the same for all.
    pub seed: u64,
    /// How many behave how.
    pub shares: Shares,
    /// How long after the beginning of a rollout the last of those who return by themselves does.
    pub returns_within: Duration,
    /// How fast they live.
    pub pace: Pace,
    /// Version to what it is worth; sound when it is not here.
    pub worth: BTreeMap<String, Worth>,
}

/// A fleet. Dropping it ends every robot.
pub struct Fleet {
    names: Vec<String>,
    behaviours: Vec<Behaviour>,
    common: Arc<Common>,
    weather: watch::Sender<Weather>,
    _robots: JoinSet<()>,
}

impl Fleet {
    /// Lets every robot in at the control plane, and starts it. They ask at `base`, such as `http://127.0.0.1:5000`.
    pub async fn start(plane: &ControlPlane, base: &str, crew: &Crew) -> Result<Self, FleetError> {
        let behaviours = behaviours(crew.seed, crew.robots, crew.shares, crew.returns_within);
        let width = crew.robots.to_string().len();
        let names: Vec<String> = (1..=crew.robots).map(|number| format!("amr-{number:0width$}")).collect();
        let (weather, fair) = watch::channel(Weather::Fair);
        let common = Arc::new(Common {
            door: Door::new(base, crew.connections)?,
            pace: crew.pace,
            weather: fair,
            tried: RwLock::default(),
            worth: crew.worth.clone(),
            broken: AtomicU64::default(),
            settled: AtomicU64::default(),
            met: AtomicU64::default(),
        });
        let enrolled = stream::iter(names.iter().enumerate()).map(async |(number, name)| {
            let labels = json!({ "site": format!("site-{:02}", number % SITES), "environment": "simulation" });
            let enrolled = plane.enrol_with(name, &labels).await;
            let enrolled = enrolled.map_err(|source| FleetError::ControlPlane { action: "enrol a robot", source: Box::new(source) })?;
            Ok::<_, FleetError>(Who { name: name.clone(), token: enrolled.token })
        });
        let everybody: Vec<Who> = enrolled.buffered(AT_ONCE).try_collect().await?;
        let mut robots = JoinSet::new();
        for ((number, who), behaviour) in (0..).zip(everybody).zip(&behaviours) {
            // Each has a stream of its own, whoever else there is.
            let rng = SmallRng::seed_from_u64(crew.seed.wrapping_mul(1_000_003).wrapping_add(number));
            robots.spawn(Robot::new(who, *behaviour, common.clone(), rng).live());
        }
        Ok(Self { names, behaviours, common, weather, _robots: robots })
    }

    /// Names with behaviours, in order.
    pub fn everybody(&self) -> impl Iterator<Item = (&str, Behaviour)> {
        self.names.iter().map(String::as_str).zip(self.behaviours.iter().copied())
    }

    /// Names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Robots that leave when [`leave`](Self::leave) is called.
    pub fn sometimes_away(&self) -> usize {
        self.behaviours.iter().filter(|behaviour| matches!(behaviour, Behaviour::Away | Behaviour::Returns { .. })).count()
    }

    /// Whoever misbehaves does so at this bundle from now on.
    pub fn put_on_trial(&self, digest: &str) {
        digest.clone_into(&mut self.common.tried.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Those who are sometimes away leave.
    pub fn leave(&self) {
        self.weather.send_replace(Weather::Foul);
    }

    /// From now on some of those who left return by themselves.
    pub fn let_return(&self) {
        self.weather.send_replace(Weather::Clearing(Instant::now()));
    }

    /// Everybody who is away comes back.
    pub fn come_back(&self) {
        self.weather.send_replace(Weather::Fair);
    }

    /// The control plane is elsewhere from now on.
    pub fn lead_to(&self, base: &str) {
        self.common.door.lead_to(base);
    }

    /// What came of the robots' questions so far.
    pub fn traffic(&self) -> Traffic {
        self.common.door.traffic()
    }

    /// Robots that were answered at least once.
    pub fn met(&self) -> u64 {
        self.common.met.load(Ordering::Relaxed)
    }

    /// Times that a robot took up a desired state, or could not.
    pub fn settled(&self) -> u64 {
        self.common.settled.load(Ordering::Relaxed)
    }

    /// Rules of the wire that the control plane broke.
    pub fn broken(&self) -> u64 {
        self.common.broken.load(Ordering::Relaxed)
    }
}
