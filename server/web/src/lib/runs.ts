// Experiments, their runs and logged models, as the native API shows them, and the rules of the pages about them: columns, orders,
// filters, comparisons. Pure.

import { toNumber, type WireNumber } from './format';
import type { Tone } from './deployments';

export type Lifecycle = 'active' | 'deleted';

export interface Pair {
  key: string;
  value: string;
}

export interface Experiment {
  id: string;
  name: string;
  artifact_location: string;
  lifecycle: Lifecycle;
  tags: Pair[];
  created_at_us: number;
  updated_at_us: number;
}

export type RunStatus = 'RUNNING' | 'SCHEDULED' | 'FINISHED' | 'FAILED' | 'KILLED';

export interface MetricValue {
  key: string;
  value: WireNumber;
  step: number;
  t_us: number;
}

export interface Dataset {
  name: string;
  digest: string;
  context: string;
  source: string;
  source_type: string;
  schema?: string | null;
  profile?: string | null;
}

export interface ModelLink {
  id: string;
  step: number;
}

export interface Run {
  id: string;
  experiment: string;
  name: string;
  user: string;
  status: RunStatus;
  lifecycle: Lifecycle;
  started_at_us: number;
  ended_at_us?: number | null;
  artifact_uri: string;
  code_version?: string | null;
  metrics: MetricValue[];
  params: Pair[];
  tags: Pair[];
  datasets: Dataset[];
  model_inputs: ModelLink[];
  model_outputs: ModelLink[];
}

export interface LoggedModel {
  id: string;
  experiment: string;
  name: string;
  model_type: string;
  source_run: string;
  status: 'PENDING' | 'READY' | 'FAILED';
  status_message: string;
  lifecycle: Lifecycle;
  artifact_uri: string;
  created_at_us: number;
  updated_at_us: number;
  metrics: (MetricValue & { run: string; dataset: string; dataset_digest: string })[];
  params: Pair[];
  tags: Pair[];
}

/** A value of a metric of one of the runs that are compared. */
export interface RunMetric extends MetricValue {
  run: string;
}

export function runTone(status: RunStatus): Tone {
  switch (status) {
    case 'FINISHED':
      return 'ok';
    case 'RUNNING':
      return 'info';
    case 'FAILED':
      return 'bad';
    case 'KILLED':
      return 'warn';
    case 'SCHEDULED':
      return 'idle';
  }
}

export const runStatusLabel = (status: RunStatus): string => status.charAt(0) + status.slice(1).toLowerCase();

/** What a run is called; those without a name by the beginning of their id. */
export const runLabel = (run: { id: string; name: string }): string => run.name || run.id.slice(0, 8);

/** How long a run took, or takes by now; null when that cannot be told. */
export function runDuration(run: Pick<Run, 'started_at_us' | 'ended_at_us' | 'status'>, nowMs: number): number | null {
  if (run.ended_at_us !== null && run.ended_at_us !== undefined) return Math.max(0, run.ended_at_us - run.started_at_us);
  return run.status === 'RUNNING' ? Math.max(0, nowMs * 1000 - run.started_at_us) : null;
}

/** Tags people gave; what MLflow's clients note for themselves is told elsewhere. */
export const ownTags = (tags: readonly Pair[]): Pair[] => tags.filter(({ key }) => !key.startsWith('mlflow.'));

export const tagOf = (tags: readonly Pair[], key: string): string | null => tags.find((tag) => tag.key === key)?.value || null;

// Columns.

export type ColumnKind = 'metric' | 'param' | 'tag';

export interface Column {
  kind: ColumnKind;
  key: string;
}

const KINDS: Record<string, ColumnKind> = { m: 'metric', p: 'param', t: 'tag' };

export const columnId = (column: Column): string => `${column.kind.charAt(0)}.${column.key}`;

/** Columns as an address carries them: `m.loss,p.lr`; a comma within a key is escaped. */
export const writeColumns = (columns: readonly Column[]): string => columns.map((column) => columnId(column).replace(/[%,]/g, encodeURIComponent)).join(',');

export function readColumns(text: string): Column[] {
  return text.split(',').flatMap((one) => {
    const kind = KINDS[one.charAt(0)];
    if (kind === undefined || one.charAt(1) !== '.' || one.length < 3) return [];
    try {
      return [{ kind, key: decodeURIComponent(one.slice(2)) }];
    } catch {
      return [{ kind, key: one.slice(2) }];
    }
  });
}

/** Everything the runs can be told apart by, metrics first, each kind by name. */
export function columnsOf(runs: readonly Run[]): Column[] {
  const keys = { metric: new Set<string>(), param: new Set<string>(), tag: new Set<string>() };
  for (const run of runs) {
    for (const { key } of run.metrics) keys.metric.add(key);
    for (const { key } of run.params) keys.param.add(key);
    for (const { key } of ownTags(run.tags)) keys.tag.add(key);
  }
  return (['metric', 'param', 'tag'] as const).flatMap((kind) => [...keys[kind]].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((key) => ({ kind, key })));
}

/**
 * The columns a table begins with: of metrics what most runs have, of parameters what differs between runs before what most have.
 * What the clients measure of their machine (`system/…`) and defaults noted by the dozen do not come by themselves.
 */
export function defaultColumns(runs: readonly Run[], metrics = 4, params = 4): Column[] {
  const seen = new Map<string, { column: Column; runs: number; values: Set<string> }>();
  const note = (column: Column, value: string) => {
    const id = columnId(column);
    const known = seen.get(id) ?? { column, runs: 0, values: new Set() };
    known.runs += 1;
    known.values.add(value);
    seen.set(id, known);
  };
  for (const run of runs) {
    for (const { key, value } of run.metrics) if (!key.startsWith('system/')) note({ kind: 'metric', key }, String(value));
    for (const { key, value } of run.params) note({ kind: 'param', key }, value);
  }
  const differs = (one: { runs: number; values: Set<string> }) => one.values.size > 1 || one.runs < runs.length;
  const best = (kind: ColumnKind, most: number) =>
    [...seen.values()]
      .filter(({ column }) => column.kind === kind)
      .sort((a, b) => (kind === 'param' ? Number(differs(b)) - Number(differs(a)) : 0) || b.runs - a.runs || a.column.key.localeCompare(b.column.key, 'en', { numeric: true }))
      .slice(0, most)
      .map(({ column }) => column)
      .sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }));
  return [...best('metric', metrics), ...best('param', params)];
}

/** What stands in a run's cell. */
export function cell(run: Run, column: Column): string | null {
  const of = column.kind === 'metric' ? run.metrics : column.kind === 'param' ? run.params : run.tags;
  const found = of.find(({ key }) => key === column.key);
  return found === undefined ? null : String(found.value);
}

// Orders and filters, in MLflow's words.

export interface Order {
  /** `start_time`, `attributes.run_name`, or the id of a column. */
  by: string;
  descending: boolean;
}

/** A key as the grammar quotes it: a quote within is doubled. */
const quoted = (key: string): string => `"${key.replaceAll('"', '""')}"`;

/** `metrics."loss" DESC`, as the server takes it. */
export function orderBy(order: Order): string {
  const [column] = readColumns(order.by.replace(/[%,]/g, encodeURIComponent));
  const what = column === undefined ? `attributes.${order.by}` : `${column.kind}s.${quoted(column.key)}`;
  return `${what} ${order.descending ? 'DESC' : 'ASC'}`;
}

/** The order that a click on a column's head asks for: the other way around, or that column, figures and times falling. */
export function nextOrder(order: Order, by: string): Order {
  if (order.by === by) return { by, descending: !order.descending };
  return { by, descending: by.startsWith('m.') || by === 'start_time' };
}

export const writeOrder = (order: Order): string => `${order.descending ? '-' : ''}${order.by}`;

export function readOrder(text: string | undefined): Order {
  if (!text) return { by: 'start_time', descending: true };
  return text.startsWith('-') ? { by: text.slice(1), descending: true } : { by: text, descending: false };
}

/** Where in a filter the control plane stopped reading, from 0; null when the error names no place. */
export function errorPlace(message: string): number | null {
  const match = /^bad filter, at character (\d+)/.exec(message);
  return match?.[1] ? Number(match[1]) - 1 : null;
}

/** What the search box of experiments means: part of a name, whatever its case. */
export const nameFilter = (text: string): string | undefined => (text.trim() === '' ? undefined : `name ILIKE '%${text.trim().replaceAll("'", "''")}%'`);

// Comparisons.

/** More runs than this beside each other tell nobody anything. */
export const MOST_COMPARED = 24;

export interface CompareRow {
  key: string;
  values: (string | null)[];
  /** Whether not all runs have the same. */
  differs: boolean;
}

/** Rows by key over all runs, in the runs' order. */
export function compareRows(of: readonly (readonly { key: string; value: WireNumber | string }[])[]): CompareRow[] {
  const maps = of.map((pairs) => new Map(pairs.map(({ key, value }) => [key, String(value)])));
  const keys = [...new Set(maps.flatMap((map) => [...map.keys()]))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return keys.map((key) => {
    const values = maps.map((map) => map.get(key) ?? null);
    return { key, values, differs: values.some((value) => value !== values[0]) };
  });
}

/** A row of something every run has one of. */
export function compareRow(key: string, values: (string | null)[]): CompareRow {
  return { key, values, differs: values.some((value) => value !== values[0]) };
}

/** A metric as it is written: five digits, an exponent only where it must be; what is no number by its name. */
export function metricText(value: WireNumber | string | null | undefined): string {
  if (value === null || value === undefined || value === '') return '–';
  const number = toNumber(value as WireNumber);
  if (Number.isNaN(number)) return 'NaN';
  if (!Number.isFinite(number)) return number > 0 ? '∞' : '−∞';
  const size = Math.abs(number);
  if (number !== 0 && (size < 1e-4 || size >= 1e7)) return number.toExponential(3).replace(/\.?0+e/, 'e').replace('e+', 'e').replace('-', '−').replace('e-', 'e−');
  const text = Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(5)));
  return text.replace('-', '−');
}
