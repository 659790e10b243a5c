//! The simulated camera: a digit as 96x96 grey pixels, never twice the same.
//!
//! Everything random comes out of one seeded generator of our own, so that frames (and the baselines and models made
//! from them) come out the same with every version of every library. Order of events as in a real camera: the scene
//! (position, light), exposure, optics (blur), sensor (noise, 8 bits).

use crate::digits::{DIGIT_SIZE, Digit, MAX_INTENSITY};

/// Edge length of a frame in pixels.
pub const FRAME_SIZE: usize = 96;

const PIXELS_PER_DIGIT_PIXEL: f32 = (FRAME_SIZE / DIGIT_SIZE) as f32;
/// Grey of the empty background.
const BACKGROUND: f32 = 24.0;
/// Grey a full stroke adds to it.
const INK: f32 = 190.0;
/// Farthest the digit is off centre on each axis, frame pixels: a quarter of a digit's pixel.
const JITTER_PX: f32 = 3.0;
/// The light varies by as much from frame to frame.
const LIGHT_VARIATION: f32 = 0.1;
/// Standard deviation of the sensor's noise, grey levels.
const NOISE: f32 = 3.0;

/// What is wrong with the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effects {
    /// Gain on the scene's intensity; 1 is the camera the models were trained on.
    pub exposure: f32,
    /// Standard deviation of a Gaussian blur, pixels; 0 is sharp.
    pub blur_px: f32,
}

impl Default for Effects {
    fn default() -> Self {
        Effects { exposure: 1.0, blur_px: 0.0 }
    }
}

/// One frame and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number of the digit in the original set.
    pub index: u32,
    /// The digit it shows, 0 to 9.
    pub label: u8,
    /// `FRAME_SIZE * FRAME_SIZE` grey pixels, row by row.
    pub pixels: Vec<u8>,
}

/// A camera that looks at digits.
#[derive(Debug, Clone)]
pub struct Camera {
    random: SplitMix64,
    /// What is wrong with it; may be changed between frames.
    pub effects: Effects,
}

impl Camera {
    /// A sound camera. The same seed gives the same frames.
    pub fn new(seed: u64) -> Self {
        Camera { random: SplitMix64(seed), effects: Effects::default() }
    }

    /// A frame of a digit picked at random; `None` when there are no digits to pick from.
    pub fn shoot(&mut self, digits: &[&Digit]) -> Option<Frame> {
        let pick = (u128::from(self.random.next()) * digits.len() as u128) >> 64;
        digits.get(pick as usize).map(|digit| self.render(digit))
    }

    /// A frame of this digit.
    pub fn render(&mut self, digit: &Digit) -> Frame {
        let (dx, dy) = (self.random.around_zero(JITTER_PX), self.random.around_zero(JITTER_PX));
        let light = (1.0 + self.random.around_zero(LIGHT_VARIATION)) * self.effects.exposure.max(0.0);
        let mut scene = scene(digit, dx, dy);
        scene.iter_mut().for_each(|value| *value *= light);
        if self.effects.blur_px > 0.0 {
            blur(&mut scene, self.effects.blur_px);
        }
        let pixels = scene.iter().map(|&value| (value + self.random.noise(NOISE)).round().clamp(0.0, 255.0) as u8).collect();
        Frame { index: digit.index, label: digit.label, pixels }
    }
}

/// The digit on its background, shifted and drawn large with bilinear interpolation.
fn scene(digit: &Digit, dx: f32, dy: f32) -> Vec<f32> {
    let across = weights(dx);
    let mut scene = Vec::with_capacity(FRAME_SIZE * FRAME_SIZE);
    for (at, next_share) in weights(dy) {
        let mut row = [0.0; DIGIT_SIZE + 2];
        for (x, value) in row[1..=DIGIT_SIZE].iter_mut().enumerate() {
            *value = ink(digit, x, at) * (1.0 - next_share) + ink(digit, x, at + 1) * next_share;
        }
        for &(at, next_share) in &across {
            scene.push(BACKGROUND + row[at] * (1.0 - next_share) + row[at + 1] * next_share);
        }
    }
    scene
}

/// Ink at a digit's pixel; rows are counted from 1, with an empty one on either side.
fn ink(digit: &Digit, x: usize, row: usize) -> f32 {
    if (1..=DIGIT_SIZE).contains(&row) {
        f32::from(digit.pixels[(row - 1) * DIGIT_SIZE + x]) * (INK / f32::from(MAX_INTENSITY))
    } else {
        0.0
    }
}

/// For each frame pixel along one axis: the digit's pixel before it, counted from 1, and the share of the one after.
fn weights(shift: f32) -> Vec<(usize, f32)> {
    let weight = |i: usize| {
        let at = (i as f32 + 0.5 - shift) / PIXELS_PER_DIGIT_PIXEL + 0.5;
        let at = at.clamp(0.0, DIGIT_SIZE as f32 + 0.999);
        (at as usize, at.fract())
    };
    (0..FRAME_SIZE).map(weight).collect()
}

/// Gaussian blur, one axis after the other; the border repeats.
fn blur(scene: &mut [f32], sigma: f32) {
    let radius = ((3.0 * sigma).ceil() as usize).min(FRAME_SIZE);
    let kernel: Vec<f32> = (0..=2 * radius).map(|i| (-0.5 * ((i as f32 - radius as f32) / sigma).powi(2)).exp()).collect();
    let sum: f32 = kernel.iter().sum();
    let mut line = vec![0.0; FRAME_SIZE + 2 * radius];
    let mut along = |start: usize, stride: usize| {
        for (i, value) in line.iter_mut().enumerate() {
            *value = scene[start + i.saturating_sub(radius).min(FRAME_SIZE - 1) * stride];
        }
        for (i, window) in line.windows(kernel.len()).enumerate() {
            scene[start + i * stride] = window.iter().zip(&kernel).map(|(value, weight)| value * weight).sum::<f32>() / sum;
        }
    };
    (0..FRAME_SIZE).for_each(|y| along(y * FRAME_SIZE, 1));
    (0..FRAME_SIZE).for_each(|x| along(x, FRAME_SIZE));
}

/// Steele, Lea and Flood, *Fast splittable pseudorandom number generators* (2014): small, and the same for ever.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform between `-reach` and `reach`.
    fn around_zero(&mut self, reach: f32) -> f32 {
        let unit = (self.next() >> 40) as f32 / (1u64 << 24) as f32;
        (2.0 * unit - 1.0) * reach
    }

    /// Bell-shaped around 0: the sum of eight random bytes, scaled. Exact on every machine, as `ln` and `cos` are not.
    fn noise(&mut self, sigma: f32) -> f32 {
        const MEAN: i32 = 8 * 255 / 2;
        // Variance of a uniform byte is (256^2 - 1) / 12.
        const SIGMA: f32 = 209.021_53;
        let sum: i32 = self.next().to_le_bytes().iter().map(|&byte| i32::from(byte)).sum();
        (sum - MEAN) as f32 * (sigma / SIGMA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::{Digits, Split};

    fn mean_and_steps(pixels: &[u8]) -> (f64, f64) {
        let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels.len() as f64;
        let steps: f64 = pixels.chunks(FRAME_SIZE).flat_map(|row| row.windows(2)).map(|p| f64::from(p[0].abs_diff(p[1]))).sum();
        (mean, steps / pixels.len() as f64)
    }

    #[test]
    fn the_same_seed_sees_the_same() {
        let digits = Digits::embedded().unwrap();
        let test = digits.of(Split::Test);
        let shoot = |seed| {
            (0..5)
                .map({
                    let (mut camera, test) = (Camera::new(seed), &test);
                    move |_| camera.shoot(test).unwrap()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(shoot(7), shoot(7));
        assert_ne!(shoot(7), shoot(8));
        assert_eq!(Camera::new(7).shoot(&[]), None);
    }

    #[test]
    fn the_middle_of_each_block_shows_the_digit() {
        let digits = Digits::embedded().unwrap();
        let mut camera = Camera::new(1);
        for digit in digits.of(Split::Test).into_iter().take(50) {
            let frame = camera.render(digit);
            assert_eq!(frame.pixels.len(), FRAME_SIZE * FRAME_SIZE);
            let (mut ink, mut seen, mut both, mut ink2, mut seen2) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (i, &intensity) in digit.pixels.iter().enumerate() {
                let (x, y) = (i % DIGIT_SIZE * 12 + 6, i / DIGIT_SIZE * 12 + 6);
                let (a, b) = (f64::from(intensity), f64::from(frame.pixels[y * FRAME_SIZE + x]));
                (ink, seen, both, ink2, seen2) = (ink + a, seen + b, both + a * b, ink2 + a * a, seen2 + b * b);
            }
            let n = digit.pixels.len() as f64;
            let correlation = (both - ink * seen / n) / ((ink2 - ink * ink / n) * (seen2 - seen * seen / n)).sqrt();
            assert!(correlation > 0.9, "digit {} is not recognisable: {correlation}", digit.index);
        }
    }

    #[test]
    fn exposure_darkens_and_blur_softens() {
        let digits = Digits::embedded().unwrap();
        let digit = digits.of(Split::Test)[0];
        let shot = |effects| {
            let mut camera = Camera::new(3);
            camera.effects = effects;
            mean_and_steps(&camera.render(digit).pixels)
        };
        let (mean, steps) = shot(Effects::default());
        let (dark_mean, _) = shot(Effects { exposure: 0.6, ..Effects::default() });
        let (soft_mean, soft_steps) = shot(Effects { blur_px: 2.0, ..Effects::default() });
        assert!((dark_mean / mean - 0.6).abs() < 0.02, "{dark_mean} of {mean}");
        assert!((soft_mean - mean).abs() < 1.0 && soft_steps < steps, "{soft_steps} of {steps}");
    }

    #[test]
    fn noise_has_the_spread_it_claims() {
        let mut random = SplitMix64(5);
        let values: Vec<f32> = (0..100_000).map(|_| random.noise(3.0)).collect();
        let mean = values.iter().sum::<f32>() / 1e5;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.05 && (variance.sqrt() - 3.0).abs() < 0.03, "{mean} {variance}");
    }
}
