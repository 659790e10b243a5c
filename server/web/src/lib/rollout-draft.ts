// A rollout as somebody fills it in, and the document it becomes. What is not said is left to the control plane's defaults.

import type { Gate, ReleaseKind, RolloutSpec, Selector, StageSpec } from './rollouts';

export type Takes = 'count' | 'percent' | 'names' | 'each' | 'rest';

export interface StageDraft {
  name: string;
  takes: Takes;
  /** Number, share, names or label, as written. */
  value: string;
  soak: string;
  approval: boolean;
}

export interface RolloutDraft {
  kind: ReleaseKind;
  name: string;
  /** A number, or `@alias`. */
  version: string;
  policy: string;
  slot: string;
  /** `site=lab, site=dock` as written; empty for every robot. */
  labels: string;
  groups: string;
  names: string;
  exclude: string;
  percent: string;
  stages: StageDraft[];
  /** Mixed into the order of robots, so that others go first. */
  seed: string;
  /** Keys of `GATE_PRESETS`. */
  gates: string[];
  /** A gate of one's own, in CEL. */
  expression: string;
  minSamples: string;
  maxUnavailable: string;
  maxConcurrent: string;
  maxFailed: string;
  deadline: string;
  notWhile: string[];
  onFailure: NonNullable<RolloutSpec['on_failure']>;
  whenTaken: NonNullable<RolloutSpec['when_taken']>;
  recording: string;
  description: string;
}

export const STAGE_PRESETS: readonly { key: string; label: string; stages: StageDraft[] }[] = [
  { key: 'careful', label: 'Canary, 10 %, half, all', stages: [stage('canary', 'count', '1', '10m'), stage('tenth', 'percent', '10', '30m'), stage('half', 'percent', '50', '30m'), stage('all', 'rest', '', '')] },
  { key: 'usual', label: 'Canary, half, all', stages: [stage('canary', 'count', '1', '10m'), stage('half', 'percent', '50', '10m'), stage('all', 'rest', '', '')] },
  { key: 'sites', label: 'Canary, then site by site', stages: [stage('canary', 'count', '1', '10m'), stage('site', 'each', 'site', '10m')] },
  { key: 'once', label: 'All at once', stages: [stage('all', 'rest', '', '')] },
];

function stage(name: string, takes: Takes, value: string, soak: string): StageDraft {
  return { name, takes, value, soak, approval: false };
}

/** Gates that most rollouts of models want: two-sample tests of one metric, and bounds. */
export const GATE_PRESETS: readonly { key: string; label: string; note: string; gate: Gate }[] = [
  { key: 'accuracy', label: 'Accuracy is no worse than before', note: 'of the same robots; up to 2 points lower is taken', gate: { name: 'accuracy', compare: { metric: 'accuracy', against: 'before', worse: 'lower', margin: 0.02 } } },
  { key: 'answers', label: 'Answers are distributed as at training', note: 'output drift stays below what is beyond chance', gate: { name: 'answers', expression: 'updated.output_drift_ratio.mean < 1.0' } },
  { key: 'latency', label: 'Inference is no slower than before', note: 'p95; up to 10 ms more is taken', gate: { name: 'latency', compare: { metric: 'latency_p95_us', against: 'before', worse: 'higher', margin: 10_000 } } },
  { key: 'accuracy-rest', label: 'Accuracy is no worse than the rest', note: 'robots not updated yet, over the same time; up to 2 points lower is taken', gate: { name: 'accuracy-rest', compare: { metric: 'accuracy', against: 'rest', worse: 'lower', margin: 0.02 } } },
  { key: 'errors', label: 'No more errors than the rest', note: 'up to 1 point more is taken', gate: { name: 'errors', compare: { metric: 'error_rate', against: 'rest', worse: 'higher', margin: 0.01 } } },
  { key: 'missions', label: 'Missions succeed as often as before', note: 'up to 5 points fewer is taken', gate: { name: 'missions', compare: { metric: 'mission_success', against: 'before', worse: 'lower', margin: 0.05 } } },
];

export function emptyDraft(): RolloutDraft {
  return {
    kind: 'model', name: '', version: '', policy: '', slot: 'default', labels: '', groups: '', names: '', exclude: '', percent: '',
    stages: STAGE_PRESETS[1]!.stages.map((one) => ({ ...one })), seed: '', gates: ['accuracy', 'answers'], expression: '', minSamples: '200',
    maxUnavailable: '25%', maxConcurrent: '100', maxFailed: '0', deadline: '15m', notWhile: [], onFailure: 'rollback_all', whenTaken: 'refuse', recording: '', description: '',
  };
}

/** Something was filled in that cannot be read; the message names it. */
export class DraftError extends Error {
  override name = 'DraftError';
}

const words = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

/** `90`, `90s`, `10m`, `2h`, `1d` in seconds. */
export function seconds(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?$/.exec(text.trim());
  if (!match) throw new DraftError(`${what} “${text}” is no time: write seconds, or 10m, 2h, 1d`);
  const unit = { s: 1, m: 60, min: 60, h: 3_600, d: 86_400 }[match[2] ?? 's'] ?? 1;
  return Math.round(Number(match[1]) * unit);
}

/** `3` or `25%`. */
export function amount(text: string, what: string): number | string {
  const trimmed = text.trim().replace(/\s+%$/, '%');
  if (/^\d+$/.test(trimmed)) return Number(trimmed);
  const share = /^(\d+(?:\.\d+)?)%$/.exec(trimmed);
  if (share && Number(share[1]) <= 100) return trimmed;
  throw new DraftError(`${what} “${text}” is no number of robots: write 3, or a share such as 25%`);
}

function whole(text: string, what: string): number {
  if (!/^\d+$/.test(text.trim())) throw new DraftError(`${what} “${text}” is no whole number`);
  return Number(text.trim());
}

function share(text: string, what: string): number {
  const number = Number(text.trim().replace(/\s*%$/, ''));
  if (text.trim() === '' || !(number >= 0 && number <= 100)) throw new DraftError(`${what} “${text}” is no share: write a number from 0 to 100`);
  return number;
}

/** `site=lab, site=dock, environment=prod`: each key with its values. */
export function labelsOf(text: string): Record<string, string[]> {
  const labels: Record<string, string[]> = {};
  for (const word of words(text)) {
    const at = word.indexOf('=');
    if (at <= 0 || at === word.length - 1) throw new DraftError(`“${word}” is no label: write key=value, such as site=lab`);
    (labels[word.slice(0, at)] ??= []).push(word.slice(at + 1));
  }
  return labels;
}

const seedOf = (draft: RolloutDraft) => draft.seed.trim() !== '' && { seed: draft.seed.trim() };

function selectorOf(draft: RolloutDraft): Selector {
  const labels = labelsOf(draft.labels);
  return {
    ...(words(draft.names).length > 0 && { names: words(draft.names) }),
    ...(words(draft.groups).length > 0 && { groups: words(draft.groups) }),
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(draft.percent.trim() !== '' && { percent: share(draft.percent, 'the share'), ...seedOf(draft) }),
    ...(words(draft.exclude).length > 0 && { exclude: words(draft.exclude) }),
  };
}

function stageOf(draft: StageDraft): StageSpec {
  const what = `stage “${draft.name}”:`;
  const takes: Partial<StageSpec> =
    draft.takes === 'count' ? { count: whole(draft.value, `${what} the number of robots`) }
    : draft.takes === 'percent' ? { percent: share(draft.value, `${what} the share`) }
    : draft.takes === 'names' ? { names: words(draft.value) }
    : draft.takes === 'each' ? { each: draft.value.trim() || 'site' }
    : { rest: true };
  if (draft.takes === 'names' && words(draft.value).length === 0) throw new DraftError(`${what} names no robot`);
  return { name: draft.name.trim(), ...takes, ...(draft.soak.trim() !== '' && { soak_s: seconds(draft.soak, `${what} the soak time`) }), ...(draft.approval && { approval: true }) };
}

/** The document of a draft. Throws a `DraftError` that names what cannot be read. */
export function specOf(draft: RolloutDraft): RolloutSpec {
  const policy = draft.kind === 'policy';
  if (!policy && draft.name.trim() === '') throw new DraftError('say what is rolled out: its name is missing');
  if (!policy && draft.version.trim() === '') throw new DraftError('say which version is rolled out');
  let document: unknown;
  if (policy) {
    try {
      document = JSON.parse(draft.policy);
    } catch (error) {
      throw new DraftError(`the policy is no JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const version = draft.version.trim();
  const min_samples = whole(draft.minSamples, 'the least number of samples');
  const gates: Gate[] = GATE_PRESETS.filter(({ key }) => draft.gates.includes(key)).map(({ gate }) => ({ ...gate, min_samples }));
  if (draft.expression.trim() !== '') gates.push({ name: 'expression', expression: draft.expression.trim(), min_samples });
  if (draft.stages.length === 0) throw new DraftError('a rollout has at least one stage');
  return {
    release: policy ? { kind: 'policy', policy: document } : { kind: draft.kind, name: draft.name.trim(), ...(version.startsWith('@') ? { alias: version.slice(1) } : { version }) },
    ...(!policy && { slot: draft.slot.trim() || 'default' }),
    targets: selectorOf(draft),
    strategy: {
      stages: draft.stages.map(stageOf),
      ...seedOf(draft),
      max_unavailable: amount(draft.maxUnavailable, 'out of service at a time'),
      max_concurrent: whole(draft.maxConcurrent, 'fetching at a time'),
      max_failed: amount(draft.maxFailed, 'robots that may fail'),
      deadline_s: seconds(draft.deadline, 'the deadline'),
      ...(draft.notWhile.length > 0 && { robots: { not_while: draft.notWhile, max_wait_s: 3_600 } }),
    },
    ...(gates.length > 0 && { gates }),
    on_failure: draft.onFailure,
    when_taken: draft.whenTaken,
    ...(draft.recording.trim() !== '' && { replay: { recording: draft.recording.trim() } }),
    ...(draft.description.trim() !== '' && { description: draft.description.trim() }),
  };
}
