import { describe, expect, it } from 'vitest';
import type { TimelineEvent } from './events';
import { EMPTY, reduce, type State } from './state';

const message = (event: string, data: unknown) => ({ event, data: JSON.stringify(data) });
const timeline = (id: number, t_us: number): TimelineEvent => ({ id, target: 'r', class: 'event', kind: 'link', t_us, received_us: t_us, title: '', severity: 'info', body: {} });
const version = (n: string) => ({ model: 'label-reader', version: n, digest: `sha256:${n}`, files: [], created_at_us: Number(n) });

describe('the live state', () => {
  it('takes the newest of each resource and leaves the old state alone', () => {
    const before: State = reduce(EMPTY, [message('target', { name: 'r', online: true })]).state;
    const after = reduce(before, [message('target', { name: 'r', online: false }), message('target', { name: 's', online: true }), message('deployment', { id: 'd', state: 'succeeded' }), message('drift', { target: 'r', flagged: true }), message('rollout', { id: '7', phase: 'progressing' }), message('rollout', { id: '7', phase: 'soaking' })]).state;
    expect(before.targets.get('r')?.online).toBe(true);
    expect(after.targets.get('r')?.online).toBe(false);
    expect([...after.targets.keys()]).toEqual(['r', 's']);
    expect(after.deployments.get('d')?.state).toBe('succeeded');
    const lots = reduce(after, [message('deployment', { id: 'e', rollout: '7', state: 'progressing' })]).state;
    expect([...lots.deployments.keys()]).toEqual(['d']);
    expect(after.drift.get('r')?.flagged).toBe(true);
    expect([...after.rollouts.values()].map(({ phase }) => phase)).toEqual(['soaking']);
    expect(before.rollouts.size).toBe(0);
  });

  it('keeps what did not change identical, so that pages do not redraw it', () => {
    const before = reduce(EMPTY, [message('target', { name: 'r' })]).state;
    const after = reduce(before, [message('event', timeline(1, 1))]).state;
    expect(after.targets).toBe(before.targets);
    expect(after.models).toBe(before.models);
    expect(after.rollouts).toBe(before.rollouts);
  });

  it('orders a replayed past into the timeline, once', () => {
    const { state } = reduce({ ...EMPTY, events: [timeline(5, 50)] }, [message('event', timeline(6, 30)), message('event', timeline(7, 40)), message('event', timeline(5, 50))]);
    expect(state.events.map(({ id }) => id)).toEqual([5, 7, 6]);
  });

  it('grows a model by its versions, newest first, and asks for what a message lacks', () => {
    const { state, refetchModels } = reduce(EMPTY, [message('model', version('2')), message('model', version('10')), message('model', { name: 'other' })]);
    expect(state.models.get('label-reader')?.versions.map((v) => v.version)).toEqual(['10', '2']);
    expect(refetchModels).toEqual(['other']);
  });

  it('knows that a deployment is superseded when its robots are told something else, by whomever', () => {
    const asked = (target: string, generation: number, status: string) => ({ target, generation, status, reason: null, at_us: null });
    const old = { id: '1', slot: 'default', digest: 'v1', state: 'progressing', targets: [asked('r', 4, 'warming'), asked('s', 2, 'active')] };
    const robot = (generation: number, digest: string) => message('target', { name: 'r', desired: { server_epoch: 1, generation, slots: { default: { digest } } } });
    const before = reduce(EMPTY, [message('deployment', old)]).state;
    for (const [generation, digest] of [[3, 'v0'], [4, 'v1'], [5, 'v1']] as const) {
      const { state } = reduce(before, [robot(generation, digest)]);
      expect(state.deployments, `${generation}: what it was told before, this, or something beside it`).toBe(before.deployments);
    }
    const after = reduce(before, [robot(5, 'v2')]).state.deployments.get('1');
    expect([after?.state, after?.targets.map(({ status }) => status)]).toEqual(['superseded', ['superseded', 'active']]);
    const undeclared = reduce(before, [message('target', { name: 'r', desired: { server_epoch: 1, generation: 5, slots: {} } })]).state;
    expect(undeclared.deployments.get('1')?.state).toBe('superseded');
    const wide = { ...old, targets: [...old.targets, asked('t', 1, 'pending')] };
    const some = reduce(reduce(EMPTY, [message('deployment', wide)]).state, [robot(5, 'v2')]).state.deployments.get('1');
    expect([some?.state, some?.targets[0]?.status]).toEqual(['progressing', 'superseded']);
    expect(before.deployments.get('1')?.state).toBe('progressing');
  });

  it('removes a robot that was removed', () => {
    const before = reduce(EMPTY, [message('target', { name: 'r' })]).state;
    expect(reduce(before, [message('target', { name: 'r', deleted: true })]).state.targets.size).toBe(0);
  });

  it('survives unreadable and unknown messages', () => {
    const result = reduce(EMPTY, [{ event: 'target', data: '{' }, message('target', null), message('gripper', {}), message('target', { name: 'r' })]);
    expect(result.unreadable).toBe(2);
    expect(result.state.targets.size).toBe(1);
  });
});
