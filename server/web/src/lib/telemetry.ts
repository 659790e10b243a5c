// Telemetry series of one robot.

import { toNumber, type WireNumber } from './format';
import type { Point } from './scale';

export type Channel = 'accuracy' | 'fps' | 'latency_p50_us' | 'latency_p95_us' | 'max_psi';

/** How finely a series is shown. */
export type Resolution = 'raw' | 'minute' | 'hour';

export interface Telemetry {
  channel: string;
  unit: string;
  resolution: Resolution;
  points: [number, WireNumber][];
}

/** Channels of one robot. */
export interface Channels {
  channels: string[];
  /** Units of the channels that software on the robot named itself; empty where it gave none. */
  units: Record<string, string>;
}

export function readPoints(telemetry: Telemetry): Point[] {
  return telemetry.points.map(([t, value]) => [t, toNumber(value)] as const).filter(([, value]) => Number.isFinite(value));
}

/** What a chart says of series that are shown more coarsely than they came; nothing of those that are not. */
export function resolutionNote(shown: readonly Resolution[]): string {
  if (shown.includes('hour')) return 'means of an hour';
  return shown.includes('minute') ? 'means of a minute' : '';
}

/** Merges points by time, oldest first, keeping the newest `limit`. A replayed past falls into its place. */
export function mergePoints(known: readonly Point[], incoming: readonly Point[], limit = 5_000): Point[] {
  const byTime = new Map<number, Point>();
  for (const point of known) byTime.set(point[0], point);
  for (const point of incoming) byTime.set(point[0], point);
  return [...byTime.values()].sort((a, b) => a[0] - b[0]).slice(-limit);
}
