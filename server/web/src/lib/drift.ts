// Drift: windows against the baseline, feature by feature, and the histogram arithmetic behind the pictures.

import { compact, toNumber, type WireCount, type WireNumber } from './format';

export interface DriftFeature {
  name: string;
  /** `input`, or `output`: of what the model says. */
  subject: string;
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
  location: WireNumber;
  location_threshold: WireNumber;
  spread: WireNumber;
  spread_threshold: WireNumber;
  outside: WireNumber;
  outside_threshold: WireNumber;
  chi_square: WireNumber;
  chi_square_threshold: WireNumber;
  /** The statistic that chance explains least, such as `location`; empty from older robots. */
  strongest: string;
  /** Names of the bins of a feature that has categories. */
  categories: string[];
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
  /** NaN from robots that had a rate per window only. */
  false_alarms_per_day: WireNumber;
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
  features: { name: string; subject: string; statistic: string; value: WireNumber; threshold: WireNumber; flagged: boolean }[];
  model: string;
  version: string;
  digest: string;
  at_us: number;
}

/** What drifted, judged by the control plane over every robot's newest window, false discoveries held down over robots and features. */
export interface FleetDriftVerdict {
  verdict: DriftCause;
  /** Expected share of false ones among what is said to drift. */
  false_discoveries: number;
  robots: number;
  features: { digest: string; name: string; subject: string; verdict: DriftCause; p: number; q: number; statistic: number | null; n: number; merged_robots: number; robots: string[]; sites: string[]; of_robots: number; of_sites: number }[];
}

export type DriftCause = 'none' | 'sensor' | 'site' | 'fleet';

/** The verdict in sentences, one for each cause and those it is seen on. */
export function fleetDriftLines(view: FleetDriftVerdict): string[] {
  const by = new Map<string, { verdict: DriftCause; who: readonly string[]; features: string[] }>();
  for (const feature of view.features) {
    if (feature.verdict === 'none') continue;
    const who = feature.verdict === 'site' ? feature.sites : feature.robots;
    const key = `${feature.verdict} ${feature.verdict === 'fleet' ? '' : who.join()}`;
    const known = by.get(key) ?? { verdict: feature.verdict, who, features: [] };
    known.features.push(feature.name);
    by.set(key, known);
  }
  const some = (who: readonly string[]) => (who.length > 4 ? `${who.slice(0, 4).join(', ')} and ${who.length - 4} more` : joinWords(who));
  const lines = [...by.values()].map(({ verdict, who, features }) => {
    const what = joinWords(features);
    if (verdict === 'fleet') return `The fleet drifts in ${what}: the world changed, or the model is not the one for it.`;
    if (verdict === 'site') return `${some(who)} ${who.length === 1 ? 'drifts' : 'drift'} in ${what}: look at the site.`;
    return `${some(who)} ${who.length === 1 ? 'drifts' : 'drift'} in ${what}: look at the ${who.length === 1 ? 'sensor' : 'sensors'}.`;
  });
  return lines.length > 0 ? lines : [`Nothing drifts, over the newest windows of ${view.robots} ${view.robots === 1 ? 'robot' : 'robots'}.`];
}

function joinWords(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

/** The `baseline.json` of a bundle. */
export interface Baseline {
  v: number;
  features: { name: string; unit?: string; edges?: number[]; categories?: { code: number; name: string }[]; counts: number[] }[];
}

export interface Drawing {
  /** Where a bar stands and how tall it is, as shares of the whole; `share` is what it counts. */
  bars: { x: number; width: number; height: number; share: number; label: string }[];
  low: string;
  high: string;
}

/**
 * A feature of a baseline as a picture. Its edges are quantiles, so every bin counts about the same: width is by value and area is the
 * share, which shows where values lie. The open bins at both ends have no width and are left out. Categories are as wide as each other.
 */
export function drawing(feature: Baseline['features'][number]): Drawing {
  const part = shares(feature.counts);
  const edges = feature.edges ?? [];
  const [low, high] = [edges[0], edges.at(-1)];
  if (low === undefined || high === undefined || !(high > low) || feature.counts.length !== edges.length + 1) {
    const most = Math.max(...part, Number.MIN_VALUE);
    const name = (i: number) => feature.categories?.[i]?.name ?? (feature.categories ? 'others' : `bin ${i + 1}`);
    const bars = part.map((share, i) => ({ x: i / part.length, width: 1 / part.length, height: share / most, share, label: name(i) }));
    return { bars, low: part.length > 0 ? name(0) : '', high: part.length > 1 ? name(part.length - 1) : '' };
  }
  const inner = part.slice(1, -1).map((share, i) => ({ from: edges[i]!, to: edges[i + 1]!, share })).filter(({ from, to }) => to > from);
  const densest = Math.max(...inner.map(({ from, to, share }) => share / (to - from)), Number.MIN_VALUE);
  const bars = inner.map(({ from, to, share }) => ({ x: (from - low) / (high - low), width: (to - from) / (high - low), height: share / (to - from) / densest, share, label: `${compact(from)} to ${compact(to)}` }));
  return { bars, low: compact(low), high: compact(high) };
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

/** A statistic as it is written for people. */
const STATISTICS: Record<string, string> = { location: 'Location', spread: 'Spread', outside: 'Outside', psi: 'PSI', ks: 'KS', chi_square: 'χ²' };

/** What a statistic means, in a line. */
const MEANINGS: Record<string, string> = {
  location: 'How much likelier than even a frame lies above, or below, one of the baseline',
  spread: 'How much farther from the baseline’s median frames lie, in ranks',
  outside: 'Share of frames outside anything the baseline saw',
  psi: 'Population stability index over the bins',
  ks: 'Greatest difference of the distribution functions',
  chi_square: 'Pearson’s chi-square over the categories',
};

export function statisticName(key: string): string {
  return STATISTICS[key] ?? key;
}

export interface Bar {
  key: string;
  name: string;
  meaning: string;
  value: number;
  threshold: WireNumber;
}

/** The statistics of a feature that can alarm, in magnitude: the one that chance explains least first, then at most two more. */
export function bars(feature: DriftFeature): Bar[] {
  const all: [string, WireNumber | undefined, WireNumber | undefined][] = [
    ['psi', feature.psi, feature.psi_threshold],
    ['ks', feature.ks, feature.ks_threshold],
    ['chi_square', feature.chi_square, feature.chi_square_threshold],
    ['location', feature.location, feature.location_threshold],
    ['spread', feature.spread, feature.spread_threshold],
    ['outside', feature.outside, feature.outside_threshold],
  ];
  const known = all.flatMap(([key, value, threshold]) => {
    if (value === undefined || threshold === undefined || Number.isNaN(toNumber(value)) || Number.isNaN(toNumber(threshold))) return [];
    return [{ key, name: statisticName(key), meaning: MEANINGS[key] ?? '', value: Math.abs(toNumber(value)), threshold }];
  });
  const first = known.filter(({ key }) => key === feature.strongest);
  return [...first, ...known.filter(({ key }) => key !== feature.strongest)].slice(0, 3);
}

/** Bins of a feature: `edges.length + 1` of them, open at both ends, or one per category, as shares of their whole. */
export function bins(edges: readonly number[], counts: readonly number[], baseline: readonly number[] | null, categories: readonly string[] = []): Bin[] {
  const window = shares(counts);
  const reference = baseline && baseline.length === counts.length ? shares(baseline) : null;
  return window.map((share, i) => ({ label: categories[i] ?? binLabel(edges, i), window: share, baseline: reference?.[i] ?? null }));
}

function binLabel(edges: readonly number[], i: number): string {
  const low = edges[i - 1];
  const high = edges[i];
  if (low === undefined) return high === undefined ? 'all' : `below ${compact(high)}`;
  return high === undefined ? `${compact(low)} and above` : `${compact(low)} to ${compact(high)}`;
}

/** The baseline's counts of a feature, if it was binned by the very same edges. */
export function baselineCounts(baseline: Baseline | null, feature: Pick<DriftFeature, 'name' | 'edges'> & Partial<Pick<DriftFeature, 'categories'>>): number[] | null {
  const found = baseline?.features.find((candidate) => candidate.name === feature.name);
  const edges = found?.edges ?? [];
  const names = found?.categories?.map(({ name }) => name) ?? [];
  // The last bin of a feature with categories is of all others.
  if (!found || edges.length !== feature.edges.length || names.some((name, i) => feature.categories?.[i] !== name)) return null;
  const same = edges.every((edge, i) => Math.abs(edge - feature.edges[i]!) <= 1e-9 * Math.max(1, Math.abs(edge)));
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
