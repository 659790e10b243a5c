// What ran on a robot, by its own word, and which run made it of which dataset.

import type { LineageGraph } from './lineage-graph';
import type { WireNumber } from './format';
import type { Change, DiffSection, ModelDiff } from './model-diff';

/** A time over which a robot said that one bundle served in one slot. */
export interface Interval {
  slot: string;
  model: string;
  version: string;
  digest: string;
  from_us: number;
  last_us: number;
  to_us: number | null;
}

export interface ProvenanceDataset {
  name: string;
  digest: string;
  context: string;
  trained_on: boolean;
}

export interface ProvenanceRun {
  run_id: string;
  name: string;
  user: string;
  via: 'made' | 'model' | 'parent';
  commit: string;
  params: Record<string, string>;
  metrics: { key: string; value: WireNumber; step: number }[];
  datasets: ProvenanceDataset[];
}

export interface Provenance {
  digest: string;
  runs: ProvenanceRun[];
}

/** What a bundle was trained on, over all runs that led to it, each dataset once. */
export function trainedOn(provenance: Provenance): string[] {
  const trained = provenance.runs.flatMap((run) => run.datasets).filter((dataset) => dataset.trained_on);
  return [...new Set(trained.map((dataset) => `${dataset.name} ${dataset.digest}`))].sort();
}

// What changed between two robots, or two times.

export interface DatasetRef {
  name: string;
  digest: string;
}

export interface LineageSide {
  target: string;
  at_us?: number | null;
  attested?: Interval | null;
  confirmed: boolean;
  version?: { model: string; version: string; digest?: string | null; run_id?: string | null; created_at_us: number; created_by: string; deleted: boolean } | null;
  deployment?: { id: string; created_at_us: number; created_by: string; generation: number; server_epoch: number } | null;
  acts: { who: string; at_us: number; action: string; detail: unknown }[];
}

export interface LineageDiff {
  slot: string;
  before: LineageSide;
  after: LineageSide;
  same: boolean;
  model?: ModelDiff | null;
  aliases?: Change<string[]> | null;
  stage?: Change<string> | null;
  trained_on: { before: DatasetRef[]; after: DatasetRef[]; both: DatasetRef[] };
  notes: string[];
}

/** What a comparison of robots says beside that of the versions: standing and training data. */
export function standing(diff: LineageDiff): DiffSection[] {
  const { stage, aliases, trained_on } = diff;
  const rows = [];
  if (stage) rows.push({ key: 'stage', before: stage.before ?? null, after: stage.after ?? null, delta: null });
  if (aliases) rows.push({ key: 'aliases', before: aliases.before?.map((alias) => `@${alias}`).join(', ') || null, after: aliases.after?.map((alias) => `@${alias}`).join(', ') || null, delta: null });
  const digests = (of: DatasetRef[], name: string) => of.filter((one) => one.name === name).map(({ digest }) => digest).join(', ') || null;
  const names = [...new Set([...trained_on.before, ...trained_on.after].map(({ name }) => name))];
  const data = names.map((name) => ({ key: name, before: digests(trained_on.before, name), after: digests(trained_on.after, name), delta: null }));
  return [
    { title: 'Trained on, however many runs lie between', rows: data },
    { title: 'Standing now', rows },
  ].filter((section) => section.rows.length > 0);
}

// Everything that touched a robot.

export const CATEGORIES = ['attested', 'desired', 'deployment', 'command', 'policy', 'drift', 'identity', 'capture', 'log', 'live', 'event'] as const;
export type Category = (typeof CATEGORIES)[number];

export const CATEGORY_LABEL: Record<Category, string> = {
  attested: 'What ran', desired: 'What was told', deployment: 'Deployment steps', command: 'Commands', policy: 'Policy', drift: 'Drift', identity: 'Identity',
  capture: 'Captures', log: 'Log and link', live: 'Live sessions', event: 'Other events',
};

export interface TimelineItem {
  id: string;
  category: Category;
  kind: string;
  at_us: number;
  clock: 'robot' | 'server';
  robot_us?: number | null;
  server_us?: number | null;
  who: string;
  title: string;
  severity: 'info' | 'warning' | 'error';
  body: unknown;
}

/** A body's particulars as rows: names with what they say, what is nested as JSON. */
export function particulars(body: unknown): [string, string][] {
  if (body === null || body === undefined) return [];
  if (typeof body !== 'object' || Array.isArray(body)) return [['', JSON.stringify(body)]];
  return Object.entries(body)
    .filter(([, value]) => value !== null && value !== '' && value !== undefined)
    .map(([key, value]) => [key.replaceAll('_', ' '), typeof value === 'object' ? JSON.stringify(value) : String(value)]);
}

// The ground of the time slider.

/** A stretch of time over which something ran, on its lane. */
export interface Bar {
  lane: string;
  label: string;
  digest: string;
  from_us: number;
  /** Until when it was said. */
  said_us: number;
  /** Until when nothing else was said; null: to this day. */
  to_us: number | null;
}

/** What a robot said it ran, a lane for each slot. */
export function barsOfRobot(intervals: readonly Interval[]): Bar[] {
  return intervals.map((one) => ({ lane: one.slot, label: `${one.model} v${one.version}`, digest: one.digest, from_us: one.from_us, said_us: one.last_us, to_us: one.to_us }));
}

/** Of a dataset or a bundle: which robots ran what comes of it, those that run it now first. */
export function robotsOf(graph: LineageGraph): string[] {
  const names = new Map(graph.nodes.flatMap((node) => (node.kind === 'robot' ? [[node.id, node.target] as const] : [])));
  const now = new Map<string, boolean>();
  for (const edge of graph.edges) {
    const name = edge.kind === 'attested' ? names.get(edge.to) : undefined;
    if (name !== undefined) now.set(name, now.get(name) === true || edge.now === true);
  }
  return [...now.keys()].sort((a, b) => Number(now.get(b)) - Number(now.get(a)) || a.localeCompare(b, 'en', { numeric: true }));
}

/** What of a robot's intervals is of the graph, on the robot's lane. */
export function barsOfGraph(graph: LineageGraph, robot: string, intervals: readonly Interval[]): Bar[] {
  const digests = new Set(graph.nodes.flatMap((node) => (node.kind === 'version' && node.digest ? [node.digest] : [])));
  return barsOfRobot(intervals.filter(({ digest }) => digests.has(digest))).map((bar) => ({ ...bar, lane: robot }));
}

/** From the first thing known to now. */
export function spanOf(bars: readonly Bar[], nowUs: number): [number, number] | null {
  if (bars.length === 0) return null;
  const from = bars.reduce((least, bar) => Math.min(least, bar.from_us), Number.POSITIVE_INFINITY);
  // A robot's clock may be ahead of this one.
  const to = bars.reduce((most, bar) => Math.max(most, bar.said_us), nowUs);
  return to > from ? [from, to] : [from - 1_000_000, from + 1_000_000];
}

/** Moments at which something changed, each once, in order. */
export const changesOf = (bars: readonly Bar[]): number[] => [...new Set(bars.flatMap((bar) => (bar.to_us === null ? [bar.from_us] : [bar.from_us, bar.to_us])))].sort((a, b) => a - b);

// Moments as a person enters them: local time to the second.

const pad = (value: number, width = 2) => String(value).padStart(width, '0');

/** Value of an `<input type="datetime-local">`. */
export function toLocalInput(us: number | null | undefined): string {
  if (us === null || us === undefined) return '';
  const date = new Date(us / 1000);
  return `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** The moment such an input names; null when it names none. */
export function fromLocalInput(text: string): number | null {
  const ms = text === '' ? Number.NaN : new Date(text).getTime();
  return Number.isFinite(ms) ? ms * 1000 : null;
}

/** A moment of an address; null when there is none. */
export function readTime(text: string | undefined): number | null {
  if (text === undefined || !/^-?\d{1,17}$/.test(text)) return null;
  return Number(text);
}
