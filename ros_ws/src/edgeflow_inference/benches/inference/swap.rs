//! What many swaps leave behind: resident memory after 300 against after 10, with weights that would show.

use super::support::*;
use super::{figure, ratio};

pub(super) fn run() {
    const WEIGHTS: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let bundles = [1.0f32, 2.0].map(|weight| {
        let onnx = model(
            &[node("Add", &["X", "weights"], &["Y"])],
            &[floats("weights", &[WEIGHTS], &vec![weight; WEIGHTS as usize])],
            &[value("X", FLOAT, &[1])],
            &[value("Y", FLOAT, &[WEIGHTS])],
        );
        bundle(&dir.path().join(weight.to_string()), &onnx, None)
    });
    let engine = engine();
    let mut after_ten = 0.0;
    for i in 1..=300 {
        engine.load(&request(&bundles[i % 2]), &mut |_| Ok(())).unwrap();
        match i {
            10 => after_ten = resident_mib(),
            150 => figure("swap_rss_after_150_mib", resident_mib(), "MiB"),
            _ => {}
        }
    }
    ratio("swap_rss_growth", resident_mib(), "MiB", "swap_rss_after_10_mib", after_ten);
    figure("swap_count", 300.0, "swaps");
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
