import { describe, expect, it } from 'vitest';
import { errorFrom } from './api';
import { newestDeployments, progressOf, stageOf, statusTone, type Deployment, type DeploymentTargetStatus } from './deployments';
import { eventQuery, lateness, mergeEvents, notable, takesEvent, type EventFilter, type TimelineEvent } from './events';
import { chooseParts, tensorType } from './models';
import { parseQuery, parseRoute, links, tokenFromHash, withQuery } from './router';
import { mergePoints, readPoints, resolutionNote } from './telemetry';

describe('deployments', () => {
  const deployment = (id: string, created_at_us: number, ...statuses: DeploymentTargetStatus[]): Deployment => ({
    id, model: 'm', version: '1', digest: 'd', slot: 'default', created_at_us, created_by: 'a', state: 'progressing',
    targets: statuses.map((status, i) => ({ target: `r${i}`, generation: 1, status, reason: null, at_us: null })),
  });

  it('count each robot once', () => {
    const sum = progressOf(deployment('d', 1, 'active', 'active', 'warming', 'pending', 'failed', 'rolled_back', 'superseded'));
    expect(sum).toEqual({ total: 7, active: 2, underway: 1, pending: 1, failed: 2, superseded: 1 });
  });

  it('come newest first', () => {
    expect(newestDeployments([deployment('a', 1), deployment('b', 3), deployment('c', 2)]).map(({ id }) => id)).toEqual(['b', 'c', 'a']);
  });

  it('know their stages and how they look', () => {
    expect([stageOf('pending'), stageOf('active'), stageOf('failed')]).toEqual([0, 4, null]);
    expect([statusTone('active'), statusTone('failed'), statusTone('warming'), statusTone('superseded')]).toEqual(['ok', 'bad', 'info', 'idle']);
  });
});

describe('events', () => {
  const event = (id: number, severity: TimelineEvent['severity'] = 'info', late = 0): TimelineEvent => ({ id, target: 'r', class: 'event', kind: 'link', t_us: id, received_us: id + late, title: '', severity, body: {} });

  it('are kept up to a limit, the newest ones', () => {
    expect(mergeEvents([event(1), event(2)], [event(3), event(2)], 2).map(({ id }) => id)).toEqual([3, 2]);
  });

  it('filter by severity and up, by kind and by robot', () => {
    const all = [event(1), event(2, 'warning'), event(3, 'error'), { ...event(4), kind: 'mission' }, { ...event(5), target: 's' }];
    const shown = (filter: Partial<EventFilter>) => all.filter((one) => takesEvent({ target: '', kind: '', view: 'notable', ...filter }, one)).map(({ id }) => id);
    expect(shown({})).toEqual([1, 2, 3, 5]);
    expect(shown({ view: 'all' })).toEqual([1, 2, 3, 4, 5]);
    expect(shown({ view: 'warning' })).toEqual([2, 3]);
    expect(shown({ view: 'warning', target: 's' })).toEqual([]);
    expect(shown({ kind: 'mission' })).toEqual([4]);
    expect(shown({ target: 's' })).toEqual([5]);
  });

  it('are asked for by kind, and without routine ones', () => {
    expect(eventQuery({ target: '', kind: '', view: 'notable' })).toEqual({ notable: 'true' });
    expect(eventQuery({ target: 'r', kind: '', view: 'warning' })).toEqual({ target: 'r', notable: 'true' });
    expect(eventQuery({ target: '', kind: 'mission', view: 'notable' })).toEqual({ kind: 'mission' });
    expect(eventQuery({ target: 'r', kind: '', view: 'all' })).toEqual({ target: 'r' });
  });

  it('are notable unless they are a step of a mission that goes well', () => {
    const mission = (severity: TimelineEvent['severity']) => notable({ ...event(1, severity), kind: 'mission' });
    expect([notable(event(1)), mission('info'), mission('error'), notable({ ...event(1, 'warning'), kind: 'state' })]).toEqual([true, false, true, false]);
  });

  it('say when they waited in a log, not when the network was slow', () => {
    expect(lateness(event(1, 'info', 2_000_000))).toBeNull();
    expect(lateness(event(1, 'info', 40_000_000))).toBe(40_000_000);
  });
});

describe('models', () => {
  const file = (name: string, size = 10) => ({ name, size });

  it('take files of any name by their kind, and refuse what is no part of a bundle', () => {
    expect([...chooseParts([file('digits-v2.onnx'), file('edgeflow.yml'), file('baseline.json'), file('v2-golden.json')]).parts.keys()]).toEqual(['model.onnx', 'edgeflow.yaml', 'baseline.json', 'golden.json']);
    expect(chooseParts([file('model.pkl')]).problems[0]).toContain('model.pkl is not part of a bundle');
    expect(chooseParts([file('a.onnx'), file('b.onnx')]).problems[0]).toContain('choose one');
    expect(chooseParts([file('a.onnx', 0)]).problems[0]).toContain('is empty');
    expect(chooseParts([file('baseline.json')]).problems).toEqual(['A version needs a .onnx file.']);
    expect(chooseParts([])).toEqual({ parts: new Map(), problems: [] });
  });

  it('write open dimensions as such', () => {
    expect(tensorType({ name: 'X', elem_type: 'float32', shape: [null, 64] })).toBe('float32[?, 64]');
  });
});

describe('telemetry', () => {
  it('drops what is not a number and lets a replayed past fall into its place', () => {
    const points = readPoints({ channel: 'accuracy', unit: '', resolution: 'raw', points: [[3, 0.5], [4, 'NaN']] });
    expect(mergePoints([[1, 1], [5, 1]], points)).toEqual([[1, 1], [3, 0.5], [5, 1]]);
    expect(mergePoints([[1, 1]], [[1, 2], [2, 3]], 1)).toEqual([[2, 3]]);
  });

  it('says when it is shown more coarsely than it came', () => {
    expect([resolutionNote([]), resolutionNote(['raw', 'raw'])]).toEqual(['', '']);
    expect(resolutionNote(['raw', 'minute'])).toBe('means of a minute');
    expect(resolutionNote(['minute', 'hour'])).toBe('means of an hour');
  });
});

describe('addresses', () => {
  it('survive names with anything in them', () => {
    for (const name of ['robot-1', 'a/b', 'ü ?#']) expect(parseRoute(links.robot(name))).toEqual({ page: 'robot', name });
    expect(parseRoute(links.rollouts())).toEqual({ page: 'rollouts' });
    expect(parseRoute(links.rollout('7'))).toEqual({ page: 'rollout', id: '7' });
    expect(parseRoute(links.declarations())).toEqual({ page: 'declarations' });
    expect(parseRoute(links.revision(3))).toEqual({ page: 'declaration', revision: '3' });
    expect(parseRoute('#/fleet/else')).toEqual({ page: 'missing', path: 'fleet/else' });
    expect(parseRoute(links.deployments('d1'))).toEqual({ page: 'deployments', id: 'd1' });
    for (const [model, version] of [['a b', '12'], ['ü?#&', '@best']] as const) expect(parseRoute(links.version(model, version))).toEqual({ page: 'version', model, version });
    expect(parseRoute(links.modelDiff('m', '1', '2'))).toEqual({ page: 'model-diff', model: 'm' });
    expect(parseQuery(links.modelDiff('m', '1', '2', 'other'))).toEqual({ from: '1', to: '2', model: 'other' });
    expect(parseQuery(links.modelDiff('m', '1', '2', 'm'))).toEqual({ from: '1', to: '2' });
    expect(parseQuery(links.compare('1', ['a', 'b']))).toEqual({ runs: 'a,b' });
    expect(parseRoute('')).toEqual({ page: 'fleet' });
    expect(parseQuery(withQuery('#/x', { filter: 'a = "b" & c', none: '', no: null }))).toEqual({ filter: 'a = "b" & c' });
    expect(parseRoute('#/%zz')).toEqual({ page: 'missing', path: '%zz' });
  });

  it('are those that the stock MLflow client prints', () => {
    expect(parseRoute('#/experiments')).toEqual({ page: 'experiments' });
    expect(parseRoute('#/experiments/12')).toEqual({ page: 'experiment', id: '12' });
    expect(parseRoute('#/experiments/12/runs')).toEqual({ page: 'experiment', id: '12' });
    expect(parseRoute('#/experiments/12/runs/9d6abaf7')).toEqual({ page: 'run', id: '9d6abaf7', experiment: '12' });
    expect(parseRoute('#/experiments/12/models/m-00a8')).toEqual({ page: 'logged-model', id: 'm-00a8' });
    expect(parseRoute('#/experiments/12/what')).toEqual({ page: 'missing', path: 'experiments/12/what' });
    expect(parseRoute(links.run('9d6abaf7'))).toEqual({ page: 'run', id: '9d6abaf7', experiment: null });
  });

  it('carry a token only as a sign-in link', () => {
    expect(tokenFromHash('#token=abc%2F1')).toBe('abc/1');
    expect(tokenFromHash('#/token=abc')).toBe('abc');
    expect(tokenFromHash('#/models/token=abc')).toBeNull();
  });
});

describe('errors', () => {
  it("are the API's own words where it gave some", () => {
    expect(errorFrom(404, '{"error":{"code":"not_found","message":"no robot robot-9"}}')).toMatchObject({ status: 404, code: 'not_found', message: 'no robot robot-9' });
    expect(errorFrom(502, '<html>').message).toBe('the control plane answered 502');
  });
});
