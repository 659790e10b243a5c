//! The robot's camera: the digits kept apart for testing, picked at random and rendered.

use crate::SimError;
use crate::digits::{Digits, Split};
use crate::render::{self, Effects, Frame};
use std::path::Path;

/// A camera in front of digits that no model was trained on.
#[derive(Debug)]
pub struct Camera {
    digits: Digits,
    camera: render::Camera,
}

impl Camera {
    /// A sound camera in front of the digits of a file, or of the built-in ones when the path is empty.
    pub fn open(data_file: &Path, seed: u64) -> Result<Self, SimError> {
        let digits = if data_file.as_os_str().is_empty() { Digits::embedded() } else { Digits::open(data_file) };
        Ok(Self { digits: digits.map_err(SimError::Digits)?, camera: render::Camera::new(seed) })
    }

    /// Shifts what the camera sees from the next frame on.
    pub fn set_effects(&mut self, effects: Effects) {
        self.camera.effects = effects;
    }

    /// The next frame.
    pub fn look(&mut self) -> Result<Frame, SimError> {
        self.camera.shoot(&self.digits.of(Split::Test)).ok_or(SimError::NoDigits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::FRAME_SIZE;

    #[test]
    fn a_camera_sees_only_digits_kept_apart_for_testing() {
        let digits = Digits::embedded().unwrap();
        let test: Vec<u32> = digits.of(Split::Test).iter().map(|digit| digit.index).collect();
        let mut camera = Camera::open(Path::new(""), 3).unwrap();
        for _ in 0..200 {
            let frame = camera.look().unwrap();
            assert!(test.contains(&frame.index));
            assert_eq!(frame.pixels.len(), FRAME_SIZE * FRAME_SIZE);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Camera::open(Path::new("/no/such/digits.csv"), 1).unwrap_err();
        assert!(crate::with_causes(&error).contains("/no/such/digits.csv"));
    }
}
