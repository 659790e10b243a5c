import { describe, expect, it } from 'vitest';
import { drawing } from './drift';
import { colourOf, curve, dashOf, isCurve, logTicks, nearestX, path, rangeX, rangeY, seconds, share, smoothed, undrawable, type XY } from './plot';
import type { RunMetric } from './runs';

const value = (run: string, step: number, v: RunMetric['value'], t_us = step * 1e6): RunMetric => ({ run, key: 'loss', step, value: v, t_us });
const same = (n: number) => n;

describe('curves', () => {
  it('are of one run, in order, over steps, seconds since its beginning, or the clock', () => {
    const values = [value('a', 2, 0.5), value('b', 0, 9), value('a', 1, 'NaN')];
    expect(curve(values, 'a', 'step', 0)).toEqual([[1, Number.NaN], [2, 0.5]]);
    expect(curve(values, 'a', 'elapsed', 1e6).map(([x]) => x)).toEqual([0, 1]);
    expect(curve(values, 'a', 'clock', 0).map(([x]) => x)).toEqual([1e6, 2e6]);
  });

  it('are lines only where they go somewhere', () => {
    expect([isCurve({ points: [] }), isCurve({ points: [[0, 1], [0, 2]] }), isCurve({ points: [[0, 1], [1, 2]] })]).toEqual([false, false, true]);
  });

  it('have gaps where a value is no number, and a dot for one alone between gaps', () => {
    const points: XY[] = [[0, 1], [1, Number.NaN], [2, 3], [3, Number.POSITIVE_INFINITY], [4, 5], [5, 6]];
    expect(path(points, same, same, false)).toBe('M0.0 1.0h0.01M2.0 3.0h0.01M4.0 5.0L5.0 6.0');
    expect(undrawable(points, false).map(([x]) => x)).toEqual([1, 3]);
  });

  it('leave out what a logarithm has no place for', () => {
    expect(path([[0, 0], [1, -1], [2, 10]], same, same, true)).toBe('M2.0 10.0h0.01');
    expect(undrawable([[0, 0], [2, 10]], true)).toEqual([[0, 0]]);
  });
});

describe('ranges', () => {
  it('hold every value that can be drawn, with air', () => {
    const [low, high] = rangeY([{ points: [[0, 1], [1, 2], [2, Number.NaN]] }], false)!;
    expect(low).toBeLessThan(1);
    expect(high).toBeGreaterThan(2);
    expect(rangeY([{ points: [[0, Number.NaN]] }], false)).toBeNull();
    expect(rangeY([{ points: [[0, -1]] }], true)).toBeNull();
    expect(rangeX([])).toEqual([0, 1]);
    expect(rangeX([{ points: [[5, 1]] }])).toEqual([4, 6]);
  });

  it('stay finite at the ends of what a double holds', () => {
    for (const [low, high] of [[-1.7e308, 1.7e308], [1.7e308, 1.7e308], [5e-324, 5e-324]] as const) {
      const range = rangeY([{ points: [[0, low], [1, high]] }], false)!;
      expect(range.every(Number.isFinite)).toBe(true);
      expect(range[1]).toBeGreaterThan(range[0]);
      const at = [low, high].map((value) => share(value, ...range));
      expect(at.every((place) => place >= 0 && place <= 1)).toBe(true);
    }
  });

  it('have round ticks on a logarithmic axis', () => {
    expect(logTicks(0.0009, 1100, 10)).toEqual([0.001, 0.01, 0.1, 1, 10, 100, 1000]);
    expect(logTicks(1e-12, 1e12, 4).length).toBeLessThanOrEqual(6);
    expect(logTicks(2, 3, 4).length).toBeGreaterThan(1);
  });
});

describe('reading a chart', () => {
  it('finds the nearest point, at the ends too', () => {
    const points: XY[] = [[0, 1], [10, 2], [20, 3]];
    expect([-5, 4, 6, 99].map((x) => nearestX(points, x)?.[0])).toEqual([0, 0, 10, 20]);
    expect(nearestX([], 1)).toBeNull();
  });

  it('tells more than eight runs apart', () => {
    expect([colourOf(0), colourOf(7), colourOf(8)]).toEqual([1, 8, 1]);
    expect(dashOf(0)).toBeUndefined();
    expect(dashOf(8)).not.toBe(dashOf(16));
  });

  it('smooths without beginning at zero, and keeps what is no number', () => {
    const out = smoothed([[0, 10], [1, Number.NaN], [2, 10]], 0.9);
    expect(out[0]![1]).toBeCloseTo(10);
    expect(out[1]![1]).toBeNaN();
    expect(out[2]![1]).toBeCloseTo(10);
  });

  it('says durations shortly', () => {
    expect([0, 0.25, 90, 600, 36_000, 864_000].map(seconds)).toEqual(['0 s', '250 ms', '90 s', '10 min', '10 h', '10 d']);
  });
});

describe('a drift reference as a picture', () => {
  it('shows where values lie: narrow bins of the same share stand taller', () => {
    const { bars, low, high } = drawing({ name: 'x', edges: [0, 1, 4], counts: [5, 10, 10, 5] });
    expect(bars.map(({ x, width, height }) => [x, width, Number(height.toFixed(3))])).toEqual([[0, 0.25, 1], [0.25, 0.75, 0.333]]);
    expect([low, high]).toEqual(['0.00', '4.00']);
  });

  it('gives categories the same width, and does not break where there is nothing', () => {
    expect(drawing({ name: 'c', categories: [{ code: 1, name: 'mono8' }], counts: [3, 1] }).bars.map(({ label, width }) => [label, width])).toEqual([['mono8', 0.5], ['others', 0.5]]);
    expect(drawing({ name: 'e', counts: [] }).bars).toEqual([]);
    expect(drawing({ name: 'same', edges: [2, 2], counts: [1, 1, 1] }).bars).toHaveLength(3);
  });
});
