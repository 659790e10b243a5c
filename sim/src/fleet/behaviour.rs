//! How each robot of a fleet behaves, from a seed: most are well, some are away, some break, some say nothing. The shares are exact, so
//! that what must come of a rollout is known before it begins.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// What a robot does when a rollout comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes up what it is told, and says so.
    Well,
    /// Is away when the rollout begins and comes back so long after.
    Returns {
        /// How long after.
        after: Duration,
    },
    /// Is away until everybody comes back.
    Away,
    /// Cannot take up what the rollout brings, says so, and goes on with what it had.
    Breaks,
    /// Goes on asking what is new, and says nothing any more once it was told.
    Silent,
}

/// How many of a fleet behave in another way than well, per cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Are away when a rollout begins; every other one comes back by itself.
    pub away: f64,
    /// Break.
    pub breaks: f64,
    /// Fall silent.
    pub silent: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { away: 5.0, breaks: 1.0, silent: 2.0 }
    }
}

impl Shares {
    /// A fleet in which nothing is wrong.
    pub const NONE: Shares = Shares { away: 0.0, breaks: 0.0, silent: 0.0 };
}

/// The behaviour of each of `robots` robots; those that return do within `span`.
pub fn behaviours(seed: u64, robots: usize, shares: Shares, span: Duration) -> Vec<Behaviour> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut all = Vec::with_capacity(robots);
    let count = |percent: f64| (percent / 100.0 * robots as f64).round() as usize;
    for number in 0..count(shares.away) {
        let after = span.mul_f64(rng.random_range(0.1..1.0));
        all.push(if number % 2 == 0 { Behaviour::Returns { after } } else { Behaviour::Away });
    }
    all.extend(std::iter::repeat_n(Behaviour::Breaks, count(shares.breaks)));
    all.extend(std::iter::repeat_n(Behaviour::Silent, count(shares.silent)));
    all.resize(robots, Behaviour::Well);
    all.shuffle(&mut rng);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_a_seed_gives_the_same_fleet_again() {
        let span = Duration::from_secs(60);
        let fleet = behaviours(7, 10_000, Shares::default(), span);
        let count = |wanted: fn(&Behaviour) -> bool| fleet.iter().filter(|behaviour| wanted(behaviour)).count();
        assert_eq!(count(|behaviour| matches!(behaviour, Behaviour::Returns { .. })), 250);
        assert_eq!(count(|behaviour| *behaviour == Behaviour::Away), 250);
        assert_eq!(count(|behaviour| *behaviour == Behaviour::Breaks), 100);
        assert_eq!(count(|behaviour| *behaviour == Behaviour::Silent), 200);
        assert_eq!(count(|behaviour| *behaviour == Behaviour::Well), 9_200);
        assert!(fleet.iter().all(|behaviour| !matches!(behaviour, Behaviour::Returns { after } if *after > span)));
        assert_eq!(fleet, behaviours(7, 10_000, Shares::default(), span));
        assert_ne!(fleet, behaviours(8, 10_000, Shares::default(), span));
        assert!(behaviours(7, 50, Shares::NONE, span).iter().all(|behaviour| *behaviour == Behaviour::Well));
    }
}
