// Axes: round ticks for values and for time.

/** About `n` round values that lie within [min, max]. */
export function niceTicks(min: number, max: number, n: number): number[] {
  if (!(max > min) || n < 1) return [];
  const raw = (max - min) / n;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999) ?? 10 * power;
  const ticks: number[] = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max + step * 1e-9; i += 1) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

const SECOND = 1_000_000;
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400].map((s) => s * SECOND);

/** At most `n` round moments within [from, to], microseconds. */
export function timeTicks(fromUs: number, toUs: number, n: number): number[] {
  if (!(toUs > fromUs) || n < 1) return [];
  const step = TIME_STEPS.find((s) => (toUs - fromUs) / s <= n) ?? 86_400 * SECOND * Math.ceil((toUs - fromUs) / (86_400 * SECOND * n));
  const ticks: number[] = [];
  for (let t = Math.ceil(fromUs / step) * step; t <= toUs; t += step) ticks.push(t);
  return ticks;
}

/** A domain around the values with a little air, never of zero height; `floor` and `ceiling` are not exceeded. */
export function domainOf(values: number[], options: { floor?: number; ceiling?: number; zero?: boolean } = {}): [number, number] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [options.floor ?? 0, options.ceiling ?? 1];
  let low = finite.reduce((a, b) => Math.min(a, b));
  let high = finite.reduce((a, b) => Math.max(a, b));
  if (options.zero) low = Math.min(0, low);
  const air = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
  if (!options.zero) low -= air;
  high += air;
  if (options.floor !== undefined) low = Math.max(options.floor, low);
  if (options.ceiling !== undefined) high = Math.min(options.ceiling, high);
  return high > low ? [low, high] : [low - air, low + air];
}

export type Point = readonly [tUs: number, value: number];

/** Cuts a line where points are missing: a gap is more than four times the usual distance. */
export function segments(points: readonly Point[]): Point[][] {
  if (points.length === 0) return [];
  const distances = points.slice(1).map((p, i) => p[0] - points[i]![0]).sort((a, b) => a - b);
  const usual = distances[Math.floor(distances.length / 2)] ?? 0;
  const out: Point[][] = [[points[0]!]];
  for (let i = 1; i < points.length; i += 1) {
    const point = points[i]!;
    if (!Number.isFinite(point[1])) continue;
    if (usual > 0 && point[0] - points[i - 1]![0] > usual * 4) out.push([]);
    out[out.length - 1]!.push(point);
  }
  return out;
}

/** Index of the point nearest in time; -1 when there is none. */
export function nearest(points: readonly Point[], tUs: number): number {
  let low = 0;
  let high = points.length - 1;
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle]![0] < tUs) low = middle + 1;
    else high = middle;
  }
  return low > 0 && tUs - points[low - 1]![0] <= points[low]![0] - tUs ? low - 1 : low;
}
