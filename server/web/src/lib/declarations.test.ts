import { describe, expect, it } from 'vitest';
import { actsOn, changeKind, plannedLines, revisionState, valueText, type Revision } from './declarations';

const revision = (n: number, state: Revision['state']): Revision => ({ revision: n, based_on: n - 1, state, message: '', digest: '', created_by: 'operator:ada', created_at_us: 1, decided_by: null, decided_at_us: null, reason: '', robots: 3 });

describe('revisions', () => {
  it('offer what can be done with them: proposals are decided, what was applied before can come back', () => {
    expect(actsOn(revision(5, 'proposed'), 4)).toEqual(['approve', 'reject']);
    expect(actsOn(revision(4, 'applied'), 4)).toEqual([]);
    expect(actsOn(revision(3, 'applied'), 4)).toEqual(['revert']);
    expect(actsOn(revision(2, 'rejected'), 4)).toEqual([]);
    expect(revisionState('proposed')).toEqual({ label: 'Waits for review', tone: 'warn' });
  });

  it('say what each change is', () => {
    expect([changeKind({ path: 'a', before: null, after: 1 }), changeKind({ path: 'a', before: 1, after: null }), changeKind({ path: 'a', before: 1, after: 2 }), changeKind({ path: 'a', before: undefined, after: {} })]).toEqual(['added', 'removed', 'changed', 'added']);
    expect([valueText(null), valueText('v2'), valueText({ a: [1] }), valueText(0), valueText(false)]).toEqual(['', 'v2', '{"a":[1]}', '0', 'false']);
  });

  it('say robot by robot what happens', () => {
    const lines = plannedLines({
      target: 'r', slots: [{ slot: 'default', declaration: 'reader', before: 'reader/1', after: 'reader/2', how: 'rollout' }, { slot: 'map', declaration: 'hall', before: null, after: 'hall/3', how: '' }],
      labels: [{ key: 'site', before: null, after: 'lab' }, { key: 'zone', before: 'a', after: null }, { key: 'floor', before: '1', after: '2' }], policy: { declaration: 'watchful', how: 'direct' },
    });
    expect(lines).toEqual(['default: reader/1 → reader/2 (rollout)', 'map: nothing → hall/3', 'label site=lab', 'label zone is taken away', 'label floor: 1 → 2', 'telemetry policy watchful (direct)']);
  });
});
