import { describe, expect, it } from 'vitest';
import { ACTIONS, ACTION_WORDS, byUrgency, cellRows, charted, countsText, happened, judgedStage, mergeCells, mergeRollouts, metricValue, newestChange, offered, ROBOT_PHASES, ROBOT_WORDS, selectorText, sentence, shares, told, total, type GateResult, type HistoryEntry, type RobotCell, type RolloutAction, type RolloutPhase, type RolloutSummary, type RolloutView, type StageView } from './rollouts';

const NOW_MS = 1_800_000_000_000;
const stage = (name: string, change: Partial<StageView> = {}): StageView => ({ name, state: 'waiting', robots: { pending: 2 }, soak_s: 600, approval: false, began_us: null, ended_us: null, evidence: [], ...change });
const summary = (id: string, phase: RolloutPhase, created_at_us = 1): RolloutSummary => ({
  id, kind: 'model', name: 'label-reader', version: '2', digest: 'sha256:bb', slot: 'default', phase, holds: '', stage: 'canary', stage_index: 0, stages: 2, robots: { updated: 1, pending: 3 }, created_at_us, created_by: 'ada', since_us: NOW_MS * 1000, description: '',
});
const view = (phase: RolloutPhase, change: Partial<RolloutView> = {}): RolloutView => ({ ...summary('7', phase), spec: { release: { kind: 'model', name: 'label-reader', version: '2' } }, plan: [stage('canary', { state: 'running' }), stage('all')], actions: [], history: [], ...change });
const cell = (target: string, phase: RobotCell['phase'], at = 0, since_us = 1): RobotCell => ({ target, stage: at, phase, since_us, reason: '' });
const gate = (metric: string): GateResult => ({ gate: metric, verdict: 'pass', reason: '', at_us: 1, metric, threshold: null, p_value: null, updated: {}, before: {}, rest: {} });

describe('what a rollout says', () => {
  const PHASES: RolloutPhase[] = ['queued', 'replaying', 'awaiting_approval', 'progressing', 'soaking', 'judging', 'paused', 'rolling_back', 'succeeded', 'rolled_back', 'failed', 'aborted'];

  it('is a sentence in every phase, and what the control plane says of why it holds where it says it', () => {
    for (const phase of PHASES) {
      expect(told(view(phase), NOW_MS), phase).toMatch(/^[“A-Z].+[.]$/);
      expect(told(view(phase, { holds: 'needs 120 frames more of accuracy' }), NOW_MS), phase).toBe('Needs 120 frames more of accuracy.');
    }
  });

  it('counts the soak time down, and names what comes next', () => {
    const soaking = view('soaking', { since_us: (NOW_MS - 480_000) * 1000 });
    expect(told(soaking, NOW_MS)).toContain('another 2 min');
    expect(told(soaking, NOW_MS + 200_000)).toContain('has soaked');
    expect(told(view('judging'), NOW_MS)).toContain('“all” begins');
    expect(told(view('judging', { stage_index: 1 }), NOW_MS)).toContain('the rollout succeeds');
  });

  it('says why robots went back', () => {
    const back = (actor: HistoryEntry['actor'], cause: string) => told(view('rolled_back', { history: [{ at_us: 1, happened: 'rollback_began', phase: 'rolling_back', stage: 'canary', robot: null, actor, cause }] }), NOW_MS);
    expect(back({ kind: 'controller' }, 'accuracy: it does not hold')).toBe('Robots are back at what they had before. Accuracy: it does not hold.');
    expect(back({ kind: 'operator', name: 'operator:ada' }, '')).toBe('Robots are back at what they had before. ada took them back.');
    expect(told(view('rolled_back'), NOW_MS)).toBe('Robots are back at what they had before.');
  });

  it('ends a sentence once', () => {
    expect([sentence('held'), sentence(' Held. '), sentence(''), sentence('why?')]).toEqual(['Held.', 'Held.', '', 'Why?']);
  });
});

describe('verdicts', () => {
  it('are those of the present stage, or of the last that was judged where it has no gates', () => {
    const plan = [stage('canary', { evidence: [gate('accuracy')] }), stage('half', { evidence: [gate('fps')] }), stage('all', { gates: [] })];
    expect(judgedStage(view('succeeded', { plan, stage_index: 2 }))).toBe(1);
    expect(judgedStage(view('soaking', { plan: [plan[0]!, stage('half', { gates: ['fps'] })], stage_index: 1 }))).toBe(1);
    expect(judgedStage(view('progressing', { plan: [stage('canary', { gates: [] }), stage('all', { gates: [] })], stage_index: 1 }))).toBe(1);
  });
});

describe('actions', () => {
  it('are those the API offers, in one order, and no others', () => {
    expect(offered(view('progressing', { actions: ['abort', 'pause'] }))).toEqual(['pause', 'abort']);
    expect(offered(view('progressing', { actions: ['explode' as RolloutAction, 'resume'] }))).toEqual(['resume']);
    expect(offered(view('succeeded'))).toEqual([]);
  });

  it('each say what they do before somebody confirms, with the numbers of this rollout', () => {
    const rollout = view('progressing', { robots: { updated: 4, updating: 1, failed: 2, deferred: 1, pending: 9 }, plan: [stage('canary'), stage('all', { robots: { pending: 9 }, approval: true })] });
    for (const action of ACTIONS) for (const line of ACTION_WORDS[action].does(rollout)) expect(line, action).toMatch(/^[“0-9A-Z].*\.$/);
    expect(ACTION_WORDS.rollback.does(rollout)[0]).toContain('8 robots');
    expect(ACTION_WORDS.retry.does(rollout)[0]).toContain('2 failed robots are');
    expect(ACTION_WORDS.promote.does(rollout)[1]).toBe('“all” begins with 9 robots, once it is approved.');
    expect(ACTION_WORDS.promote.does({ ...rollout, stage_index: 1 })[1]).toContain('last stage');
  });
});

describe('counts', () => {
  it('become shares that add up, what is done first', () => {
    const parts = shares({ pending: 5, failed: 1, updated: 4 });
    expect(parts.map(({ phase }) => phase)).toEqual(['updated', 'failed', 'pending']);
    expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    expect(shares({})).toEqual([]);
    expect(total({ updated: 4, pending: 6 })).toBe(10);
  });

  it('are told in words', () => {
    expect(countsText({ updated: 812, failed: 3, pending: 185 })).toBe('812 updated, 3 failed of 1\u202f000 robots');
    expect(countsText({ pending: 1 })).toBe('1 robot');
  });

  it('every phase has words and a place among the shares', () => {
    for (const phase of ROBOT_PHASES) {
      expect(ROBOT_WORDS[phase].means.length).toBeGreaterThan(10);
      expect(shares({ [phase]: 1 })).toHaveLength(1);
    }
  });
});

describe('lists', () => {
  it('show what goes on first, then the newest, and believe the stream', () => {
    const merged = mergeRollouts([summary('1', 'succeeded', 1), summary('2', 'progressing', 2), summary('3', 'failed', 3)], new Map([['2', summary('2', 'rolled_back', 2)], ['4', summary('4', 'queued', 0)]]));
    expect(merged.map(({ id, phase }) => `${id} ${phase}`)).toEqual(['4 queued', '3 failed', '2 rolled_back', '1 succeeded']);
  });

  it('keep robots up with what changed, from the newest change on', () => {
    const known = mergeCells(new Map(), [cell('a', 'pending', 0, 5), cell('b', 'updating', 0, 9)]);
    expect(newestChange(known.values())).toBe(9);
    const next = mergeCells(known, [cell('b', 'updated', 0, 12)]);
    expect([...next.values()].map(({ phase }) => phase)).toEqual(['pending', 'updated']);
    expect(known.get('b')?.phase).toBe('updating');
    expect(newestChange([])).toBe(0);
  });

  it('put cells in rows under their stage, where they stay whatever their robot does', () => {
    const cells = [cell('robot-10', 'updated'), cell('robot-2', 'pending'), cell('robot-1', 'failed'), cell('robot-3', 'pending', 2)];
    const rows = cellRows(cells, 2, 3);
    expect(rows.map((row) => (row.kind === 'stage' ? `stage ${row.stage}` : row.cells.map(({ target }) => target).join()))).toEqual(['stage 0', 'robot-1,robot-2', 'robot-10', 'stage 2', 'robot-3']);
    const moved = cellRows(cells.map((one) => ({ ...one, phase: 'updated' as const })), 2, 3);
    expect(moved.map((row) => row.kind === 'cells' && row.cells.map(({ target }) => target))).toEqual(rows.map((row) => row.kind === 'cells' && row.cells.map(({ target }) => target)));
    expect(cellRows([], 2, 3)).toEqual([]);
  });

  it('begin with the robots that need somebody', () => {
    expect(byUrgency([cell('a', 'updated'), cell('b', 'waiting'), cell('c', 'failed'), cell('d', 'failed')]).map(({ target }) => target)).toEqual(['c', 'd', 'b', 'a']);
  });
});

describe('words', () => {
  it('an end is told by how it ended', () => {
    const entry = { at_us: 1, stage: null, robot: null, actor: { kind: 'controller' } as const, cause: '' };
    expect(happened({ ...entry, happened: 'ended', phase: 'rolled_back' })).toEqual({ label: 'Rolled back', tone: 'warn' });
    expect(happened({ ...entry, happened: 'a_later_kind', phase: 'paused' })).toEqual({ label: 'a later kind', tone: 'idle' });
  });

  it('values carry their unit', () => {
    expect([metricValue('accuracy', 0.955), metricValue('latency_p95_us', 14_800), metricValue('output_drift_ratio', 0.31), metricValue('fps', null)]).toEqual(['95.5 %', '14.8 ms', '0.310', '–']);
  });

  it('each metric that gates look at has one chart, those of the newest stage first', () => {
    expect(charted([stage('a', { evidence: [gate('accuracy'), gate('fps')] }), stage('b', { evidence: [gate('output_drift'), gate('accuracy')] })])).toEqual(['output_drift', 'accuracy', 'fps']);
  });

  it('say which robots', () => {
    expect(selectorText({})).toBe('every robot');
    expect(selectorText({ labels: { site: ['lab', 'dock'] }, percent: 10, exclude: ['robot-9'] })).toBe('10 % of site lab or dock, without robot-9');
    expect(selectorText({ percent: 10, seed: 'autumn' })).toBe('10 % (seed autumn) of every robot');
    expect(selectorText({ groups: ['night'], names: ['a', 'b', 'c', 'd', 'e', 'f'] })).toBe('a, b, c, d, e and 1 more; group night');
  });
});
