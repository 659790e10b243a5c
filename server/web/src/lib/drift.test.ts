import { describe, expect, it } from 'vitest';
import { barPosition, bars, baselineCounts, bins, fleetDriftLines, meanShift, shares, towardsThreshold, type Baseline, type DriftFeature, type FleetDriftVerdict } from './drift';

describe('histograms', () => {
  it('have one more bin than edges, open at both ends, and shares that add up to one', () => {
    const drawn = bins([10, 20], [2, 6, 2], [50, 30, 20]);
    expect(drawn.map(({ label }) => label)).toEqual(['below 10.0', '10.0 to 20.0', '20.0 and above']);
    expect(drawn.map(({ window }) => window)).toEqual([0.2, 0.6, 0.2]);
    expect(drawn.map(({ baseline }) => baseline)).toEqual([0.5, 0.3, 0.2]);
    expect(shares([1, 2, 4]).reduce((a, b) => a + b)).toBeCloseTo(1);
  });

  it('of nothing are flat, not NaN', () => {
    expect(shares([0, 0])).toEqual([0, 0]);
    expect(bins([], [7], null)).toEqual([{ label: 'all', window: 1, baseline: null }]);
  });

  it('show no baseline that was binned otherwise', () => {
    const baseline: Baseline = { v: 1, features: [{ name: 'brightness', edges: [1, 2], counts: [3, 4, 5] }] };
    expect(baselineCounts(baseline, { name: 'brightness', edges: [1, 2] })).toEqual([3, 4, 5]);
    expect(baselineCounts(baseline, { name: 'brightness', edges: [1, 2.5] })).toBeNull();
    expect(baselineCounts(baseline, { name: 'contrast', edges: [1, 2] })).toBeNull();
    expect(baselineCounts(null, { name: 'brightness', edges: [1, 2] })).toBeNull();
    expect(bins([1, 2], [1, 1, 1], [1, 1])[0]?.baseline).toBeNull();
  });
});

describe('features with categories', () => {
  const baseline: Baseline = { v: 2, features: [{ name: 'output.class', categories: [{ code: 0, name: 'cat' }, { code: 1, name: 'dog' }], counts: [30, 60, 10] }] };
  const feature = { name: 'output.class', edges: [], categories: ['cat', 'dog', '(other)'] };

  it('have bins that are named, and a baseline by the same names', () => {
    expect(bins([], [1, 3, 0], baselineCounts(baseline, feature), feature.categories).map(({ label, window, baseline }) => [label, window, baseline])).toEqual([
      ['cat', 0.25, 0.3],
      ['dog', 0.75, 0.6],
      ['(other)', 0, 0.1],
    ]);
    expect(baselineCounts(baseline, { ...feature, categories: ['dog', 'cat', '(other)'] })).toBeNull();
  });
});

describe('bars', () => {
  it('lead with the statistic that chance explains least, and are three', () => {
    const feature = { psi: 1, psi_threshold: 2, ks: 0.1, ks_threshold: 0.2, location: -0.4, location_threshold: 0.1, spread: 'NaN', spread_threshold: 'NaN', outside: 0, outside_threshold: 0.1, chi_square: 9, chi_square_threshold: 'NaN', strongest: 'location' } as unknown as DriftFeature;
    expect(bars(feature).map(({ name, value, threshold }) => [name, value, threshold])).toEqual([['Location', 0.4, 0.1], ['PSI', 1, 2], ['KS', 0.1, 0.2]]);
    // What a robot sends that knows two statistics only.
    const old = { psi: 1, psi_threshold: 2, ks: 0.1, ks_threshold: 0.2 } as unknown as DriftFeature;
    expect(bars(old).map(({ key }) => key)).toEqual(['psi', 'ks']);
  });

  it('put the threshold in the middle and fit any value', () => {
    expect(barPosition(towardsThreshold(0.2, 0.4))).toBe(0.25);
    expect(barPosition(1)).toBe(0.5);
    const far = [1.01, 2, 8, 1000].map(barPosition);
    expect(far).toEqual([...far].sort((a, b) => a - b));
    expect(far[0]).toBeGreaterThan(0.5);
    expect(far.at(-1)).toBeLessThan(1);
    expect(barPosition(towardsThreshold('Infinity', 0.4))).toBe(1);
  });

  it('are empty without a value or a threshold', () => {
    expect(barPosition(towardsThreshold('NaN', 0.4))).toBe(0);
    expect(barPosition(towardsThreshold(1, 0))).toBe(0);
  });

  it('shift in baseline standard deviations', () => {
    expect(meanShift({ mean: 40, baseline_mean: 52, baseline_std: 6 })).toBe(-2);
  });
});

describe("the control plane's verdict", () => {
  const feature = (name: string, verdict: FleetDriftVerdict['verdict'], robots: string[] = [], sites: string[] = []): FleetDriftVerdict['features'][number] => ({ digest: 'd', name, subject: 'input', verdict, p: 0, q: 0, statistic: 1, n: 300, merged_robots: 3, robots, sites, of_robots: 3, of_sites: 2 });
  const view = (...features: FleetDriftVerdict['features']): FleetDriftVerdict => ({ verdict: 'none', false_discoveries: 0.05, robots: 3, features });

  it('is a sentence for each cause, features together', () => {
    expect(fleetDriftLines(view(feature('brightness', 'sensor', ['robot-2']), feature('contrast', 'sensor', ['robot-2']), feature('output.class', 'none')))).toEqual(['robot-2 drifts in brightness and contrast: look at the sensor.']);
    expect(fleetDriftLines(view(feature('hue', 'site', ['a', 'b'], ['lab']), feature('size', 'fleet', ['a', 'b', 'c'])))).toEqual(['lab drifts in hue: look at the site.', 'The fleet drifts in size: the world changed, or the model is not the one for it.']);
    expect(fleetDriftLines(view(feature('hue', 'none')))).toEqual(['Nothing drifts, over the newest windows of 3 robots.']);
    expect(fleetDriftLines(view(feature('hue', 'sensor', ['a', 'b', 'c', 'd', 'e', 'f'])))[0]).toBe('a, b, c, d and 2 more drift in hue: look at the sensors.');
  });
});
