import { render } from 'svelte/server';
import { describe, expect, it } from 'vitest';
import type { PlannedRobot, RolloutPlan } from '../lib/rollouts';
import RolloutPlanView from './RolloutPlanView.svelte';

const robot = (target: string, lacks?: string): PlannedRobot => ({ target, serves: '', site: null, online: true, ...(lacks !== undefined && { lacks }) });
const plan = (robots: PlannedRobot[]): RolloutPlan => ({
  release: { kind: 'map', name: 'hall', version: '1', digest: 'sha256:aa' },
  stages: [{ name: 'all', robots, soak_s: 0, approval: false, gates: [] }], left_out: [], taken: [],
});
const html = (robots: PlannedRobot[]) => render(RolloutPlanView, { props: { plan: plan(robots) } }).body;

describe('the plan of a rollout', () => {
  it('says which robots would fail because they have no slot for it, and why', () => {
    const shown = html([robot('robot-1', 'it has no slot map'), robot('robot-2', '')]);
    expect(shown).toContain('1 robot would fail without being told: robot-1. It has no slot map.');
    const row = (name: string) => shown.split(`data-plan-robot="${name}"`)[1]?.split('</li>')[0];
    expect(row('robot-1')).toContain('>it has no slot map<');
    expect(row('robot-1')).not.toContain('hall/1');
    expect(row('robot-2')).toContain('hall/1');
  });

  it('says nothing of it where none does, nor of a control plane that does not tell', () => {
    expect(html([robot('robot-1', '')])).not.toContain('data-lacking');
    expect(html([robot('robot-1')])).not.toContain('data-lacking');
  });
});
