import { describe, expect, it } from 'vitest';
import { rowAt, scrollFor, windowOf, windowOfOffsets } from './virtual';

describe('rows of one height', () => {
  it('are drawn where they are in sight, and a few around', () => {
    expect(windowOf(10_000, 20, 0, 400, 5)).toEqual({ first: 0, end: 25, above: 0, below: 199_500 });
    expect(windowOf(10_000, 20, 100_000, 400, 5)).toEqual({ first: 4_995, end: 5_025, above: 99_900, below: 99_500 });
  });

  it('reach the last one, and no further', () => {
    expect(windowOf(10_000, 20, 200_000 - 400, 400, 5)).toMatchObject({ end: 10_000, below: 0 });
    expect(windowOf(10_000, 20, 9e9, 400, 5)).toMatchObject({ first: 9_975, end: 10_000 });
    expect(windowOf(0, 20, 300, 400)).toEqual({ first: 0, end: 0, above: 0, below: 0 });
    expect(windowOf(3, 20, -50, 400)).toMatchObject({ first: 0, end: 3 });
  });

  it('always add up to the whole height', () => {
    for (let top = -100; top < 25_000; top += 173) {
      const { first, end, above, below } = windowOf(1_000, 20, top, 333);
      expect(above + (end - first) * 20 + below).toBe(20_000);
    }
  });
});

describe('rows of several heights', () => {
  const offsets = [0];
  for (let i = 0; i < 1_000; i += 1) offsets.push(offsets.at(-1)! + (i % 10 === 0 ? 30 : 18));

  it('are found by where they begin', () => {
    for (const row of [0, 1, 9, 10, 11, 500, 999]) {
      expect(rowAt(offsets, offsets[row]!)).toBe(row);
      expect(rowAt(offsets, offsets[row + 1]! - 1)).toBe(row);
    }
    expect(rowAt(offsets, 1e9)).toBe(999);
    expect(rowAt([0], 5)).toBe(0);
  });

  it('cover what is in sight at every place', () => {
    for (let top = 0; top < offsets.at(-1)!; top += 97) {
      const { first, end } = windowOfOffsets(offsets, top, 396);
      const from = Math.min(top, offsets.at(-1)! - 396);
      expect(offsets[first]!).toBeLessThanOrEqual(from);
      expect(offsets[end]!).toBeGreaterThanOrEqual(from + 396);
      expect(end - first).toBeLessThan(40);
    }
    expect(windowOfOffsets([0], 0, 396)).toEqual({ first: 0, end: 0, above: 0, below: 0 });
  });
});

it('scrolls no further than it must', () => {
  expect([scrollFor(50, 70, 0, 100), scrollFor(50, 70, 60, 100), scrollFor(150, 170, 0, 100)]).toEqual([0, 50, 70]);
});
