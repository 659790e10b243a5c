// Deployments: one version on its way to chosen robots.

import { STAGES, type SlotStatus, type Target } from './targets';

export type DeploymentState = 'progressing' | 'succeeded' | 'failed' | 'superseded';
export type DeploymentTargetStatus = SlotStatus | 'superseded';

export interface DeploymentTarget {
  target: string;
  generation: number | string;
  status: DeploymentTargetStatus;
  reason: string | null;
  at_us: number | null;
}

export interface Deployment {
  id: string;
  model: string;
  version: string;
  digest: string;
  slot: string;
  created_at_us: number;
  created_by: string;
  /** The rollout that told these robots; its own page shows them. */
  rollout?: string | null;
  targets: DeploymentTarget[];
  state: DeploymentState;
}

export interface NewDeployment {
  model: string;
  version: string;
  targets: string[];
  slot?: string;
}

export type Tone = 'ok' | 'info' | 'warn' | 'bad' | 'idle';

export function statusTone(status: DeploymentTargetStatus | DeploymentState): Tone {
  switch (status) {
    case 'active':
    case 'succeeded':
      return 'ok';
    case 'failed':
      return 'bad';
    case 'rolled_back':
      return 'warn';
    case 'superseded':
    case 'pending':
      return 'idle';
    default:
      return 'info';
  }
}

/** Stages done of those to `active`, 0 to 4; null where the way ended elsewhere. */
export function stageOf(status: DeploymentTargetStatus): number | null {
  const index = (STAGES as readonly string[]).indexOf(status);
  return index < 0 ? null : index;
}

export interface DeploymentProgress {
  total: number;
  active: number;
  underway: number;
  pending: number;
  failed: number;
  superseded: number;
}

export function progressOf(deployment: Deployment): DeploymentProgress {
  const sum: DeploymentProgress = { total: deployment.targets.length, active: 0, underway: 0, pending: 0, failed: 0, superseded: 0 };
  for (const { status } of deployment.targets) {
    if (status === 'active') sum.active += 1;
    else if (status === 'failed' || status === 'rolled_back') sum.failed += 1;
    else if (status === 'superseded') sum.superseded += 1;
    else if (status === 'pending') sum.pending += 1;
    else sum.underway += 1;
  }
  return sum;
}

const SETTLED: readonly DeploymentTargetStatus[] = ['active', 'failed', 'rolled_back', 'superseded'];

/**
 * The deployment when these robots are told something else in its slot, whoever said so: of that the control plane tells with the robots,
 * and not once more with each deployment they had before. The same object when nothing changes.
 */
export function overtaken(deployment: Deployment, robots: ReadonlyMap<string, Pick<Target, 'desired'>>): Deployment {
  if (deployment.state !== 'progressing' && deployment.state !== 'failed') return deployment;
  const gone = ({ target, generation, status }: DeploymentTarget) => {
    const desired = robots.get(target)?.desired;
    return desired !== undefined && !SETTLED.includes(status) && Number(desired.generation) > Number(generation) && desired.slots[deployment.slot]?.digest !== deployment.digest;
  };
  if (!deployment.targets.some(gone)) return deployment;
  const targets = deployment.targets.map((one): DeploymentTarget => (gone(one) ? { ...one, status: 'superseded' } : one));
  const any = (...statuses: DeploymentTargetStatus[]) => targets.some(({ status }) => statuses.includes(status));
  const state = any('failed', 'rolled_back') ? 'failed' : targets.some(({ status }) => !SETTLED.includes(status)) ? 'progressing' : 'superseded';
  return { ...deployment, targets, state };
}

export function newestDeployments(deployments: Iterable<Deployment>): Deployment[] {
  return [...deployments].sort((a, b) => b.created_at_us - a.created_at_us || (a.id < b.id ? 1 : -1));
}
