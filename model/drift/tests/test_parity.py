"""The statistics of edgeflow_drift against SciPy and Evidently, on the same samples.

Where both see the same bins the figures agree to rounding. Where they see the values themselves, or bins of their own, the
tolerance is what binning can do, and is stated with each test.
"""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidently.legacy.calculations.stattests import (
    chi_stat_test,
    jensenshannon_stat_test,
    kl_div_stat_test,
    ks_stat_test,
    psi_stat_test,
    wasserstein_stat_test,
)
from evidently.legacy.core import ColumnType
from scipy import special, stats
from scipy.spatial.distance import jensenshannon

PROGRAM = Path(os.environ.get("EDGEFLOW_DRIFT_STATISTICS", Path(__file__).parents[3] / "target/debug/examples/statistics"))


def ask(baseline, window, categories=False, chances=()):
    question = {"baseline": list(map(float, baseline)), "window": list(map(float, window)), "categories": categories, "chances": list(chances)}
    done = subprocess.run([PROGRAM], input=json.dumps(question), capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def samples():
    """Names and pairs of baseline and window: shifts, spreads and shapes."""
    random = np.random.default_rng(7)
    yield "same", random.normal(50, 5, 4000), random.normal(50, 5, 500)
    yield "shifted", random.normal(50, 5, 4000), random.normal(52.5, 5, 500)
    yield "wider", random.normal(50, 5, 4000), random.normal(50, 8, 500)
    yield "skewed", random.lognormal(0, 0.7, 4000), random.lognormal(0.2, 0.7, 500)
    yield "uniform", random.uniform(0, 1, 4000), random.uniform(0.1, 1.1, 300)


CASES = [pytest.param(baseline, window, id=name) for name, baseline, window in samples()]


def width(ours, baseline, window):
    """Mean width of the bins values lie in: moving a value within its bin moves Wasserstein's distance by no more than that,
    and all together by far less."""
    edges = [min(baseline.min(), window.min()), *ours["edges"], max(baseline.max(), window.max())]
    return float(np.dot(np.diff(edges), np.maximum(ours["counts"], 1)) / len(window))


def smoothed(counts):
    counts = np.asarray(counts, float)
    return (counts + 0.5) / (counts.sum() + 0.5 * len(counts))


@pytest.mark.parametrize("baseline, window", CASES)
def test_bins_are_those_of_numpy(baseline, window):
    ours = ask(baseline, window)
    edges = [-math.inf, *ours["edges"], math.inf]
    # NumPy's last bin is closed; nothing is infinite here.
    assert np.histogram(baseline, edges)[0].tolist() == ours["baseline_counts"]
    assert np.histogram(window, edges)[0].tolist() == ours["counts"]
    deciles = np.quantile(baseline, np.arange(1, 10) / 10)
    assert ours["edges"] == pytest.approx(deciles, abs=0.01 * np.std(baseline))


@pytest.mark.parametrize("baseline, window", CASES)
def test_divergences_are_scipys_over_the_same_shares(baseline, window):
    ours = ask(baseline, window)
    p, q = smoothed(ours["counts"]), smoothed(ours["baseline_counts"])
    assert ours["kl"] == pytest.approx(stats.entropy(p, q), rel=1e-9)
    assert ours["psi"] == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-9)
    assert ours["js"] == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-9)
    n = len(window)
    assert ours["chi_square"] == pytest.approx(stats.chisquare(ours["counts"], n * q).statistic, rel=1e-9)


@pytest.mark.parametrize("baseline, window", CASES)
def test_moments_are_numpys(baseline, window):
    ours = ask(baseline, window)
    # A window adds in steps of a millionth of the baseline's standard deviation.
    tolerance = 1e-6 * np.std(baseline)
    assert ours["mean"] == pytest.approx(np.mean(window), abs=tolerance)
    assert ours["std"] == pytest.approx(np.std(window, ddof=1), abs=tolerance)
    assert ours["baseline_mean"] == pytest.approx(np.mean(baseline), rel=1e-10)
    assert ours["baseline_std"] == pytest.approx(np.std(baseline, ddof=1), rel=1e-10)
    assert ours["outside"] == int(((window < baseline.min()) | (window > baseline.max())).sum())


@pytest.mark.parametrize("baseline, window", CASES)
def test_distances_are_scipys_to_within_a_bin(baseline, window):
    ours = ask(baseline, window)
    # Of the same bins: exact. Of the values: lower by no more than the greatest share of a bin.
    bins = [np.repeat(np.arange(len(counts)), counts) for counts in (ours["baseline_counts"], ours["counts"])]
    assert ours["ks"] == pytest.approx(stats.ks_2samp(*bins).statistic, abs=1e-12)
    exact = stats.ks_2samp(baseline, window).statistic
    share = max(np.max(ours["baseline_counts"]) / len(baseline), np.max(ours["counts"]) / len(window))
    assert exact - share <= ours["ks"] <= exact + 1e-12
    assert ours["wasserstein"] == pytest.approx(stats.wasserstein_distance(baseline, window), abs=width(ours, baseline, window) / 4)


@pytest.mark.parametrize("baseline, window", CASES)
def test_location_is_mann_and_whitneys_u(baseline, window):
    ours = ask(baseline, window)
    bins = [np.repeat(np.arange(len(counts)), counts) for counts in (ours["counts"], ours["baseline_counts"])]
    m, n = len(baseline), len(window)
    binned = stats.mannwhitneyu(*bins).statistic / (m * n) - 0.5
    # Our baseline's shares are smoothed by half a value per bin.
    assert ours["location"] == pytest.approx(binned, abs=len(ours["counts"]) / m)
    # Ranks within a bin are lost: with ten bins a twentieth at the very most, an average of half that and less.
    assert ours["location"] == pytest.approx(stats.mannwhitneyu(window, baseline).statistic / (m * n) - 0.5, abs=0.02)


def test_chances_are_scipys():
    t = [("t", [x, freedom]) for x in (0.5, 2.0, -4.0, 8.0) for freedom in (1.0, 3.7, 50.0, 5000.0)]
    ks = [("ks", [d, m, n]) for d in (0.05, 0.1, 0.3) for m in (4000.0, 200.5) for n in (50.0, 333.3)]
    outside = [("outside", [k, n, m]) for k in (1.0, 3.0, 17.0) for n in (20.0, 100.0, 2000.0) for m in (50.0, 4000.0)]
    ours = ask(range(100), range(50), chances=t + ks + outside)["chances"]
    expected = [2 * stats.t.sf(abs(x), freedom) for _, (x, freedom) in t]
    expected += [special.kolmogorov(d / math.sqrt(1 / m + 1 / n)) for _, (d, m, n) in ks]
    expected += [stats.betabinom.sf(k - 1, n, 2, m - 1) for _, (k, n, m) in outside]
    # The rarest are differences of logarithms of factorials.
    assert ours == pytest.approx(expected, rel=1e-4, abs=1e-12)


def evidently(test, baseline, window, kind=ColumnType.Numerical, threshold=0.1):
    return test.func(pd.Series(baseline), pd.Series(window), kind, threshold)[0]


@pytest.mark.parametrize("baseline, window", CASES)
def test_evidently_sees_the_same_drift(baseline, window):
    ours = ask(baseline, window)
    # The same formula on the values themselves: a p-value of the distance, which binning only lowers.
    exact = stats.ks_2samp(baseline, window)
    assert evidently(ks_stat_test, baseline, window) == pytest.approx(exact.pvalue, rel=1e-6)
    assert ours["ks"] <= exact.statistic + 1e-12
    # Evidently scales by the baseline's standard deviation.
    theirs = evidently(wasserstein_stat_test, baseline, window)
    assert ours["wasserstein"] / ours["baseline_std"] == pytest.approx(theirs, abs=width(ours, baseline, window) / np.std(baseline) / 4)
    # Evidently's own bins are equally wide, some 30 of them: its figures for numbers are others. Given the same bins, as
    # categories, they agree to within what smoothing does, unless a bin is nearly empty: there Evidently does not smooth, and
    # puts a share of 0.0001 where there is nothing at all.
    edges = [-math.inf, *ours["edges"], math.inf]
    if min(ours["counts"]) < 5:
        return
    binned = [np.digitize(values, edges).astype(str) for values in (baseline, window)]
    for name, test, power in (("psi", psi_stat_test, 1), ("kl", kl_div_stat_test, 1), ("js", jensenshannon_stat_test, 2)):
        # Its Kullback-Leibler divergence is of the baseline from the window.
        theirs = evidently(test, *(reversed(binned) if name == "kl" else binned), ColumnType.Categorical) ** power
        # Smoothing moves a share by no more than half a value.
        assert ours[name] == pytest.approx(theirs, rel=0.05, abs=1 / len(window)), name


def test_categories_agree_with_scipy_and_evidently():
    random = np.random.default_rng(3)
    baseline = random.choice(4, 4000, p=[0.4, 0.3, 0.2, 0.1])
    window = random.choice(4, 500, p=[0.3, 0.3, 0.25, 0.15])
    ours = ask(baseline, window, categories=True)
    assert ours["codes"] == [0, 1, 2, 3] and ours["counts"][-1] == 0
    was, seen = np.array(ours["baseline_counts"][:4]), np.array(ours["counts"][:4])
    assert np.array_equal(was, np.bincount(baseline)) and np.array_equal(seen, np.bincount(window))
    # Half a value per category of smoothing, of 4000.
    expected = stats.chisquare(seen, was / 4000 * 500)
    assert ours["chi_square"] == pytest.approx(expected.statistic, rel=0.01)
    theirs = evidently(chi_stat_test, baseline.astype(str), window.astype(str), ColumnType.Categorical)
    assert theirs == pytest.approx(expected.pvalue, rel=1e-6)
    assert stats.chi2.sf(ours["chi_square"], 3) == pytest.approx(theirs, rel=0.05)
    psi = evidently(psi_stat_test, baseline.astype(str), window.astype(str), ColumnType.Categorical)
    assert ours["psi"] == pytest.approx(psi, rel=0.05)
