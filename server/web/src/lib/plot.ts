// Curves over steps or time: what is drawn of values that may be no numbers, on scales that may be logarithmic. Pure.

import { toNumber } from './format';
import type { RunMetric } from './runs';
import { niceTicks } from './scale';

export type XY = readonly [x: number, y: number];

/** What a curve runs over: steps, seconds since its run began, or the clock (microseconds). */
export type Over = 'step' | 'elapsed' | 'clock';

export interface Line {
  id: string;
  label: string;
  points: readonly XY[];
  /** Which of the runs it is, from 0: says its colour and dash. */
  nth: number;
}

const COLOURS = 8;
/** Number of the series colour of the nth line, 1 to 8. */
export const colourOf = (nth: number): number => (nth % COLOURS) + 1;
/** Lines beyond the colours are told apart by dashes. */
export const dashOf = (nth: number): string | undefined => [undefined, '6 3', '2 3'][Math.floor(nth / COLOURS) % 3];

/** The values of one run as a curve. */
export function curve(values: readonly RunMetric[], run: string, over: Over, startedUs: number): XY[] {
  const x = (value: RunMetric) => (over === 'step' ? value.step : over === 'clock' ? value.t_us : (value.t_us - startedUs) / 1e6);
  return values
    .filter((value) => value.run === run)
    .map((value): XY => [x(value), toNumber(value.value)])
    .sort((a, b) => a[0] - b[0]);
}

/** Whether there is a line to draw, not only points above one place. */
export const isCurve = (line: Pick<Line, 'points'>): boolean => line.points.some(([x]) => x !== line.points[0]![0]);

const drawable = (value: number, log: boolean) => Number.isFinite(value) && (!log || value > 0);

/** From the least to the greatest x of all lines; a single one gets some air. */
export function rangeX(lines: readonly Pick<Line, 'points'>[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { points } of lines) {
    for (const [x] of points) {
      if (x < low) low = x;
      if (x > high) high = x;
    }
  }
  if (!(low <= high)) return [0, 1];
  return low === high ? [low - 1, high + 1] : [low, high];
}

/** A range around all values that can be drawn, with a little air; null when none can. */
export function rangeY(lines: readonly Pick<Line, 'points'>[], log: boolean): [number, number] | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { points } of lines) {
    for (const [, y] of points) {
      if (!drawable(y, log)) continue;
      if (y < low) low = y;
      if (y > high) high = y;
    }
  }
  if (!(low <= high)) return null;
  if (log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.05, high * (high / low) ** 0.05];
  // Halves, because the difference of the greatest doubles is none.
  const air = (high / 2 - low / 2) * 0.24 || Math.abs(high) * 0.1 || 1;
  return [Math.max(-Number.MAX_VALUE, low - air), Math.min(Number.MAX_VALUE, high + air)];
}

/** How far up a range a value is, 0 to 1. */
export const share = (value: number, low: number, high: number): number => (value / 2 - low / 2) / (high / 2 - low / 2);

/** Ticks of a logarithmic axis: powers of ten, or round values when it spans few of them. */
export function logTicks(low: number, high: number, n: number): number[] {
  const [from, to] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  if (to - from < 1) return niceTicks(low, high, n);
  const stride = Math.max(1, Math.ceil((to - from + 1) / (n + 1)));
  const ticks: number[] = [];
  for (let power = from; power <= to; power += stride) ticks.push(Number(`1e${power}`));
  return ticks;
}

/** The path of a curve, with gaps where a value cannot be drawn; a value alone between gaps is a dot. */
export function path(points: readonly XY[], x: (x: number) => number, y: (y: number) => number, log: boolean): string {
  let [text, run] = ['', 0];
  for (const [i, [px, py]] of points.entries()) {
    if (!drawable(py, log)) {
      run = 0;
      continue;
    }
    text += `${run === 0 ? 'M' : 'L'}${x(px).toFixed(1)} ${y(py).toFixed(1)}`;
    run += 1;
    const next = points[i + 1];
    if (run === 1 && (next === undefined || !drawable(next[1], log))) text += 'h0.01';
  }
  return text;
}

/** Where a curve has values that cannot be drawn, and what they are. */
export const undrawable = (points: readonly XY[], log: boolean): XY[] => points.filter(([, y]) => !drawable(y, log));

/** The point nearest to x, whether or not it can be drawn; null of an empty curve. */
export function nearestX(points: readonly XY[], x: number): XY | null {
  let [low, high] = [0, points.length - 1];
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle]![0] < x) low = middle + 1;
    else high = middle;
  }
  const [at, before] = [points[low]!, points[low - 1]];
  return before !== undefined && x - before[0] <= at[0] - x ? before : at;
}

/** Seconds as an axis says them. */
export function seconds(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0 s';
  if (size < 1) return `${Number((value * 1000).toPrecision(3))} ms`;
  if (size < 120) return `${Number(value.toPrecision(3))} s`;
  if (size < 7200) return `${Number((value / 60).toPrecision(3))} min`;
  return size < 172_800 ? `${Number((value / 3600).toPrecision(3))} h` : `${Number((value / 86_400).toPrecision(3))} d`;
}

/** Exponential moving average; values that are no numbers stay what they are and are not carried on. */
export function smoothed(points: readonly XY[], weight: number): XY[] {
  if (weight <= 0) return [...points];
  let [mean, seen] = [0, 0];
  return points.map(([x, y]) => {
    if (!Number.isFinite(y)) return [x, y];
    mean = mean * weight + y * (1 - weight);
    seen += 1;
    // Without this the curve would begin at zero.
    return [x, mean / (1 - weight ** seen)];
  });
}
