// Drift: windows against the baseline, feature by feature, and the histogram arithmetic behind the pictures.

import { compact, toNumber, type WireCount, type WireNumber } from './format';

export interface DriftFeature {
  name: string;
  n: WireCount;
  n_effective: WireNumber;
  mean: WireNumber;
  baseline_mean: WireNumber;
  std: WireNumber;
  baseline_std: WireNumber;
  psi: WireNumber;
  psi_threshold: WireNumber;
  ks: WireNumber;
  ks_threshold: WireNumber;
  edges: number[];
  counts: number[];
  flagged: boolean;
}

export interface DriftReport {
  model: string;
  model_version: string;
  digest: string;
  /** `bundle`, or `learnt` from the node's first frames. */
  baseline: string;
  window: number;
  start_us: number;
  end_us: number;
  false_alarm_rate: number;
  flagged: boolean;
  max_psi: WireNumber;
  features: DriftFeature[];
}

/** One robot's newest verdict in the fleet's list. */
export interface FleetDrift {
  target: string;
  flagged: boolean;
  max_psi: WireNumber;
  windows: WireCount;
  features: { name: string; psi: WireNumber; psi_threshold: WireNumber; flagged: boolean }[];
  model: string;
  version: string;
  digest: string;
  at_us: number;
}

/** In words, what the pattern over the fleet speaks for: one robot is a sensor, all of them the world or the model. */
export function fleetVerdict(items: readonly FleetDrift[]): string {
  const flagged = items.filter((item) => item.flagged);
  if (items.length === 0) return '';
  if (flagged.length === 0) return items.length === 1 ? 'Its inputs look as they did at training.' : `Inputs of all ${items.length} robots look as they did at training.`;
  const features = [...new Set(flagged.flatMap((item) => item.features.filter((feature) => feature.flagged).map(({ name }) => name)))];
  const what = features.length > 0 ? ` in ${joinWords(features)}` : '';
  if (items.length === 1) return `${flagged[0]!.target} drifts${what}. With one robot watched, sensor and world cannot be told apart.`;
  if (flagged.length === items.length) return `All ${items.length} robots drift${what}: this speaks for the world, or the model, rather than a sensor.`;
  if (flagged.length === 1) return `Only ${flagged[0]!.target} drifts${what}: this speaks for its sensor rather than the world.`;
  return `${flagged.length} of ${items.length} robots drift${what}: look at what they have in common.`;
}

function joinWords(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

/** The `baseline.json` of a bundle. */
export interface Baseline {
  v: number;
  features: { name: string; unit?: string; edges: number[]; counts: number[] }[];
}

/** Counts to shares of the whole; all zero when nothing was counted. */
export function shares(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, n) => sum + n, 0);
  return counts.map((n) => (total > 0 ? n / total : 0));
}

export interface Bin {
  label: string;
  window: number;
  /** Null where the baseline's counts are not known. */
  baseline: number | null;
}

/** Bins of a feature: `edges.length + 1` of them, open at both ends, as shares of their whole. */
export function bins(edges: readonly number[], counts: readonly number[], baseline: readonly number[] | null): Bin[] {
  const window = shares(counts);
  const reference = baseline && baseline.length === counts.length ? shares(baseline) : null;
  return window.map((share, i) => ({ label: binLabel(edges, i), window: share, baseline: reference?.[i] ?? null }));
}

function binLabel(edges: readonly number[], i: number): string {
  const low = edges[i - 1];
  const high = edges[i];
  if (low === undefined) return high === undefined ? 'all' : `below ${compact(high)}`;
  return high === undefined ? `${compact(low)} and above` : `${compact(low)} to ${compact(high)}`;
}

/** The baseline's counts of a feature, if it was binned by the very same edges. */
export function baselineCounts(baseline: Baseline | null, feature: Pick<DriftFeature, 'name' | 'edges'>): number[] | null {
  const found = baseline?.features.find((candidate) => candidate.name === feature.name);
  if (!found || found.edges.length !== feature.edges.length) return null;
  const same = found.edges.every((edge, i) => Math.abs(edge - feature.edges[i]!) <= 1e-9 * Math.max(1, Math.abs(edge)));
  return same ? found.counts : null;
}

/** How far a statistic is towards its threshold: 1 is the threshold. */
export function towardsThreshold(value: WireNumber, threshold: WireNumber): number {
  const limit = toNumber(threshold);
  const number = toNumber(value);
  if (!(limit > 0) || Number.isNaN(number)) return 0;
  return number / limit;
}

/** Position on a bar whose threshold sits in the middle: linear to it, then flattening, so that any value fits. 0 to 1. */
export function barPosition(ratio: number): number {
  if (!(ratio > 0)) return 0;
  if (ratio <= 1) return ratio / 2;
  return 1 - 0.5 / (1 + Math.log2(ratio));
}

/** The shift of the mean in baseline standard deviations. */
export function meanShift(feature: Pick<DriftFeature, 'mean' | 'baseline_mean' | 'baseline_std'>): number {
  return (toNumber(feature.mean) - toNumber(feature.baseline_mean)) / toNumber(feature.baseline_std);
}
