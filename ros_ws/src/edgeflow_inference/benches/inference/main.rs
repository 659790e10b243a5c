//! What the engine, the node and HTTP cost beside what they stand on, measured in one run: prints one JSON object per figure;
//! `cargo xtask bench inference` reads them. Every pair is interleaved, so that a slow spell of the machine meets both.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, missing_docs)]

mod drift;
mod engine;
mod http;
mod image;
mod node;
#[path = "../../tests/support/mod.rs"]
mod support;
mod swap;

use std::time::Instant;

fn main() {
    // One part by its name, or all: `cargo bench --bench inference -- http`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 6] = [
        ("engine", engine::run),
        ("image", image::run),
        ("drift", drift::run),
        ("swap", swap::run),
        ("http", http::run),
        ("node", node::run),
    ];
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            run();
        }
    }
}

/// Prints a figure that stands by itself.
fn figure(id: &str, value: f64, unit: &str) {
    println!(r#"{{"id":"{id}","value":{value},"unit":"{unit}","ratio_to":null,"ratio":null}}"#);
}

/// Prints an anchor, and the figure that is held against it.
fn ratio(id: &str, value: f64, unit: &str, anchor_id: &str, anchor: f64) {
    figure(anchor_id, anchor, unit);
    let ratio = value / anchor;
    println!(r#"{{"id":"{id}","value":{value},"unit":"{unit}","ratio_to":"{anchor_id}","ratio":{ratio}}}"#);
}

/// Microseconds of each of `calls` calls of both, in turns of `turn`.
fn interleaved(calls: usize, turn: usize, mut one: impl FnMut(), mut other: impl FnMut()) -> (Vec<f64>, Vec<f64>) {
    let (mut ones, mut others) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
    while ones.len() < calls {
        (0..turn).for_each(|_| ones.push(timed(&mut one)));
        (0..turn).for_each(|_| others.push(timed(&mut other)));
    }
    (ones, others)
}

fn timed(call: &mut impl FnMut()) -> f64 {
    let began = Instant::now();
    call();
    began.elapsed().as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
