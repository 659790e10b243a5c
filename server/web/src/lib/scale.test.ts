import { describe, expect, it } from 'vitest';
import { domainOf, nearest, niceTicks, segments, timeTicks, type Point } from './scale';

describe('ticks', () => {
  it('are round and inside', () => {
    expect(niceTicks(0, 1, 4)).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(niceTicks(0.83, 0.98, 3)).toEqual([0.85, 0.9, 0.95]);
    expect(niceTicks(3, 3, 4)).toEqual([]);
  });

  it('of time fall on round moments and are not more than asked for', () => {
    const minute = 60_000_000;
    expect(timeTicks(minute / 2, 5.5 * minute, 5).map((t) => t / minute)).toEqual([1, 2, 3, 4, 5]);
    expect(timeTicks(0, 3 * 86_400_000_000, 4).length).toBeLessThanOrEqual(4);
  });
});

describe('domain', () => {
  it('leaves air, keeps bounds and never has zero height', () => {
    expect(domainOf([0.98, 1], { floor: 0, ceiling: 1 })[1]).toBe(1);
    const [low, high] = domainOf([20, 20]);
    expect(low).toBeLessThan(20);
    expect(high).toBeGreaterThan(20);
    expect(domainOf([5, 10], { zero: true })[0]).toBe(0);
    expect(domainOf([Number.NaN], { floor: 0 })).toEqual([0, 1]);
    const [bottom, top] = domainOf([1, 1], { floor: 0, ceiling: 1 });
    expect(top).toBeGreaterThan(bottom);
  });
});

describe('lines', () => {
  const at = (...times: number[]): Point[] => times.map((t) => [t, 1]);

  it('break where points are missing, not where they are a little late', () => {
    expect(segments(at(0, 10, 20, 35, 45, 200, 210)).map((part) => part.length)).toEqual([5, 2]);
    expect(segments([])).toEqual([]);
    expect(segments(at(5))).toEqual([at(5)]);
  });

  it('are read at the nearest point', () => {
    const points = at(0, 10, 20);
    expect([-5, 4, 6, 15, 16, 99].map((t) => nearest(points, t))).toEqual([0, 0, 1, 1, 2, 2]);
    expect(nearest([], 1)).toBe(-1);
  });
});
