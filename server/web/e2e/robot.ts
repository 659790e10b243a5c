// A robot that is only its log: enrolled, with a token of its own, it says over HTTP what a bridge would, and what the test wants.

import type { Target } from '../src/lib/targets';
import type { ControlPlane } from './control-plane';

/** What is in a slot, what was done to it on the robot, and which declaration of it the robot has followed. */
export interface Slot {
  digest: string;
  version: string;
  /** Changes made on the robot so far. */
  changes?: number;
  /** Generation that declared it and was followed. */
  followed: number;
  /** What was changed there and stands, for people. */
  what?: string;
}

const ACCEPTED = 200;

export class Robot {
  readonly name: string;
  readonly #at: ControlPlane;
  readonly #token: string;
  readonly #next: Record<string, number> = {};
  readonly #epoch = `epoch-${Date.now()}`;

  private constructor(at: ControlPlane, name: string, token: string) {
    this.#at = at;
    this.name = name;
    this.#token = token;
  }

  static async enrol(at: ControlPlane, name: string, labels: Record<string, string> = {}): Promise<Robot> {
    const { token } = await at.want<{ token: string }>('POST', 'targets', { name, labels });
    const robot = new Robot(at, name, token);
    const classes = ['critical', 'event', 'summary', 'detail'].map((name) => ({ class: name, first_seq: '1', next_seq: '1' }));
    await robot.#send({ type: 'hello', v: 1, epoch: robot.#epoch, software: 'e2e', classes, t_us: Date.now() * 1000, boot_us: 1 });
    return robot;
  }

  /** As the control plane shows it. */
  seen(): Promise<Target> {
    return this.#at.get<Target>(`targets/${this.name}`);
  }

  /** Appends to its log, one batch. */
  async say(logClass: string, bodies: { kind: string; body: unknown; t_us?: number }[]): Promise<void> {
    const first = this.#next[logClass] ?? 1;
    this.#next[logClass] = first + bodies.length;
    const entries = bodies.map(({ t_us, ...content }, n) => ({ seq: String(first + n), t_us: t_us ?? Date.now() * 1000 + n, boot_us: first + n, ...content }));
    await this.#send({ type: 'batch', v: 1, epoch: this.#epoch, class: logClass, entries });
  }

  /** Reports all its slots, as of the newest desired state. */
  async report(slots: Record<string, Slot>, held?: string): Promise<void> {
    const { desired } = await this.seen();
    const epoch = String(desired.server_epoch);
    const state = (slot: Slot) => ({
      status: 'active',
      model: 'label-reader',
      version: slot.version,
      digest: slot.digest,
      reason: '',
      vector: { robot: String(slot.changes ?? 0), server_epoch: epoch, generation: String(slot.followed) },
      ...(slot.what && { local: { since_us: Date.now() * 1000, what: slot.what, from: '' } }),
    });
    const body = {
      observed: { server_epoch: epoch, generation: String(desired.generation) },
      slots: Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, state(slot)])),
      software: '0.1.0',
      activity: { mission: false, charging: false, lifecycle: { '/inference_node': 'active' } },
      ...(held && { held: { reason: held, by: 'robot', since_us: Date.now() * 1000 } }),
    };
    await this.say('event', [{ kind: 'state', body }]);
  }

  async #send(document: unknown): Promise<void> {
    const response = await fetch(`${this.#at.url}/api/v1/targets/${this.name}/telemetry`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      body: JSON.stringify(document),
    });
    if (response.status !== ACCEPTED) throw new Error(`${this.name} was not heard: ${response.status} ${await response.text()}`);
  }
}
