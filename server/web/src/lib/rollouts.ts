// Rollouts: a release on its way through a fleet, stage by stage. Shapes as the API says them, and how they are told to people.

import type { Tone } from './deployments';
import { compact, count, duration, percent, person, plural, type WireNumber } from './format';

export type RolloutPhase =
  | 'queued' | 'replaying' | 'awaiting_approval' | 'progressing' | 'soaking' | 'judging' | 'paused' | 'rolling_back'
  | 'succeeded' | 'rolled_back' | 'failed' | 'aborted';

/** In the order in which people read them: on its way first, ends last. */
export const ROBOT_PHASES = ['pending', 'waiting', 'updating', 'updated', 'deferred', 'failed', 'retrying', 'skipped', 'rolling_back', 'rolled_back'] as const;
export type RobotPhase = (typeof ROBOT_PHASES)[number];
export type RobotCounts = Partial<Record<RobotPhase, number>>;

export const ACTIONS = ['pause', 'resume', 'approve', 'promote', 'retry', 'rollback', 'abort'] as const;
export type RolloutAction = (typeof ACTIONS)[number];

export type Verdict = 'pass' | 'fail' | 'inconclusive';
export type Arm = 'updated' | 'before' | 'rest';
export type ReleaseKind = 'model' | 'map' | 'package' | 'config' | 'policy';

export interface MetricSummary {
  n: number;
  robots: number;
  mean: WireNumber | null;
  std: WireNumber | null;
  p50: WireNumber | null;
  p95: WireNumber | null;
  min: WireNumber | null;
  max: WireNumber | null;
}

export interface GateResult {
  gate: string;
  verdict: Verdict;
  reason: string;
  at_us: number;
  metric: string;
  threshold: number | null;
  p_value: number | null;
  updated: Record<string, MetricSummary>;
  before: Record<string, MetricSummary>;
  rest: Record<string, MetricSummary>;
}

export interface RolloutSummary {
  id: string;
  kind: ReleaseKind;
  name: string;
  version: string;
  digest: string;
  slot: string;
  phase: RolloutPhase;
  holds: string;
  stage: string;
  stage_index: number;
  stages: number;
  robots: RobotCounts;
  created_at_us: number;
  created_by: string;
  since_us: number;
  description: string;
}

export interface StageView {
  name: string;
  /** `stopped`: the rollout ended while it ran. */
  state: 'waiting' | 'running' | 'passed' | 'failed' | 'stopped';
  robots: RobotCounts;
  soak_s: number;
  approval: boolean;
  /** Names of what must hold at its end. */
  gates?: string[];
  began_us: number | null;
  ended_us: number | null;
  evidence: GateResult[];
}

export type Actor = { kind: 'controller' } | { kind: 'operator'; name: string };

export interface HistoryEntry {
  at_us: number;
  happened: string;
  phase: RolloutPhase;
  stage: string | null;
  robot: string | null;
  actor: Actor;
  cause: string;
  evidence?: GateResult[];
}

export interface RolloutView extends RolloutSummary {
  spec: RolloutSpec;
  plan: StageView[];
  actions: RolloutAction[];
  history: HistoryEntry[];
}

export interface RobotCell {
  target: string;
  stage: number;
  phase: RobotPhase;
  since_us: number;
  reason: string;
}

/** A metric over time, of each arm: moment, mean, samples. */
export type SeriesPoint = readonly [tUs: number, mean: number, n: number];
export interface RolloutMetric {
  metric: string;
  unit: string;
  threshold: number | null;
  updated: SeriesPoint[];
  before: SeriesPoint[];
  rest: SeriesPoint[];
}

// ---- as declared ----------------------------------------------------------------------------------------------------

export interface Selector {
  names?: string[];
  groups?: string[];
  labels?: Record<string, string[]>;
  percent?: number;
  seed?: string;
  exclude?: string[];
}

export interface Gate {
  name: string;
  expression?: string;
  compare?: { metric: string; against: 'before' | 'rest'; worse: 'lower' | 'higher'; margin?: number; alpha?: number };
  min_samples?: number;
}

export interface StageSpec {
  name: string;
  count?: number;
  percent?: number;
  names?: string[];
  labels?: Record<string, string[]>;
  each?: string;
  order?: string[];
  rest?: boolean;
  soak_s?: number;
  approval?: boolean;
  gates?: Gate[];
}

export interface Strategy {
  stages: StageSpec[];
  seed?: string;
  max_unavailable: number | string;
  max_concurrent: number;
  max_failed: number | string;
  deadline_s: number;
  defer_offline: boolean;
  windows: { sites: string[]; time_zone: string; days: string[]; from: string; to: string }[];
  robots: { not_while: string[]; max_wait_s: number };
}

export interface RolloutSpec {
  release: { kind: ReleaseKind; name?: string; version?: string; alias?: string; policy?: unknown };
  slot?: string;
  targets?: Selector;
  strategy?: Partial<Strategy>;
  gates?: Gate[];
  on_failure?: 'pause' | 'rollback_stage' | 'rollback_all';
  when_taken?: 'refuse' | 'queue';
  replay?: { recording: string; topic?: string; against?: string; min_agreement?: number; tolerance?: number; max_latency_ratio?: number; min_frames?: number };
  description?: string;
}

/** What a rollout would do, robot by robot. */
export interface RolloutPlan {
  release: { kind: ReleaseKind; name: string; version: string; digest: string };
  stages: { name: string; robots: PlannedRobot[]; soak_s: number; approval: boolean; gates: string[] }[];
  left_out: { target: string; reason: string }[];
  taken: { target: string; rollout: string }[];
}

export interface PlannedRobot {
  target: string;
  /** `name/version` it serves now; empty when it serves nothing. */
  serves: string;
  site: string | null;
  online: boolean;
  /** Why it would fail without being told, as far as it has said what it can have; empty, or not said by older control planes: it would not. */
  lacks?: string;
}

// ---- in words -------------------------------------------------------------------------------------------------------

const PHASES: Record<RolloutPhase, { label: string; tone: Tone }> = {
  queued: { label: 'Queued', tone: 'idle' },
  replaying: { label: 'Replaying', tone: 'info' },
  awaiting_approval: { label: 'Awaiting approval', tone: 'warn' },
  progressing: { label: 'Progressing', tone: 'info' },
  soaking: { label: 'Soaking', tone: 'info' },
  judging: { label: 'Judging', tone: 'info' },
  paused: { label: 'Paused', tone: 'warn' },
  rolling_back: { label: 'Rolling back', tone: 'warn' },
  succeeded: { label: 'Succeeded', tone: 'ok' },
  rolled_back: { label: 'Rolled back', tone: 'warn' },
  failed: { label: 'Failed', tone: 'bad' },
  aborted: { label: 'Aborted', tone: 'idle' },
};

export const phaseLabel = (phase: RolloutPhase) => PHASES[phase]?.label ?? phase;
export const phaseTone = (phase: RolloutPhase): Tone => PHASES[phase]?.tone ?? 'idle';
export const ended = (phase: RolloutPhase) => phase === 'succeeded' || phase === 'rolled_back' || phase === 'failed' || phase === 'aborted';
/** Something goes on by itself, so that a mark may move. */
export const moving = (phase: RolloutPhase) => phase === 'progressing' || phase === 'rolling_back' || phase === 'replaying' || phase === 'soaking' || phase === 'judging';
/** Nothing goes on until a person decides. */
export const forPeople = (phase: RolloutPhase) => phase === 'awaiting_approval' || phase === 'paused';

interface RobotWords {
  label: string;
  tone: Tone;
  /** What it means, for whoever has not read the documentation. */
  means: string;
}

export const ROBOT_WORDS: Record<RobotPhase, RobotWords> = {
  pending: { label: 'Pending', tone: 'idle', means: 'its turn has not come' },
  waiting: { label: 'Waiting', tone: 'warn', means: 'its turn has come; it is busy, out of its hours, or too many others are on their way' },
  updating: { label: 'Updating', tone: 'info', means: 'told; it does not serve yet' },
  updated: { label: 'Updated', tone: 'ok', means: 'serves what the rollout brings, by its own word' },
  deferred: { label: 'Deferred', tone: 'idle', means: 'was offline; takes it up when it returns' },
  failed: { label: 'Failed', tone: 'bad', means: 'refused, broken, or silent beyond its deadline' },
  retrying: { label: 'To be told again', tone: 'warn', means: 'failed, and is told again when its turn comes' },
  skipped: { label: 'Skipped', tone: 'idle', means: 'was never told, and will not be' },
  rolling_back: { label: 'Going back', tone: 'warn', means: 'told to go back; it does not serve what it had yet' },
  rolled_back: { label: 'Back', tone: 'warn', means: 'serves what it had before, by its own word' },
};

export const total = (counts: RobotCounts) => Object.values(counts).reduce((sum, n) => sum + (n ?? 0), 0);

/** Shares of a progress bar, in the order of `ROBOT_PHASES`; phases nobody is in are left out. */
export function shares(counts: RobotCounts): { phase: RobotPhase; n: number; share: number }[] {
  const all = Math.max(1, total(counts));
  // What is done stands first, as in every progress bar.
  const order: RobotPhase[] = ['updated', 'rolled_back', 'rolling_back', 'updating', 'failed', 'retrying', 'skipped', 'deferred', 'waiting', 'pending'];
  return order.flatMap((phase) => {
    const n = counts[phase] ?? 0;
    return n > 0 ? [{ phase, n, share: n / all }] : [];
  });
}

/** `812 updated, 3 failed of 1 000 robots`. */
export function countsText(counts: RobotCounts): string {
  const parts = shares(counts).filter(({ phase }) => phase !== 'pending').map(({ phase, n }) => `${count(n)} ${ROBOT_WORDS[phase].label.toLowerCase()}`);
  const whole = total(counts);
  return parts.length === 0 ? plural(whole, 'robot') : `${parts.join(', ')} of ${plural(whole, 'robot')}`;
}

/** What a rollout brings, in a few words. */
export function releaseName(rollout: Pick<RolloutSummary, 'kind' | 'name' | 'version'>): string {
  return rollout.kind === 'policy' ? 'Telemetry policy' : `${rollout.name} v${rollout.version}`;
}

/** What happens now and what comes next, in plain words. What the control plane itself says of why it holds comes first. */
export function told(rollout: RolloutView, nowMs: number): string {
  const stage = rollout.plan[rollout.stage_index];
  const name = stage?.name ?? rollout.stage;
  const last = rollout.stage_index >= rollout.plan.length - 1;
  const next = last ? 'the rollout succeeds' : `“${rollout.plan[rollout.stage_index + 1]?.name}” begins`;
  const holds = sentence(rollout.holds);
  switch (rollout.phase) {
    case 'queued':
      return holds || 'Another rollout holds some of these robots. It begins when that one has ended.';
    case 'replaying':
      return holds || 'Recorded frames go through the candidate. No robot was told yet.';
    case 'awaiting_approval':
      return holds || `“${name}” begins when somebody approves it. Nothing goes on until then.`;
    case 'progressing':
      return holds || `Robots of “${name}” are told and converge: ${countsText(stage?.robots ?? {})}.`;
    case 'soaking': {
      if (holds) return holds;
      const left = stage ? stage.soak_s * 1e6 - (nowMs * 1000 - rollout.since_us) : 0;
      return left > 0 ? `“${name}” serves and is watched for another ${duration(left)}; then its gates are judged.` : `“${name}” has soaked; its gates are judged next.`;
    }
    case 'judging':
      return holds || `The gates of “${name}” are looked at. When they pass, ${next}.`;
    case 'paused':
      return holds || 'Somebody holds it. Nothing goes on until somebody resumes it.';
    case 'rolling_back':
      return holds || `Robots go back to what they had: ${countsText(rollout.robots)}.`;
    case 'succeeded':
      return holds || `Every stage passed: ${countsText(rollout.robots)}.`;
    case 'rolled_back':
      return holds || `Robots are back at what they had before. ${whyBack(rollout)}`.trim();
    case 'failed':
      return holds || 'It ended without success; robots are listed below with what is wrong.';
    case 'aborted':
      return holds || 'An operator ended it. Robots stay as they are.';
  }
}

/** Why robots went back: what was said when they began to. */
function whyBack(rollout: RolloutView): string {
  const entry = rollout.history.findLast(({ happened }) => happened === 'rollback_began');
  if (!entry) return '';
  return entry.actor.kind === 'operator' ? `${person(entry.actor.name)} took them back${entry.cause ? `: ${sentence(entry.cause)}` : '.'}` : sentence(entry.cause);
}

/** First letter large, a full stop at the end. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const large = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(large) ? large : `${large}.`;
}

interface ActionWords {
  label: string;
  title: string;
  /** What it does, before somebody confirms. */
  does: (rollout: RolloutView) => string[];
  danger: boolean;
}

export const ACTION_WORDS: Record<RolloutAction, ActionWords> = {
  pause: {
    label: 'Pause', title: 'Pause the rollout', danger: false,
    does: (rollout) => ['No further robot is told until somebody resumes it.', (rollout.robots.updating ?? 0) > 0 ? `${plural(rollout.robots.updating ?? 0, 'robot')} on the way ${rollout.robots.updating === 1 ? 'goes' : 'go'} on by themselves.` : 'Robots keep what they serve.'],
  },
  resume: {
    label: 'Resume', title: 'Resume the rollout', danger: false,
    does: (rollout) => [`It goes on in “${rollout.stage}”, from where it was held.`],
  },
  approve: {
    label: 'Approve', title: 'Approve the stage', danger: false,
    does: (rollout) => {
      const stage = rollout.plan[rollout.stage_index];
      return [`“${rollout.stage}” begins: ${plural(total(stage?.robots ?? {}), 'robot')} ${total(stage?.robots ?? {}) === 1 ? 'gets' : 'get'} ${releaseName(rollout)}.`, 'Your name stands in the history as who approved it.'];
    },
  },
  promote: {
    label: 'Promote', title: 'Promote the stage without its gates', danger: true,
    does: (rollout) => {
      const next = rollout.plan[rollout.stage_index + 1];
      return [
        `“${rollout.stage}” counts as passed, whatever its gates say.`,
        next ? `“${next.name}” begins with ${plural(total(next.robots), 'robot')}${next.approval ? ', once it is approved' : ''}.` : 'It was the last stage: the rollout succeeds.',
      ];
    },
  },
  retry: {
    label: 'Retry failed', title: 'Tell failed robots again', danger: false,
    does: (rollout) => [`${plural(rollout.robots.failed ?? 0, 'failed robot')} ${rollout.robots.failed === 1 ? 'is' : 'are'} told again, with a new deadline.`],
  },
  rollback: {
    label: 'Roll back', title: 'Roll back every robot', danger: true,
    does: (rollout) => [
      `Every robot that was told goes back to what it had before: ${plural((rollout.robots.updated ?? 0) + (rollout.robots.updating ?? 0) + (rollout.robots.failed ?? 0) + (rollout.robots.deferred ?? 0), 'robot')}.`,
      'Robots that are offline go back when they return. The rollout ends when robots report their old digest.',
    ],
  },
  abort: {
    label: 'Abort', title: 'Abort the rollout', danger: true,
    does: (rollout) => ['It ends here. No further robot is told.', `Robots stay as they are: ${countsText(rollout.robots)}. To take them back, roll back instead.`],
  },
};

/** What the API offers now, in the order of the page; an action of a later control plane that this page does not know is left out. */
export const offered = (rollout: RolloutView): RolloutAction[] => ACTIONS.filter((action) => rollout.actions.includes(action));

const HAPPENED: Record<string, { label: string; tone: Tone }> = {
  created: { label: 'Created', tone: 'idle' },
  queued: { label: 'Queued', tone: 'idle' },
  replayed: { label: 'Recorded frames replayed', tone: 'info' },
  approval_asked: { label: 'Approval asked for', tone: 'warn' },
  approved: { label: 'Approved', tone: 'ok' },
  stage_began: { label: 'Stage began', tone: 'info' },
  stage_settled: { label: 'Stage settled', tone: 'info' },
  gates_judged: { label: 'Gates judged', tone: 'info' },
  stage_passed: { label: 'Stage passed', tone: 'ok' },
  stage_failed: { label: 'Stage failed', tone: 'bad' },
  robot_failed: { label: 'Robot failed', tone: 'bad' },
  robot_left: { label: 'Robot left', tone: 'idle' },
  paused: { label: 'Paused', tone: 'warn' },
  resumed: { label: 'Resumed', tone: 'info' },
  promoted: { label: 'Promoted without its gates', tone: 'warn' },
  rollback_began: { label: 'Rollback began', tone: 'warn' },
  retried: { label: 'Failed robots told again', tone: 'info' },
  ended: { label: 'Ended', tone: 'idle' },
};

/** What happened, and how it is coloured: an end by how it ended. */
export function happened(entry: HistoryEntry): { label: string; tone: Tone } {
  if (entry.happened === 'ended') return { label: phaseLabel(entry.phase), tone: phaseTone(entry.phase) };
  return HAPPENED[entry.happened] ?? { label: entry.happened.replaceAll('_', ' '), tone: 'idle' };
}

export const actorName = (actor: Actor) => (actor.kind === 'controller' ? 'the rollout itself' : person(actor.name));

export const VERDICT_WORDS: Record<Verdict, { label: string; tone: Tone }> = {
  pass: { label: 'Pass', tone: 'ok' },
  fail: { label: 'Fail', tone: 'bad' },
  inconclusive: { label: 'Inconclusive', tone: 'warn' },
};

export const ARMS: readonly { key: Arm; label: string; title: string }[] = [
  { key: 'updated', label: 'Updated', title: 'Robots that serve the release, since they do' },
  { key: 'rest', label: 'Rest', title: 'Robots of the rollout that are not updated, over the same time' },
  { key: 'before', label: 'Before', title: 'The same robots, before' },
];

/** Metrics a gate's arms have numbers of, the compared one first. */
export function metricsOf(result: GateResult): string[] {
  const all = [result.updated, result.rest, result.before].flatMap((arm) => Object.keys(arm));
  return [...new Set([...(result.metric ? [result.metric] : []), ...all])];
}

const SHARES = new Set(['accuracy', 'mission_success', 'error_rate', 'sensor_health', 'input_drift', 'output_drift']);

/** A metric's value as people say it. */
export function metricValue(metric: string, value: WireNumber | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (SHARES.has(metric)) return percent(value);
  if (metric.endsWith('_us')) return duration(Number(value));
  return compact(value);
}

export const metricName = (metric: string) => {
  const words = metric.replace(/_us$/, '').replaceAll('_', ' ').replace(/ p(50|95|99)$/, ' (p$1)');
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** Metrics worth a chart: those gates compare or have numbers of, each once, over all stages; the newest stage first. */
export function charted(plan: readonly StageView[]): string[] {
  return [...new Set([...plan].reverse().flatMap((stage) => stage.evidence.flatMap((result) => (result.metric ? [result.metric] : metricsOf(result)))))];
}

/** The stage whose verdicts are worth a look: the present one; where it has no gates, the last before it that was judged. */
export function judgedStage({ plan, stage_index }: RolloutView): number {
  const present = plan[stage_index];
  if (present && (present.evidence.length > 0 || present.gates === undefined || present.gates.length > 0)) return stage_index;
  const judged = plan.findLastIndex(({ evidence }, index) => index <= stage_index && evidence.length > 0);
  return judged < 0 ? stage_index : judged;
}

// ---- lists ----------------------------------------------------------------------------------------------------------

/** Those that go on first, newest first; a summary that the stream brought replaces what was fetched. */
export function mergeRollouts(fetched: readonly RolloutSummary[], streamed: ReadonlyMap<string, RolloutSummary>): RolloutSummary[] {
  const all = new Map(fetched.map((rollout) => [rollout.id, rollout]));
  for (const [id, rollout] of streamed) all.set(id, rollout);
  return [...all.values()].sort((a, b) => Number(ended(a.phase)) - Number(ended(b.phase)) || b.created_at_us - a.created_at_us || Number(b.id) - Number(a.id));
}

/** Robots as they were read, with those that changed since. */
export function mergeCells(known: ReadonlyMap<string, RobotCell>, changed: readonly RobotCell[]): Map<string, RobotCell> {
  const cells = new Map(known);
  for (const cell of changed) cells.set(cell.target, cell);
  return cells;
}

/** The moment from which on robots must be read again: the newest change that is known, and everything of that very moment. */
export function newestChange(cells: Iterable<RobotCell>): number {
  let newest = 0;
  for (const cell of cells) if (cell.since_us > newest) newest = cell.since_us;
  return newest;
}

export type CellRow = { kind: 'stage'; stage: number } | { kind: 'cells'; stage: number; cells: RobotCell[] };

const byName = new Intl.Collator('en', { numeric: true });

/** Cells in rows of `columns`, stage by stage, each under its heading. Where a cell stands does not change as its robot does. */
export function cellRows(cells: Iterable<RobotCell>, columns: number, stages: number): CellRow[] {
  const of: RobotCell[][] = Array.from({ length: stages }, () => []);
  for (const cell of cells) (of[cell.stage] ??= []).push(cell);
  const rows: CellRow[] = [];
  for (const [stage, list] of of.entries()) {
    if (!list || list.length === 0) continue;
    rows.push({ kind: 'stage', stage });
    list.sort((a, b) => byName.compare(a.target, b.target));
    for (let at = 0; at < list.length; at += Math.max(1, columns)) rows.push({ kind: 'cells', stage, cells: list.slice(at, at + Math.max(1, columns)) });
  }
  return rows;
}

/** Robots that a person should look at first. */
const URGENCY: Record<RobotPhase, number> = { failed: 0, retrying: 1, skipped: 1, rolling_back: 2, waiting: 3, updating: 4, deferred: 5, rolled_back: 6, pending: 7, updated: 8 };

export function byUrgency(cells: Iterable<RobotCell>): RobotCell[] {
  return [...cells].sort((a, b) => URGENCY[a.phase] - URGENCY[b.phase] || byName.compare(a.target, b.target));
}

/** Which robots, in words. */
export function selectorText(selector: Selector | undefined): string {
  const { names = [], groups = [], labels = {}, percent: share, seed, exclude = [] } = selector ?? {};
  const parts = [
    ...(names.length > 0 ? [names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ')] : []),
    ...(groups.length > 0 ? [`${groups.length === 1 ? 'group' : 'groups'} ${groups.join(', ')}`] : []),
    ...(Object.keys(labels).length > 0 ? [Object.entries(labels).map(([key, values]) => `${key} ${values.join(' or ')}`).join(' and ')] : []),
  ];
  const whom = parts.length > 0 ? parts.join('; ') : 'every robot';
  return `${share === undefined ? '' : `${share} %${seed ? ` (seed ${seed})` : ''} of `}${whom}${exclude.length > 0 ? `, without ${exclude.join(', ')}` : ''}`;
}
