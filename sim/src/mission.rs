//! What the robot is out there for: rounds with waypoints, one after the other.
//!
//! A round advances with what the robot sees, frame by frame: a robot whose camera stands still stands still too. That
//! makes missions a function of the frames published, so a paused camera is a quiet robot and counts can be compared.

/// Waypoints on a round.
pub const WAYPOINTS: u64 = 4;

/// Step of a mission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The round began.
    Started,
    /// Waypoint of this number, from 1, was reached.
    Waypoint(u64),
    /// The round is done.
    Succeeded,
}

/// One mission event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts the robot's mission events from 1, without gaps.
    pub sequence: u64,
    /// Round it belongs to.
    pub mission_id: String,
    /// What happened.
    pub step: Step,
}

impl Event {
    /// Share of the round that is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        match self.step {
            Step::Started => 0.0,
            Step::Waypoint(number) => number as f64 / (WAYPOINTS + 1) as f64,
            Step::Succeeded => 1.0,
        }
    }

    /// For people.
    pub fn detail(&self) -> String {
        match self.step {
            Step::Started => format!("left the dock with {WAYPOINTS} labels to read"),
            Step::Waypoint(number) => format!("read the label at waypoint {number} of {WAYPOINTS}"),
            Step::Succeeded => "back at the dock".to_owned(),
        }
    }
}

/// The robot's missions so far.
#[derive(Debug)]
pub struct Missions {
    frames_per_step: u64,
    frames: u64,
    sequence: u64,
}

impl Missions {
    /// Missions that take one step every `frames_per_step` frames (at least 1); the first begins with the first frame.
    pub fn new(frames_per_step: u64) -> Self {
        Self { frames_per_step: frames_per_step.max(1), frames: 0, sequence: 0 }
    }

    /// Notes that a frame was published and returns the step it brought, if any.
    pub fn on_frame(&mut self) -> Option<Event> {
        let due = self.frames.is_multiple_of(self.frames_per_step);
        self.frames += 1;
        due.then(|| self.step())
    }

    fn step(&mut self) -> Event {
        // A round is started, its waypoints, succeeded.
        let steps = WAYPOINTS + 2;
        let (round, place) = (self.sequence / steps, self.sequence % steps);
        self.sequence += 1;
        let step = match place {
            0 => Step::Started,
            last if last == steps - 1 => Step::Succeeded,
            waypoint => Step::Waypoint(waypoint),
        };
        Event { sequence: self.sequence, mission_id: format!("round-{:04}", round + 1), step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_starts_passes_its_waypoints_and_succeeds_then_the_next_begins() {
        let mut missions = Missions::new(1);
        let events: Vec<_> = std::iter::from_fn(|| missions.on_frame()).take(7).collect();
        let steps: Vec<_> = events.iter().map(|event| event.step).collect();
        use Step::*;
        assert_eq!(steps, [Started, Waypoint(1), Waypoint(2), Waypoint(3), Waypoint(4), Succeeded, Started]);
        assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(events.first().map(|event| event.mission_id.as_str()), Some("round-0001"));
        assert_eq!(events.last().map(|event| event.mission_id.as_str()), Some("round-0002"));
    }

    #[test]
    fn progress_rises_from_0_to_1() {
        let mut missions = Missions::new(1);
        let progress: Vec<_> = std::iter::from_fn(|| missions.on_frame()).take(6).map(|event| event.progress()).collect();
        assert!(progress.is_sorted());
        assert_eq!((progress.first(), progress.last()), (Some(&0.0), Some(&1.0)));
    }

    #[test]
    fn steps_come_every_so_many_frames_and_none_without_frames() {
        let mut missions = Missions::new(5);
        let at: Vec<_> = (0..12).filter(|_| missions.on_frame().is_some()).collect();
        assert_eq!(at, [0, 5, 10]);
    }
}
