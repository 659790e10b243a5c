//! Where the robot drives: from the dock past its waypoints and back, as its missions go.
//!
//! Like the missions, the place is a function of the frames published: a robot whose camera stands still stands still too.

use crate::mission::WAYPOINTS;

/// The dock and the waypoints, metres. The robot drives straight from one to the next and then back to the dock.
const STOPS: [[f64; 2]; WAYPOINTS as usize + 1] = [[0.0, 0.0], [2.5, 0.0], [4.0, 1.5], [2.5, 3.0], [0.0, 3.0]];

/// Where the robot is and how it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Metres from the dock.
    pub at: [f64; 2],
    /// Where it looks: radians from the x axis, counter-clockwise.
    pub heading_rad: f64,
    /// Metres per frame.
    pub per_frame_m: f64,
}

/// The place at a frame, counted from 0, when each leg takes `frames_per_step` frames (at least 1).
pub fn place(frame: u64, frames_per_step: u64) -> Place {
    let frames_per_step = frames_per_step.max(1);
    let legs = STOPS.len() as u64;
    // A round has one step more than legs: the one at the dock, before the next begins.
    let (leg, into) = ((frame / frames_per_step) % (legs + 1), (frame % frames_per_step) as f64 / frames_per_step as f64);
    let stop = |number: u64| STOPS[(number % legs) as usize];
    let waits = leg == legs;
    let (from, to) = if waits { (stop(legs - 1), stop(0)) } else { (stop(leg), stop(leg + 1)) };
    let way = [to[0] - from[0], to[1] - from[1]];
    let heading_rad = way[1].atan2(way[0]);
    if waits {
        return Place { at: to, heading_rad, per_frame_m: 0.0 };
    }
    let at = [from[0] + way[0] * into, from[1] + way[1] * into];
    Place { at, heading_rad, per_frame_m: way[0].hypot(way[1]) / frames_per_step as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reaches_each_waypoint_with_its_mission_step_and_waits_at_the_dock() {
        for (step, stop) in STOPS.iter().chain([&STOPS[0], &STOPS[0]]).enumerate() {
            assert_eq!(place(step as u64 * 30, 30).at, *stop, "step {step}");
        }
        assert_eq!((place(5 * 30, 30).per_frame_m, place(6 * 30 - 1, 30).at), (0.0, STOPS[0]));
        assert_eq!(place(6 * 30, 30), place(0, 30), "the next round is the same");
    }

    #[test]
    fn it_moves_evenly_and_looks_where_it_drives() {
        for frame in 0..5 * 30 - 1 {
            let (a, b) = (place(frame, 30), place(frame + 1, 30));
            let moved = (b.at[0] - a.at[0]).hypot(b.at[1] - a.at[1]);
            assert!((moved - a.per_frame_m).abs() < 1e-9, "frame {frame}");
            let ahead = [a.at[0] + a.heading_rad.cos() * moved, a.at[1] + a.heading_rad.sin() * moved];
            assert!((ahead[0] - b.at[0]).hypot(ahead[1] - b.at[1]) < 1e-9, "frame {frame}");
        }
        assert_eq!(place(7, 0).at, place(7, 1).at);
    }
}
