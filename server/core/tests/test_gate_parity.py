"""The two-sample tests of rollout gates against SciPy, on the same samples."""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

PROGRAM = Path(os.environ.get("EDGEFLOW_GATE_COMPARISON", Path(__file__).parents[3] / "target/debug/examples/comparison"))


def ask(updated, others, paired=False, measure="amount", bound=0.0, frames=1):
    reports = [[[[float(value), frames] for value in robot] for robot in arm] for arm in (updated, others)]
    question = {"measure": measure, "paired": paired, "updated": reports[0], "others": reports[1], "bound": bound}
    done = subprocess.run([PROGRAM], input=json.dumps(question), capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def robots(seed, count, reports=30, mean=0.0, between=1.0):
    random = np.random.default_rng(seed)
    return [mean + between * random.normal() + random.normal(size=reports) for _ in range(count)]


@pytest.mark.parametrize("bound", [0.0, 0.4, -1.0])
def test_robots_against_others_are_welchs_test_on_their_means(bound):
    updated, others = robots(1, 8, mean=0.5), robots(2, 12)
    ours = ask(updated, others, bound=bound)
    means = [np.mean(arm, axis=1) for arm in (updated, others)]
    for alternative, mine in (("greater", "above"), ("less", "below")):
        welch = stats.ttest_ind(means[0] - bound, means[1], equal_var=False, alternative=alternative)
        assert ours[mine] == pytest.approx(welch.pvalue, rel=1e-9)
    assert ours["freedom"] == pytest.approx(welch.df, rel=1e-9)
    interval = stats.ttest_ind(*means, equal_var=False).confidence_interval(0.95)
    assert ours["half_width"] == pytest.approx((interval.high - interval.low) / 2, rel=1e-6)


def test_robots_against_themselves_are_students_paired_test_on_their_means():
    before = robots(3, 6)
    updated = [robot + 0.3 + shift for robot, shift in zip(robots(4, 6, between=0.2), np.mean(before, axis=1))]
    ours = ask(updated, before, paired=True, bound=0.1)
    theirs = stats.ttest_rel(np.mean(updated, axis=1) - 0.1, np.mean(before, axis=1), alternative="greater")
    assert ours["above"] == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours["freedom"] == pytest.approx(theirs.df)


def test_one_canary_is_students_pooled_test_of_one_against_many():
    # Crawford and Howell (1998): Student's test with one value on one side. Robots differ by more than their reports scatter.
    updated, others = robots(5, 1, mean=3, between=5), robots(6, 9, between=5)
    ours = ask(updated, others)
    means = [np.mean(arm, axis=1) for arm in (updated, others)]
    theirs = stats.ttest_ind(*means, equal_var=True, alternative="greater")
    assert ours["above"] == pytest.approx(theirs.pvalue, rel=1e-9)
    assert ours["freedom"] == pytest.approx(theirs.df)


def effective_size(values):
    """As edgeflow_drift documents it: freed of its bias, and doubted."""
    n = len(values)
    scores = values - np.mean(values)
    r = float(np.dot(scores[:-1], scores[1:]) / np.dot(scores, scores))
    rho = min(max((r + 1 / n) / (1 - 3 / n), 0), 1)
    return min(max(n * (1 - rho) / (1 + rho) * math.exp(-4 / (n * (1 - rho**2))), 1), n)


def test_one_robot_against_itself_is_welchs_test_at_its_effective_size():
    random = np.random.default_rng(7)
    arms = []
    for mean in (0.4, 0.0):
        values = [random.normal()]
        for _ in range(119):
            values.append(0.7 * values[-1] + math.sqrt(1 - 0.7**2) * random.normal())
        arms.append(np.array(values) + mean)
    ours = ask([arms[0]], [arms[1]], paired=True)
    sizes = [effective_size(arm) for arm in arms]
    assert all(size < 60 for size in sizes)
    theirs = stats.ttest_ind_from_stats(
        np.mean(arms[0]), np.std(arms[0], ddof=1), sizes[0], np.mean(arms[1]), np.std(arms[1], ddof=1), sizes[1], equal_var=False, alternative="greater"
    )
    assert ours["above"] == pytest.approx(theirs.pvalue, rel=1e-6)


def test_shares_scatter_no_less_than_their_frames_do():
    # Reports that are all right: what is left is the binomial's, two successes and failures added (Agresti and Caffo 2000).
    ours = ask([[1.0] * 40], [[1.0] * 40], paired=True, measure="share_of_frames", frames=10, bound=-0.05)
    p = (400 + 1) / (400 + 2)
    variance = p * (1 - p) / 400
    assert ours["updated"][0][1] == pytest.approx(variance, rel=1e-9)
    assert ours["error"] == pytest.approx(math.sqrt(2 * variance), rel=1e-9)
    assert ours["above"] == pytest.approx(stats.t.sf(0.05 / math.sqrt(2 * variance), ours["freedom"]), rel=1e-6)


def test_a_share_of_independent_frames_has_its_binomial_error():
    random = np.random.default_rng(8)
    arms = [random.binomial(20, p, 400) / 20 for p in (0.90, 0.92)]
    ours = ask([arms[0]], [arms[1]], paired=True, measure="share_of_frames", frames=20)
    p = [np.mean(arm) for arm in arms]
    binomial = math.sqrt(sum(share * (1 - share) / 8000 for share in p))
    # Of 400 reports the scatter is known to a few hundredths.
    assert ours["error"] == pytest.approx(binomial, rel=0.1)
    z = stats.norm.sf((p[0] - p[1]) / binomial)
    assert ours["above"] == pytest.approx(z, abs=0.02)
