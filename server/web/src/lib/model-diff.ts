// What differs between two versions, as the control plane answers it, as sections of rows to show. Pure.

import { bytes, count, shortDigest, type WireNumber } from './format';
import { tensorType, type OnnxTensor } from './models';
import { metricText } from './runs';

export interface Change<T> {
  before?: T | null;
  after?: T | null;
}

export interface DiffSide {
  model: string;
  version: string;
  digest: string;
  model_digest: string;
  size_bytes: number;
  run_id?: string | null;
  created_at_us: number;
  created_by: string;
}

interface FeatureMoments {
  mean: WireNumber;
  std: WireNumber;
}

export interface ModelDiff {
  before: DiffSide;
  after: DiffSide;
  compatible: boolean;
  inputs: Record<string, Change<OnnxTensor>>;
  outputs: Record<string, Change<OnnxTensor>>;
  graph: Record<string, Change<string>>;
  operators: Record<string, Change<number>>;
  labels?: Change<string[]> | null;
  files: Record<string, Change<string>>;
  manifest?: Change<string> | null;
  metrics: Record<string, Change<WireNumber>>;
  params: Record<string, Change<string>>;
  datasets: Record<string, Change<string>>;
  code?: Change<string> | null;
  baseline: Record<string, Change<FeatureMoments>>;
  tags: Record<string, Change<string>>;
}

export interface DiffRow {
  key: string;
  before: string | null;
  after: string | null;
  /** By how much a figure changed, where both are figures. */
  delta: string | null;
}

export interface DiffSection {
  title: string;
  rows: DiffRow[];
  /** Whether the values are texts of many lines. */
  text?: boolean;
}

/** `+0.183 (+23 %)`; null where there is no difference to speak of. */
export function delta(before: WireNumber | null | undefined, after: WireNumber | null | undefined): string | null {
  const [a, b] = [Number(before ?? Number.NaN), Number(after ?? Number.NaN)];
  if (!Number.isFinite(a) || !Number.isFinite(b) || a === b) return null;
  const sign = (value: number) => (value > 0 ? '+' : '');
  const share = a === 0 ? null : ((b - a) / Math.abs(a)) * 100;
  const difference = `${sign(b - a)}${metricText(b - a)}`;
  if (share === null || Math.abs(share) >= 1e6) return difference;
  const percent = share.toFixed(Math.abs(share) < 10 ? 1 : 0).replace('-', '−');
  return `${difference} (${sign(share)}${percent} %)`;
}

function rows<T>(changes: Record<string, Change<T>>, text: (value: T) => string, by?: (change: Change<T>) => string | null): DiffRow[] {
  const said = (value: T | null | undefined) => (value === null || value === undefined ? null : text(value));
  return Object.entries(changes)
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([key, change]) => ({ key, before: said(change.before), after: said(change.after), delta: by?.(change) ?? null }));
}

const one = (key: string, change: Change<string> | null | undefined): DiffRow[] => (change ? [{ key, before: change.before ?? null, after: change.after ?? null, delta: null }] : []);
const moments = (feature: FeatureMoments): string => `${metricText(feature.mean)} ± ${metricText(feature.std)}`;
const graphFact = (value: string): string => (/^\d{4,}$/.test(value) ? count(value) : value);

/** Everything that differs, section by section; sections in which nothing does are left out. */
export function sections(diff: ModelDiff): DiffSection[] {
  const { before, after } = diff;
  const figure = (change: Change<WireNumber>) => delta(change.before, change.after);
  const size = before.size_bytes === after.size_bytes ? [] : [{ key: 'size', before: bytes(before.size_bytes), after: bytes(after.size_bytes), delta: delta(before.size_bytes, after.size_bytes)?.replace(/^.*\((.*)\)$/, '$1') ?? null }];
  const all: DiffSection[] = [
    { title: 'Inputs', rows: rows(diff.inputs, tensorType) },
    { title: 'Outputs', rows: rows(diff.outputs, tensorType) },
    { title: 'Metrics', rows: rows(diff.metrics, metricText, figure) },
    { title: 'Parameters', rows: rows(diff.params, String) },
    { title: 'Datasets', rows: rows(diff.datasets, String) },
    { title: 'Code', rows: one('commit', diff.code) },
    { title: 'Graph', rows: [...size, ...rows(diff.graph, graphFact, (change) => delta(change.before as WireNumber, change.after as WireNumber))] },
    { title: 'Operators', rows: rows(diff.operators, count, figure) },
    { title: 'Drift reference', rows: rows(diff.baseline, moments, (change) => delta(change.before?.mean, change.after?.mean)) },
    { title: 'Labels', rows: diff.labels ? [{ key: 'labels', before: diff.labels.before?.join(', ') ?? null, after: diff.labels.after?.join(', ') ?? null, delta: null }] : [] },
    { title: 'Tags', rows: rows(diff.tags, String) },
    { title: 'Files', rows: rows(diff.files, (sha256) => shortDigest(sha256, 12)) },
    { title: 'Manifest', rows: one('edgeflow.yaml', diff.manifest), text: true },
  ];
  return all.filter((section) => section.rows.length > 0);
}

export interface TextLine {
  text: string;
  kind: 'same' | 'gone' | 'new';
}

/** Two texts line by line: what is gone, what is new (longest common subsequence; texts are short). */
export function lineDiff(before: string, after: string): TextLine[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  if (a.length * b.length > 250_000) return [...a.map((text): TextLine => ({ text, kind: 'gone' })), ...b.map((text): TextLine => ({ text, kind: 'new' }))];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) longest[i]![j] = a[i] === b[j] ? longest[i + 1]![j + 1]! + 1 : Math.max(longest[i + 1]![j]!, longest[i]![j + 1]!);
  }
  const lines: TextLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ text: a[i]!, kind: 'same' });
      [i, j] = [i + 1, j + 1];
    } else if (i < a.length && (j === b.length || longest[i + 1]![j]! >= longest[i]![j + 1]!)) {
      lines.push({ text: a[i]!, kind: 'gone' });
      i += 1;
    } else {
      lines.push({ text: b[j]!, kind: 'new' });
      j += 1;
    }
  }
  return lines;
}
