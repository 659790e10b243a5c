// The control plane's HTTP API, typed. Every page talks through this; nothing else calls fetch.

import type { Artifact } from './artifacts';
import type { Capture } from './captures';
import type { DeclaredFleet, Revision, RevisionAct, RevisionView } from './declarations';
import type { Deployment, NewDeployment } from './deployments';
import type { Baseline, DriftReport, FleetDrift, FleetDriftVerdict } from './drift';
import type { TimelineEvent } from './events';
import type { Interval, LineageDiff, Provenance, TimelineItem } from './lineage';
import type { LineageGraph } from './lineage-graph';
import type { ModelDiff } from './model-diff';
import type { Model, ModelVersion } from './models';
import type { RobotCell, RobotPhase, RolloutAction, RolloutMetric, RolloutPlan, RolloutSpec, RolloutSummary, RolloutView } from './rollouts';
import type { Experiment, LoggedModel, Run, RunMetric } from './runs';
import type { FleetSummary } from './fleet';
import type { Conflict, ConflictDecision } from './reconciliation';
import type { Certificate, Loss, Target, TargetLog } from './targets';
import type { Channels, Resolution, Telemetry } from './telemetry';

export interface ServerInfo {
  version: string;
  server_epoch: number | string;
  mqtt_address: string;
  started_at_us: number;
}

export interface Page<T> {
  items: T[];
  next: string | number | null;
}

/** What a graph is around: one of these. */
export type LineageOf = { target: string } | { dataset: string } | { digest: string };

/** Which of a list, in the words of MLflow's search. */
export interface Search {
  filter?: string | undefined;
  order_by?: string | undefined;
  view?: 'active' | 'deleted' | 'all' | undefined;
  /** `next` of the page before. */
  after?: string | undefined;
  limit?: number | undefined;
}

/** The control plane said no, or could not be reached (`status` 0). The message is for people. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The API's own message where there is one, else the status. */
export function errorFrom(status: number, body: string): ApiError {
  try {
    const parsed = JSON.parse(body) as { error?: { code?: string; message?: string }; error_code?: string; message?: string };
    if (parsed.error?.message) return new ApiError(status, parsed.error.code ?? 'error', parsed.error.message);
    // Artifacts come by MLflow's routes, whose errors look different.
    if (parsed.error_code && parsed.message) return new ApiError(status, parsed.error_code, parsed.message);
  } catch {
    // Not the API's JSON: a proxy's page, perhaps.
  }
  return new ApiError(status, 'http', `the control plane answered ${status}`);
}

export type Query = Record<string, string | number | readonly string[] | undefined>;

export interface ApiOptions {
  token: string;
  /** Address of `/api/v1/`. */
  base: string;
  onUnauthorized: () => void;
  fetch?: typeof fetch;
}

const PAGE = 500;
/** Artifacts have MLflow's routes only, beside the native ones. */
const ARTIFACTS = '../2.0/mlflow-artifacts/artifacts';

export class Api {
  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  #url(path: string, query: Query = {}): string {
    const url = new URL(path, this.#options.base);
    for (const [key, value] of Object.entries(query)) {
      if (Array.isArray(value)) for (const one of value) url.searchParams.append(key, String(one));
      else if (value !== undefined) url.searchParams.set(key, String(value));
    }
    return url.href;
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${this.#options.token}`);
    return (this.#options.fetch ?? fetch)(url, { ...init, headers, cache: 'no-store', credentials: 'omit' });
  }

  async #request<T>(method: string, path: string, options: { query?: Query; body?: unknown; signal?: AbortSignal } = {}): Promise<T> {
    const init: RequestInit = { method, signal: options.signal ?? null, headers: { accept: 'application/json' } };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      init.headers = { ...init.headers, 'content-type': 'application/json' };
    }
    let response: Response;
    try {
      response = await this.#fetch(this.#url(path, options.query), init);
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ApiError(0, 'unreachable', 'the control plane cannot be reached: check that edgeflow-server runs and try again');
    }
    const text = await response.text();
    if (response.status === 401) {
      this.#options.onUnauthorized();
      throw errorFrom(401, text);
    }
    if (!response.ok) throw errorFrom(response.status, text);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** All items of a list, page by page, up to `max`. */
  async #list<T>(path: string, query: Query, max: number, signal?: AbortSignal, size = PAGE): Promise<T[]> {
    const items: T[] = [];
    let after: string | number | undefined;
    do {
      const page: Page<T> = await this.#request('GET', path, { query: { ...query, limit: Math.min(size, max - items.length), after }, ...(signal && { signal }) });
      items.push(...page.items);
      after = page.items.length > 0 ? (page.next ?? undefined) : undefined;
    } while (after !== undefined && items.length < max);
    return items;
  }

  server(signal?: AbortSignal): Promise<ServerInfo> {
    return this.#request('GET', 'server', { ...(signal && { signal }) });
  }

  /** Opens the live stream; the caller reads it. */
  stream(signal: AbortSignal): Promise<Response> {
    return this.#fetch(this.#url('stream'), { headers: { accept: 'text/event-stream' }, signal });
  }

  /** The first `max` robots by name. */
  targets(max: number, signal?: AbortSignal): Promise<Target[]> {
    return this.#list('targets', {}, max, signal);
  }

  target(name: string, signal?: AbortSignal): Promise<Target> {
    return this.#request('GET', `targets/${encodeURIComponent(name)}`, { ...(signal && { signal }) });
  }

  /** One page of the robots that match, by name. */
  targetsPage(query: Query, signal?: AbortSignal): Promise<Page<Target>> {
    return this.#request('GET', 'targets', { query, ...(signal && { signal }) });
  }

  targetsSummary(query: Query, signal?: AbortSignal): Promise<FleetSummary> {
    return this.#request('GET', 'targets/summary', { query, ...(signal && { signal }) });
  }

  /** Names of a group's robots. */
  async groupMembers(group: string, signal?: AbortSignal): Promise<string[]> {
    const targets = await this.#list<Target>('targets', { group }, 20_000, signal);
    return targets.map(({ name }) => name);
  }

  hold(target: string, reason: string): Promise<unknown> {
    return this.#request('POST', `targets/${encodeURIComponent(target)}/hold`, { body: { reason } });
  }

  release(target: string): Promise<unknown> {
    return this.#request('DELETE', `targets/${encodeURIComponent(target)}/hold`);
  }

  conflicts(target: string, signal?: AbortSignal): Promise<Conflict[]> {
    return this.#list(`targets/${encodeURIComponent(target)}/conflicts`, {}, 1_000, signal);
  }

  resolveConflict(target: string, slot: string, decision: ConflictDecision): Promise<unknown> {
    return this.#request('POST', `targets/${encodeURIComponent(target)}/conflicts/${encodeURIComponent(slot)}/resolve`, { body: decision });
  }

  targetLog(target: string, signal?: AbortSignal): Promise<TargetLog> {
    return this.#request('GET', `targets/${encodeURIComponent(target)}/log`, { ...(signal && { signal }) });
  }

  targetLosses(target: string, max: number, signal?: AbortSignal): Promise<Loss[]> {
    return this.#list(`targets/${encodeURIComponent(target)}/losses`, {}, max, signal);
  }

  telemetry(target: string, channel: string, query: { since_us?: number; limit?: number; resolution?: Resolution }, signal?: AbortSignal): Promise<Telemetry> {
    return this.#request('GET', `targets/${encodeURIComponent(target)}/telemetry`, { query: { channel, ...query }, ...(signal && { signal }) });
  }

  telemetryChannels(target: string, signal?: AbortSignal): Promise<Channels> {
    return this.#request('GET', `targets/${encodeURIComponent(target)}/telemetry/channels`, { ...(signal && { signal }) });
  }

  lineage(target: string, limit: number, signal?: AbortSignal): Promise<{ target: string; intervals: Interval[] }> {
    return this.#request('GET', `targets/${encodeURIComponent(target)}/lineage`, { query: { limit }, ...(signal && { signal }) });
  }

  provenance(digest: string, signal?: AbortSignal): Promise<Provenance> {
    return this.#request('GET', 'lineage/provenance', { query: { digest }, ...(signal && { signal }) });
  }

  /** The graph around a robot, a dataset or a bundle; of all time, or as it was at a moment. */
  lineageGraph(of: LineageOf, atUs: number | null, limit: number, signal?: AbortSignal): Promise<LineageGraph> {
    return this.#request('GET', 'lineage/graph', { query: { ...of, at_us: atUs ?? undefined, limit }, ...(signal && { signal }) });
  }

  /** What changed between what two robots said they ran, or one at two times. */
  lineageDiff(query: { before: string; before_at_us?: number | undefined; after?: string | undefined; after_at_us?: number | undefined; slot?: string | undefined }, signal?: AbortSignal): Promise<LineageDiff> {
    return this.#request('GET', 'lineage/diff', { query, ...(signal && { signal }) });
  }

  /** One page of everything that touched a robot, newest first. */
  timeline(query: { target: string; from_us?: number | undefined; to_us?: number | undefined; category?: string | undefined; after?: string | undefined; limit: number }, signal?: AbortSignal): Promise<Page<TimelineItem>> {
    return this.#request('GET', 'lineage/timeline', { query, ...(signal && { signal }) });
  }

  targetCertificates(target: string, signal?: AbortSignal): Promise<Certificate[]> {
    return this.#request('GET', `targets/${encodeURIComponent(target)}/certificates`, { ...(signal && { signal }) });
  }

  targetCaptures(target: string, max: number, signal?: AbortSignal): Promise<Capture[]> {
    return this.#list(`targets/${encodeURIComponent(target)}/captures`, {}, max, signal);
  }

  /** A capture's file, told of as it comes. */
  captureFile(target: string, id: string, onProgress: (received: number) => void): Promise<Blob> {
    return this.#file(`targets/${encodeURIComponent(target)}/captures/${encodeURIComponent(id)}`, onProgress);
  }

  /** A file, told of as it comes. The browser keeps what is large on its disk. */
  async #file(path: string, onProgress: (received: number) => void, signal?: AbortSignal): Promise<Blob> {
    const cut = () => new ApiError(0, 'unreachable', 'the download was cut off: check that edgeflow-server runs and try again');
    const response = await this.#fetch(this.#url(path), { headers: { accept: 'application/octet-stream' }, signal: signal ?? null }).catch(() => Promise.reject(cut()));
    if (response.status === 401) this.#options.onUnauthorized();
    if (!response.ok || !response.body) throw errorFrom(response.status, await response.text());
    let received = 0;
    const told = new TransformStream<Uint8Array, Uint8Array>({
      transform(part, passed) {
        onProgress((received += part.byteLength));
        passed.enqueue(part);
      },
    });
    const kept = new Response(response.body.pipeThrough(told), { headers: { 'content-type': 'application/octet-stream' } });
    return kept.blob().catch(() => Promise.reject(cut()));
  }

  targetDrift(target: string, limit: number, signal?: AbortSignal): Promise<{ target: string; reports: DriftReport[] }> {
    return this.#request('GET', `targets/${encodeURIComponent(target)}/drift`, { query: { limit }, ...(signal && { signal }) });
  }

  drift(max: number, signal?: AbortSignal): Promise<FleetDrift[]> {
    return this.#list('drift', {}, max, signal);
  }

  /** What drifted over the whole fleet: sensors, sites, or the world. */
  fleetDriftVerdict(signal?: AbortSignal): Promise<FleetDriftVerdict> {
    return this.#request('GET', 'drift/fleet-verdict', { ...(signal && { signal }) });
  }

  /** One page of the timeline, newest first. */
  events(query: Query, signal?: AbortSignal): Promise<Page<TimelineEvent>> {
    return this.#request('GET', 'events', { query, ...(signal && { signal }) });
  }

  /** Models with their versions, whether or not the list carries them. */
  async models(signal?: AbortSignal): Promise<Model[]> {
    const listed = await this.#list<Partial<Model> & { name: string }>('models', {}, 2_000, signal);
    return Promise.all(listed.map((model) => (Array.isArray(model.versions) ? (model as Model) : this.model(model.name, signal))));
  }

  model(name: string, signal?: AbortSignal): Promise<Model> {
    return this.#request('GET', `models/${encodeURIComponent(name)}`, { ...(signal && { signal }) });
  }

  modelVersion(model: string, version: string, signal?: AbortSignal): Promise<ModelVersion> {
    return this.#request('GET', `models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}`, { ...(signal && { signal }) });
  }

  /** The drift baseline a bundle carries; null when it carries none. */
  async baseline(version: ModelVersion, signal?: AbortSignal): Promise<Baseline | null> {
    const file = version.files.find(({ path }) => path === 'baseline.json');
    return file ? this.#request('GET', `artifacts/${file.sha256}`, { ...(signal && { signal }) }) : null;
  }

  /** One page of experiments. */
  experiments(search: Search, signal?: AbortSignal): Promise<Page<Experiment>> {
    return this.#request('GET', 'experiments', { query: { ...search }, ...(signal && { signal }) });
  }

  experiment(id: string, signal?: AbortSignal): Promise<Experiment> {
    return this.#request('GET', `experiments/${encodeURIComponent(id)}`, { ...(signal && { signal }) });
  }

  /** One page of an experiment's runs. */
  runs(experiment: string, search: Search, signal?: AbortSignal): Promise<Page<Run>> {
    return this.#request('GET', `experiments/${encodeURIComponent(experiment)}/runs`, { query: { ...search }, ...(signal && { signal }) });
  }

  run(id: string, signal?: AbortSignal): Promise<Run> {
    return this.#request('GET', `runs/${encodeURIComponent(id)}`, { ...(signal && { signal }) });
  }

  /** A metric of runs, at no more than `steps` steps, evenly spread. */
  async runMetrics(runs: readonly string[], key: string, steps: number, signal?: AbortSignal): Promise<RunMetric[]> {
    const page: Page<RunMetric> = await this.#request('GET', 'run-metrics', { query: { runs: runs.join(','), key, steps }, ...(signal && { signal }) });
    return page.items;
  }

  loggedModel(id: string, signal?: AbortSignal): Promise<LoggedModel> {
    return this.#request('GET', `logged-models/${encodeURIComponent(id)}`, { ...(signal && { signal }) });
  }

  /** What lies directly in a folder of artifacts. */
  async artifacts(folder: string, signal?: AbortSignal): Promise<Artifact[]> {
    const listed = await this.#request<{ files?: Artifact[] }>('GET', ARTIFACTS, { query: { path: folder }, ...(signal && { signal }) });
    return listed.files ?? [];
  }

  /** A file among the artifacts, told of as it comes. */
  artifactFile(path: string, onProgress: (received: number) => void, signal?: AbortSignal): Promise<Blob> {
    return this.#file(`${ARTIFACTS}/${path.split('/').map(encodeURIComponent).join('/')}`, onProgress, signal);
  }

  modelDiff(model: string, version: string, with_: string, otherModel: string | undefined, signal?: AbortSignal): Promise<ModelDiff> {
    const path = `models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}/diff`;
    return this.#request('GET', path, { query: { with: with_, model: otherModel }, ...(signal && { signal }) });
  }

  /** Those that somebody made, not a rollout. */
  deployments(signal?: AbortSignal): Promise<Deployment[]> {
    return this.#list('deployments', { rollout: 'none' }, 200, signal);
  }

  deploy(deployment: NewDeployment): Promise<Deployment> {
    return this.#request('POST', 'deployments', { body: deployment });
  }

  /** What is declared of the fleet, and what waits for review. */
  declaredFleet(signal?: AbortSignal): Promise<DeclaredFleet> {
    return this.#request('GET', 'fleet', { ...(signal && { signal }) });
  }

  /** One page of revisions, newest first. */
  revisions(query: { after?: string | number | undefined; limit: number }, signal?: AbortSignal): Promise<Page<Revision>> {
    return this.#request('GET', 'fleet/revisions', { query, ...(signal && { signal }) });
  }

  revision(revision: string, signal?: AbortSignal): Promise<RevisionView> {
    return this.#request('GET', `fleet/revisions/${encodeURIComponent(revision)}`, { ...(signal && { signal }) });
  }

  actOnRevision(revision: string, act: RevisionAct, reason: string): Promise<Revision | undefined> {
    return this.#request('POST', `fleet/revisions/${encodeURIComponent(revision)}/${act}`, { body: { reason } });
  }

  /** One page of rollouts, newest first. */
  rollouts(query: { active?: boolean | undefined; target?: string | undefined; after?: string | number | undefined; limit: number }, signal?: AbortSignal): Promise<Page<RolloutSummary>> {
    return this.#request('GET', 'rollouts', { query: { ...query, active: query.active === undefined ? undefined : String(query.active) }, ...(signal && { signal }) });
  }

  rollout(id: string, signal?: AbortSignal): Promise<RolloutView> {
    return this.#request('GET', `rollouts/${encodeURIComponent(id)}`, { ...(signal && { signal }) });
  }

  /** Robots of a rollout; with `since_us` only those that changed at or after that moment. */
  rolloutRobots(id: string, query: { stage?: number; phase?: RobotPhase; since_us?: number | undefined }, signal?: AbortSignal): Promise<RobotCell[]> {
    return this.#list(`rollouts/${encodeURIComponent(id)}/robots`, query, 100_000, signal, 1_000);
  }

  rolloutMetric(id: string, metric: string, signal?: AbortSignal): Promise<RolloutMetric> {
    return this.#request('GET', `rollouts/${encodeURIComponent(id)}/metrics`, { query: { metric }, ...(signal && { signal }) });
  }

  /** What a rollout would do; nothing happens. */
  planRollout(spec: RolloutSpec, signal?: AbortSignal): Promise<RolloutPlan> {
    return this.#request('POST', 'rollouts', { query: { dry_run: 'true' }, body: spec, ...(signal && { signal }) });
  }

  startRollout(spec: RolloutSpec): Promise<RolloutView> {
    return this.#request('POST', 'rollouts', { body: spec });
  }

  actOnRollout(id: string, action: RolloutAction, reason: string): Promise<RolloutView> {
    return this.#request('POST', `rollouts/${encodeURIComponent(id)}/${action}`, { body: { reason } });
  }

  /**
   * Uploads the files of a new version. XMLHttpRequest, because fetch reports no upload progress.
   * `existed` tells that the very same bundle was registered before.
   */
  uploadVersion(
    model: string,
    parts: ReadonlyMap<string, File>,
    description: string,
    onProgress: (sent: number, total: number) => void,
    signal: AbortSignal,
  ): Promise<{ version: ModelVersion; existed: boolean }> {
    const form = new FormData();
    if (description !== '') form.append('description', description);
    for (const [name, file] of parts) form.append(name, file, name);
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open('POST', this.#url(`models/${encodeURIComponent(model)}/versions`));
      request.setRequestHeader('authorization', `Bearer ${this.#options.token}`);
      request.setRequestHeader('accept', 'application/json');
      request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
      request.onload = () => {
        if (request.status === 401) this.#options.onUnauthorized();
        if (request.status < 200 || request.status > 299) {
          reject(errorFrom(request.status, request.responseText));
          return;
        }
        resolve({ version: JSON.parse(request.responseText) as ModelVersion, existed: request.status === 200 });
      };
      request.onerror = () => reject(new ApiError(0, 'unreachable', 'the upload was cut off: check that edgeflow-server runs and try again'));
      request.onabort = () => reject(new ApiError(0, 'cancelled', 'the upload was cancelled'));
      signal.addEventListener('abort', () => request.abort(), { once: true });
      request.send(form);
    });
  }
}
