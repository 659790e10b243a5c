//! Any text is a filter, an order, or an error that points into it.
#![no_main]

use edgeflow_core::{
    experiment::EXPERIMENTS,
    logged_model::LOGGED_MODELS,
    run::RUNS,
    search::{Filter, Order},
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let end = text.chars().count() + 1;
    for grammar in [&EXPERIMENTS, &RUNS, &LOGGED_MODELS] {
        for error in [Filter::parse(text, grammar).err(), Order::parse(text, grammar).err()].into_iter().flatten() {
            assert!((1..=end).contains(&error.at), "{error}");
        }
    }
});
