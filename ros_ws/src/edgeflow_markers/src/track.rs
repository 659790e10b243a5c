//! Where the robot was, and when: a bounded path that can be asked for any moment.

use std::collections::VecDeque;

use edgeflow_ros::std_msgs::msg::Header;

use crate::nanoseconds;

/// A position in metres.
pub type Point = [f64; 3];

/// Who says where the robot is. A localised pose is preferred to dead reckoning: once one has come, odometry is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `nav_msgs/Odometry`
    Odometry,
    /// `geometry_msgs/PoseStamped`
    Pose,
}

/// Positions kept. At 10 cm each this is the last kilometre.
const CAPACITY: usize = 10_000;

/// A stamp this far behind the newest is no late message but a clock that was set back (a bag that starts again).
const CLOCK_SET_BACK_NS: i64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Sample {
    stamp_ns: i64,
    at: Point,
}

/// The robot's path in one frame.
#[derive(Debug)]
pub struct Track {
    frame_id: String,
    source: Option<Source>,
    samples: VecDeque<Sample>,
    spacing_m: f64,
    timeout_ns: Option<i64>,
}

impl Track {
    /// An empty path that keeps a position each `spacing_m` metres. The newest position holds for `timeout_ns` (a robot
    /// that stands still may say nothing), or for ever.
    #[must_use]
    pub fn new(spacing_m: f64, timeout_ns: Option<i64>) -> Self {
        Self { frame_id: String::new(), source: None, samples: VecDeque::new(), spacing_m, timeout_ns }
    }

    /// Takes in where the robot was. Whether it was of use: a position without a frame or with a number that is none is not.
    pub fn push(&mut self, source: Source, header: &Header, at: Point) -> bool {
        if header.frame_id.is_empty() || at.iter().any(|value| !value.is_finite()) {
            return false;
        }
        if self.source.is_some_and(|known| known > source) {
            return false;
        }
        if self.source != Some(source) || self.frame_id != header.frame_id {
            // Positions in two frames make no path.
            self.samples.clear();
            self.source = Some(source);
            self.frame_id.clone_from(&header.frame_id);
        }
        let sample = Sample { stamp_ns: nanoseconds(&header.stamp), at };
        if let Some(newest) = self.samples.back() {
            if sample.stamp_ns < newest.stamp_ns - CLOCK_SET_BACK_NS {
                self.samples.clear();
            } else if sample.stamp_ns <= newest.stamp_ns {
                return false;
            }
        }
        // Of a robot that stands still the first and the last moment are enough.
        let before = self.samples.len().checked_sub(2).and_then(|i| self.samples.get(i));
        if before.is_some_and(|before| distance(before.at, at) < self.spacing_m) {
            self.samples.pop_back();
        }
        if self.samples.len() == CAPACITY {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        true
    }

    /// The frame of every position of this path; empty before the first.
    #[must_use]
    pub fn frame_id(&self) -> &str {
        &self.frame_id
    }

    /// Where the robot was at that moment, if the path reaches there.
    #[must_use]
    pub fn at(&self, stamp_ns: i64) -> Option<Point> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        if stamp_ns < first.stamp_ns {
            return None;
        }
        if stamp_ns >= last.stamp_ns {
            let holds = self.timeout_ns.is_none_or(|timeout| stamp_ns - last.stamp_ns <= timeout);
            return holds.then_some(last.at);
        }
        let after = self.samples.partition_point(|sample| sample.stamp_ns <= stamp_ns);
        let (a, b) = (self.samples.get(after - 1)?, self.samples.get(after)?);
        let t = (stamp_ns - a.stamp_ns) as f64 / (b.stamp_ns - a.stamp_ns) as f64;
        Some(std::array::from_fn(|i| a.at[i] + (b.at[i] - a.at[i]) * t))
    }

    /// The way between two moments, ends included, as at most `limit` points that are apart from each other.
    #[must_use]
    pub fn between(&self, from_ns: i64, to_ns: i64, limit: usize) -> Vec<Point> {
        let Some(end) = self.at(to_ns) else { return Vec::new() };
        // A window may have begun before the path did.
        let from_ns = self.samples.front().map_or(from_ns, |first| from_ns.max(first.stamp_ns));
        let inner = self.samples.iter().filter(|sample| sample.stamp_ns > from_ns && sample.stamp_ns < to_ns).map(|sample| sample.at);
        let mut way: Vec<Point> = self.at(from_ns).into_iter().chain(inner).collect();
        let step = way.len().div_ceil(limit.max(2) - 1).max(1);
        way = way.into_iter().step_by(step).collect();
        way.push(end);
        way.dedup_by(|b, a| distance(*a, *b) < 1e-3);
        way
    }
}

fn distance(a: Point, b: Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_ros::builtin_interfaces::msg::Time;

    const S: i64 = 1_000_000_000;

    fn header(frame_id: &str, seconds: i32) -> Header {
        Header { stamp: Time { sec: seconds, nanosec: 0 }, frame_id: frame_id.into() }
    }

    fn driven() -> Track {
        let mut track = Track::new(0.1, Some(10 * S));
        for second in 0..=10 {
            assert!(track.push(Source::Odometry, &header("odom", second), [f64::from(second), 0.0, 0.0]));
        }
        track
    }

    #[test]
    fn any_moment_of_the_path_has_a_place_and_others_have_none() {
        let track = driven();
        assert_eq!(track.at(4 * S + S / 2), Some([4.5, 0.0, 0.0]));
        assert_eq!(track.at(20 * S), Some([10.0, 0.0, 0.0]), "the newest position holds for a while");
        assert_eq!(track.at(20 * S + 1), None);
        assert_eq!(track.at(-1), None);
        assert_eq!(Track::new(0.1, None).at(0), None);
    }

    #[test]
    fn a_way_has_its_ends_and_no_more_points_than_asked_for() {
        let track = driven();
        assert_eq!(track.between(2 * S, 4 * S, 64), [[2.0, 0.0, 0.0], [3.0, 0.0, 0.0], [4.0, 0.0, 0.0]]);
        let thin = track.between(0, 10 * S, 4);
        assert!(thin.len() <= 4 && thin[0] == [0.0; 3] && thin[thin.len() - 1] == [10.0, 0.0, 0.0], "{thin:?}");
        assert_eq!(track.between(-5 * S, S, 64), [[0.0; 3], [1.0, 0.0, 0.0]], "begun before the path");
        assert_eq!(track.between(12 * S, 15 * S, 64), [[10.0, 0.0, 0.0]], "standing still is one place");
    }

    #[test]
    fn standing_still_costs_two_samples() {
        let mut track = Track::new(0.1, None);
        for second in 0..1000 {
            track.push(Source::Odometry, &header("odom", second), [0.001 * f64::from(second % 2), 0.0, 0.0]);
        }
        assert_eq!(track.samples.len(), 2);
        assert!(track.at(0).is_some() && track.at(500 * S).is_some() && track.at(999 * S).is_some());
    }

    #[test]
    fn the_path_is_bounded() {
        let mut track = Track::new(0.1, None);
        for second in 0..CAPACITY as i32 + 5 {
            track.push(Source::Odometry, &header("odom", second), [f64::from(second), 0.0, 0.0]);
        }
        assert_eq!(track.samples.len(), CAPACITY);
        assert_eq!((track.at(4 * S), track.at(5 * S)), (None, Some([5.0, 0.0, 0.0])));
    }

    #[test]
    fn a_localised_pose_replaces_odometry_and_a_clock_set_back_starts_anew() {
        let mut track = driven();
        assert!(track.push(Source::Pose, &header("map", 11), [100.0, 0.0, 0.0]));
        assert!(!track.push(Source::Odometry, &header("odom", 12), [0.0; 3]));
        assert_eq!((track.frame_id(), track.at(11 * S), track.at(5 * S)), ("map", Some([100.0, 0.0, 0.0]), None));
        assert!(!track.push(Source::Pose, &header("map", 11), [0.0; 3]), "the same moment twice");
        assert!(track.push(Source::Pose, &header("map", 1), [7.0, 0.0, 0.0]));
        assert_eq!(track.at(S), Some([7.0, 0.0, 0.0]));
    }

    #[test]
    fn positions_that_are_none_are_refused() {
        let mut track = Track::new(0.1, None);
        assert!(!track.push(Source::Pose, &header("map", 1), [f64::NAN, 0.0, 0.0]));
        assert!(!track.push(Source::Pose, &header("", 1), [0.0; 3]));
        assert_eq!(track.frame_id(), "");
    }
}
