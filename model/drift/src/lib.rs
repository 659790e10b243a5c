//! Drift of a feature's distribution: baselines, windows, statistics, verdicts.
