// A control plane that is none: it serves the built dashboard and answers of a made-up fleet of any size, in the shapes that the
// dashboard's types declare. It shows how pages draw ten thousand robots; what the control plane really answers, and that both
// agree, is shown by the tests that run against the demo.

import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GateResult, HistoryEntry, MetricSummary, RobotCell, RobotPhase, RolloutMetric, RolloutPlan, RolloutSummary, RolloutView, StageView } from '../src/lib/rollouts';
import type { Target } from '../src/lib/targets';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const KINDS: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const [V1, V2] = [`sha256:${'a1'.repeat(32)}`, `sha256:${'b2'.repeat(32)}`];
const SITES = ['aachen', 'bremen', 'dresden', 'essen'];

/** The same for the same n. */
const chance = (n: number) => ((Math.imul(n ^ 0x9e3779b9, 0x85ebca6b) >>> 8) % 10_000) / 10_000;

export class Fixture {
  readonly robots: Target[];
  readonly cells: RobotCell[];
  readonly startedUs = Date.now() * 1000 - 1_800e6;
  /** Requests that were answered, by path without query. */
  readonly asked: string[] = [];
  phase: RolloutView['phase'] = 'progressing';
  holds = '';
  readonly #stages = [{ name: 'canary', until: 0.001 }, { name: 'tenth', until: 0.1 }, { name: 'half', until: 0.5 }, { name: 'all', until: 1 }];
  readonly #watchers = new Set<ServerResponse>();
  readonly #server: Server;

  private constructor(robots: number) {
    const now = Date.now() * 1000;
    this.robots = Array.from({ length: robots }, (_, n) => {
      const online = chance(n) >= 0.05;
      const slot = { model: 'label-reader', version: '1', digest: V1 };
      return {
        name: `robot-${String(n + 1).padStart(5, '0')}`, labels: { site: SITES[n % SITES.length]!, environment: n % 10 === 0 ? 'test' : 'production' }, online,
        last_seen_us: now - (online ? 1e6 : 3_600e6),
        desired: { server_epoch: 1, generation: 1, slots: { default: slot } }, observed: { server_epoch: 1, generation: 1, at_us: now },
        slots: { default: { ...slot, status: 'active' as const, reason: '', since_us: now - 7_200e6 } },
        held: n % 400 === 2 ? { reason: 'wheel is being changed', by: 'operator:ada', since_us: now - 600e6 } : null, difference: n % 300 === 4 ? [{ what: 'config:nav', declared: 'nav version 3', actual: 'nav version 2' }] : [],
        conflicts: 0, activity: { mission: n % 3 === 0, charging: false, lifecycle: { inference_node: 'active' } },
        drift: { flagged: chance(n + 7) < 0.01, max_psi: chance(n + 3) * 0.2, windows: 12, at_us: now }, accuracy: { ...slot, accuracy: 0.9 + chance(n + 5) * 0.08, samples: 400, at_us: now },
        conditions: { ready: true, progressing: false, degraded: false, drifted: false }, fps: online ? 10 + chance(n) : null, latency_p50_us: 8_000, latency_p95_us: 14_000, created_at_us: now - 86_400e6,
      };
    });
    this.cells = this.robots.map(({ name }, n) => ({ target: name, stage: this.#stages.findIndex(({ until }) => n < Math.max(1, until * robots)), phase: 'pending' as RobotPhase, since_us: this.startedUs, reason: '' }));
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://fixture');
      this.asked.push(url.pathname);
      if (!url.pathname.startsWith('/api/v1/')) return file(url.pathname, response);
      if (url.pathname === '/api/v1/stream') {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': watching\n\n');
        this.#watchers.add(response);
        response.on('close', () => this.#watchers.delete(response));
        return;
      }
      let body = '';
      request.on('data', (part) => (body += part));
      request.on('end', () => {
        const answer = this.#answer(request.method ?? 'GET', url, body);
        response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(answer ?? { error: { code: 'not_found', message: `the fixture has no ${url.pathname}` } }));
      });
    });
  }

  static async start(robots: number): Promise<Fixture> {
    if (!existsSync(path.join(DIST, 'index.html'))) throw new Error('dist/ is not there: run npm run build first');
    const fixture = new Fixture(robots);
    await new Promise<void>((resolve) => fixture.#server.listen(0, '127.0.0.1', resolve));
    return fixture;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.end();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** So many more robots serve the release; of each hundred one fails, five are offline. Whoever watches is told. */
  advance(robots: number): void {
    const now = Date.now() * 1000;
    let left = robots;
    for (const [n, cell] of this.cells.entries()) {
      if (left === 0) break;
      if (cell.phase !== 'pending' && cell.phase !== 'updating') continue;
      const reasons: Partial<Record<RobotPhase, string>> = { failed: 'no answer within 15 min', deferred: 'offline when its turn came' };
      cell.phase = !this.robots[n]!.online ? 'deferred' : chance(n + 11) < 0.01 && n > 0 ? 'failed' : 'updated';
      cell.reason = reasons[cell.phase] ?? '';
      cell.since_us = now;
      left -= 1;
    }
    let underway = 100;
    for (const cell of this.cells) {
      if (underway === 0) break;
      if (cell.phase !== 'pending') continue;
      cell.phase = 'updating';
      cell.since_us = now;
      underway -= 1;
    }
    this.tell();
  }

  tell(): void {
    for (const watcher of this.#watchers) watcher.write(`event: rollout\ndata: ${JSON.stringify(this.summary())}\n\n`);
  }

  /** Another word of a robot: the stream carries many of them. */
  tellTarget(n: number, fps = 10 + (n % 10) / 10): void {
    const robot = { ...this.robots[n]!, last_seen_us: Date.now() * 1000, fps };
    this.robots[n] = robot;
    for (const watcher of this.#watchers) watcher.write(`event: target\ndata: ${JSON.stringify(robot)}\n\n`);
  }

  summary(): RolloutSummary {
    const stage_index = Math.max(0, this.cells.find(({ phase }) => phase === 'pending' || phase === 'updating')?.stage ?? this.#stages.length - 1);
    return {
      id: '7', kind: 'model', name: 'label-reader', version: '2', digest: V2, slot: 'default', phase: this.phase, holds: this.holds, stage: this.#stages[stage_index]!.name, stage_index, stages: this.#stages.length,
      robots: counts(this.cells), created_at_us: this.startedUs, created_by: 'ada', since_us: this.startedUs + 1_500e6, description: 'Reads labels by lamp light',
    };
  }

  view(): RolloutView {
    const summary = this.summary();
    const plan = this.#stages.map(({ name }, i): StageView => {
      const passed = i < summary.stage_index;
      return {
        name, state: passed ? 'passed' : i === summary.stage_index ? 'running' : 'waiting', robots: counts(this.cells.filter(({ stage }) => stage === i)), soak_s: 600, approval: i === 3, gates: ['accuracy', 'latency'],
        began_us: i <= summary.stage_index ? this.startedUs + i * 400e6 : null, ended_us: passed ? this.startedUs + (i + 1) * 400e6 : null, evidence: passed ? [gate('accuracy', 'pass', this.startedUs + (i + 1) * 400e6), gate('latency', 'pass', this.startedUs + (i + 1) * 400e6)] : [],
      };
    });
    const entry = (at: number, happened: string, cause: string, more: Partial<HistoryEntry> = {}): HistoryEntry => ({ at_us: this.startedUs + at * 1e6, happened, phase: 'progressing', stage: null, robot: null, actor: { kind: 'controller' }, cause, ...more });
    const history = [
      entry(0, 'created', 'reads labels by lamp light', { actor: { kind: 'operator', name: 'ada' } }),
      ...plan.flatMap((stage, i) => [
        ...(stage.began_us !== null ? [entry(i * 400, 'stage_began', `${Object.values(stage.robots).reduce((a, b) => a + b, 0)} robots`, { stage: stage.name })] : []),
        ...(stage.ended_us !== null ? [entry(i * 400 + 390, 'stage_passed', 'every gate passed', { stage: stage.name, evidence: stage.evidence })] : []),
      ]),
      ...this.cells.filter(({ phase }) => phase === 'failed').slice(0, 60).map((cell) => entry(1_790, 'robot_failed', cell.reason, { robot: cell.target, stage: this.#stages[cell.stage]!.name })),
    ];
    return {
      ...summary, plan, history, actions: ['pause', 'promote', 'rollback', 'abort'],
      spec: { release: { kind: 'model', name: 'label-reader', version: '2' }, slot: 'default', targets: { labels: { site: SITES } }, strategy: { stages: [{ name: 'canary', count: 10 }], max_unavailable: '25%', max_concurrent: 100, max_failed: '2%', deadline_s: 900, defer_offline: true, windows: [], robots: { not_while: ['mission'], max_wait_s: 3600 } }, gates: [{ name: 'accuracy' }, { name: 'latency' }], on_failure: 'rollback_all' },
    };
  }

  #answer(method: string, url: URL, body: string): unknown {
    const parts = url.pathname.slice('/api/v1/'.length).split('/');
    const limit = Number(url.searchParams.get('limit') ?? 100);
    const after = url.searchParams.get('after') ?? '';
    const paged = <T extends { name?: string; target?: string }>(all: T[]) => {
      const rest = all.filter((item) => (item.name ?? item.target ?? '') > after);
      const items = rest.slice(0, limit);
      return { items, next: rest.length > limit ? (items.at(-1)!.name ?? items.at(-1)!.target) : null };
    };
    const none = { items: [], next: null };
    switch (`${method} ${parts.length > 1 ? `${parts[0]}/${parts.length > 2 ? `:/${parts[2]}` : ':'}` : parts[0]}`) {
      case 'GET server':
        return { version: 'fixture', server_epoch: 1, mqtt_address: '', started_at_us: this.startedUs };
      case 'GET targets':
        return paged(this.robots.filter((robot) => matches(robot, url.searchParams)));
      case 'GET targets/:':
        return parts[1] === 'summary' ? this.#summary(url.searchParams) : this.robots.find(({ name }) => name === parts[1]);
      case 'GET models':
        return { items: [{ name: 'label-reader', created_at_us: 1, description: '', versions: [version('2', V2), version('1', V1)] }], next: null };
      case 'GET deployments':
      case 'GET drift':
      case 'GET events':
        return none;
      case 'GET targets/:/telemetry':
        if (parts[3] === 'channels') return { channels: [], units: {} };
        return { channel: url.searchParams.get('channel'), resolution: 'raw', points: [] };
      case 'GET rollouts':
        return { items: [this.summary()], next: null };
      case 'POST rollouts':
        return this.#plan(JSON.parse(body) as { strategy: { stages: { name: string }[] } });
      case 'GET rollouts/:':
        return parts[1] === '7' ? this.view() : undefined;
      case 'GET rollouts/:/robots': {
        const since = Number(url.searchParams.get('since_us') ?? 0);
        return paged(this.cells.filter((cell) => cell.since_us >= since));
      }
      case 'GET rollouts/:/metrics':
        return this.#metric(url.searchParams.get('metric') ?? '');
      case 'POST rollouts/:/pause':
        this.phase = 'paused';
        this.holds = 'paused by ada';
        return this.view();
      default:
        return undefined;
    }
  }

  #summary(query: URLSearchParams): unknown {
    const robots = this.robots.filter((robot) => matches(robot, query));
    const labels: Record<string, Record<string, number>> = {};
    for (const robot of robots) for (const [key, value] of Object.entries(robot.labels)) (labels[key] ??= {})[value] = (labels[key]?.[value] ?? 0) + 1;
    const offline = robots.filter(({ online }) => !online).length;
    return {
      robots: robots.length, conditions: { ready: robots.length, progressing: 0, degraded: 0, drifted: robots.filter(({ drift }) => drift?.flagged).length, offline, held: robots.filter(({ held }) => held).length }, labels, groups: { night: 1200 },
      models: [{ model: 'label-reader', version: '1', digest: V1, robots: robots.length }],
    };
  }

  #plan(spec: { strategy: { stages: { name: string }[] } }): RolloutPlan {
    const robots = this.robots.map(({ name, labels, online }) => ({ target: name, serves: 'label-reader/1', site: labels.site ?? null, online }));
    const { stages } = spec.strategy;
    return { release: { kind: 'model', name: 'label-reader', version: '2', digest: V2 }, stages: stages.map(({ name }, i) => ({ name, robots: robots.filter((_, n) => (i === stages.length - 1 ? n >= i * 10 : Math.floor(n / 10) === i)), soak_s: 600, approval: false, gates: ['accuracy'] })), left_out: [], taken: [] };
  }

  #metric(metric: string): RolloutMetric {
    const curve = (level: number, from: number, salt: number) => Array.from({ length: 60 }, (_, i) => [this.startedUs + (from + i * 15) * 1e6, level * (1 + (chance(i + salt) - 0.5) * 0.02), 4_000] as const);
    const accuracy = metric === 'accuracy';
    return { metric, unit: accuracy ? '1' : 'us', threshold: accuracy ? 0.92 : 26_000, updated: curve(accuracy ? 0.955 : 14_800, 300, 1), before: curve(accuracy ? 0.941 : 15_600, -600, 2), rest: curve(accuracy ? 0.94 : 15_700, 300, 3) };
  }
}

function matches(robot: Target, query: URLSearchParams): boolean {
  const condition = query.get('condition');
  return robot.name.includes(query.get('q') ?? '') && query.getAll('label').every((label) => robot.labels[label.split(':')[0]!] === label.split(':')[1]) && (condition === null || (condition === 'offline' ? !robot.online : condition === 'drifted' ? (robot.drift?.flagged ?? false) : condition === 'held' ? (robot.held ?? null) !== null : condition === 'ready'));
}

function counts(cells: readonly RobotCell[]): RolloutSummary['robots'] {
  const sum: RolloutSummary['robots'] = {};
  for (const { phase } of cells) sum[phase] = (sum[phase] ?? 0) + 1;
  return sum;
}

function gate(name: string, verdict: GateResult['verdict'], at_us: number): GateResult {
  const numbers = (mean: number, std: number, robots: number): MetricSummary => ({ n: robots * 400, robots, mean, std, p50: mean, p95: mean + std, min: mean - 3 * std, max: mean + 3 * std });
  const accuracy = name === 'accuracy';
  const metric = accuracy ? 'accuracy' : 'latency_p95_us';
  return {
    gate: name, verdict, at_us, metric, threshold: accuracy ? 0.92 : 26_000, p_value: accuracy ? 0.00002 : 0.0004, reason: accuracy ? 'accuracy of updated robots is 95.5 %, of the rest 94.0 %: no worse than 2 points below' : 'p95 of updated robots is 14.8 ms, before 15.6 ms',
    updated: { [metric]: accuracy ? numbers(0.955, 0.012, 10) : numbers(14_800, 900, 10) }, before: { [metric]: accuracy ? numbers(0.941, 0.014, 10) : numbers(15_600, 950, 10) }, rest: accuracy ? { [metric]: numbers(0.94, 0.013, 900) } : {},
  };
}

function version(number: string, digest: string) {
  return { model: 'label-reader', version: number, digest, created_at_us: 1, created_by: 'ada', description: '', deployable: true, files: [], aliases: [], tags: {} };
}

function file(name: string, response: ServerResponse): void {
  const full = path.join(DIST, name === '/' ? 'index.html' : path.normalize(name));
  if (!full.startsWith(DIST) || !existsSync(full)) {
    response.writeHead(404).end();
    return;
  }
  // As the control plane serves it.
  response.writeHead(200, { 'content-type': KINDS[path.extname(full)] ?? 'application/octet-stream', 'content-security-policy': "default-src 'self'" }).end(readFileSync(full));
}
