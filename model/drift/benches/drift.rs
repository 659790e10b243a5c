//! What it costs to watch every frame: the features of a 640x480 grey image and their window, against the same three numbers
//! written the way one would first write them. Prints one JSON object per figure; `cargo xtask bench drift` reads them.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use edgeflow_drift::{BaselineBuilder, IMAGE_FEATURES, Window, image_features};
use std::{hint::black_box, time::Instant};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const ROUNDS: usize = 15;
const FRAMES_PER_ROUND: u32 = 60;

fn main() {
    let frame: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    let mut builder = BaselineBuilder::new(&IMAGE_FEATURES);
    for i in 0..1000u32 {
        builder.push(&[f64::from(i % 200), f64::from(i % 90), f64::from(i % 60)]).unwrap();
    }
    let mut window = Window::new(&builder.build().unwrap());

    // Interleaved, so that a slow spell of the machine meets both.
    let (mut watched, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        watched.push(microseconds_per_frame(|| {
            let features = image_features(black_box(&frame), WIDTH, HEIGHT, WIDTH).unwrap();
            window.push(&features.values()).unwrap();
        }));
        plain.push(microseconds_per_frame(|| {
            black_box(first_attempt(black_box(&frame)));
        }));
    }
    let (watched, plain) = (median(watched), median(plain));
    println!(r#"{{"id":"drift_plain_frame_us","value":{plain},"unit":"us/frame","ratio_to":null,"ratio":null}}"#);
    let ratio = watched / plain;
    println!(r#"{{"id":"drift_frame_us","value":{watched},"unit":"us/frame","ratio_to":"drift_plain_frame_us","ratio":{ratio}}}"#);
}

fn microseconds_per_frame(mut frame: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..FRAMES_PER_ROUND {
        frame();
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(FRAMES_PER_ROUND)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Mean, standard deviation and mean gradient in floating point, pixel by pixel.
fn first_attempt(gray: &[u8]) -> [f64; 3] {
    let pixel = |x: usize, y: usize| f64::from(gray[y * WIDTH + x]);
    let (mut sum, mut squares, mut gradient, mut pairs) = (0.0, 0.0, 0.0, 0.0);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let here = pixel(x, y);
            sum += here;
            squares += here * here;
            if x + 1 < WIDTH {
                gradient += (pixel(x + 1, y) - here).abs();
                pairs += 1.0;
            }
            if y + 1 < HEIGHT {
                gradient += (pixel(x, y + 1) - here).abs();
                pairs += 1.0;
            }
        }
    }
    let n = (WIDTH * HEIGHT) as f64;
    let mean = sum / n;
    [mean, (squares / n - mean * mean).sqrt(), gradient / pairs]
}
