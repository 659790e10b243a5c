// The one running dashboard: session, live data, link state and clock. Pages read from it and never fetch the shared data themselves.

import { Api, type ServerInfo } from './api';
import { parseQuery, parseRoute, tokenFromHash, withQuery, type PageQuery, type Route } from './router';
import { EMPTY, reduce, type State } from './state';
import { LiveStream, type LinkState, type StreamMessage } from './stream';
import { WHOLE } from './fleet';
import { newestFirst } from './models';
import type { Target } from './targets';

const TOKEN_KEY = 'edgeflow.token';
const BATCH_MS = 40;
/** Many robots speak often: pages of a large fleet are painted less often. */
const LARGE = 200;
const LARGE_BATCH_MS = 250;
/** How long a tab may be out of sight before it gives its connection back. */
const HIDDEN_MS = 60_000;

class App {
  token = $state<string | null>(null);
  /** Why the sign-in page shows, when there is something to say. */
  signInMessage = $state<string | null>(null);
  route = $state.raw<Route>({ page: 'fleet' });
  /** What the address says of how the page is to be shown. */
  query = $state.raw<PageQuery>({});
  data = $state.raw<State>(EMPTY);
  server = $state.raw<ServerInfo | null>(null);
  /** Whether `data.targets` holds every robot there is. Of a larger fleet it holds those somebody looked at. */
  whole = $state(true);
  link = $state.raw<LinkState>({ status: 'connecting' });
  /** Rises whenever everything was fetched anew: pages with data of their own fetch it again. */
  resyncs = $state(0);
  /** The wall clock, once a second, so that ages tick by themselves. */
  nowMs = $state(Date.now());

  #api: Api | null = null;
  #stream: LiveStream | null = null;
  #batch: StreamMessage[] = [];
  #hidden: ReturnType<typeof setTimeout> | undefined;
  #flush: ReturnType<typeof setTimeout> | null = null;

  /** Whether anything can be shown at all yet. */
  get loaded(): boolean {
    return this.resyncs > 0;
  }

  get api(): Api {
    if (this.#api === null) throw new Error('not signed in');
    return this.#api;
  }

  start(): void {
    setInterval(() => (this.nowMs = Date.now()), 1000);
    addEventListener('hashchange', () => this.#navigate());
    addEventListener('offline', () => this.#stream?.restart('this computer is offline'));
    addEventListener('online', () => this.#stream?.retryNow());
    addEventListener('visibilitychange', () => {
      clearTimeout(this.#hidden);
      if (document.visibilityState !== 'visible') {
        this.#hidden = setTimeout(() => this.#stream?.sleep(), HIDDEN_MS);
        return;
      }
      this.nowMs = Date.now();
      this.#stream?.wake();
      this.#stream?.checkSilence();
      this.#stream?.retryNow();
    });
    this.#navigate();
    const token = sessionStorage.getItem(TOKEN_KEY);
    if (this.token === null && token) this.signIn(token);
  }

  #navigate(): void {
    const token = tokenFromHash(location.hash);
    if (token !== null) {
      // Out of the address bar and the history at once.
      history.replaceState(null, '', `${location.pathname}${location.search}#/fleet`);
      this.signIn(token);
    }
    const route = parseRoute(location.hash);
    // The same page stays the same object, so that what depends on it alone is not done again.
    if (JSON.stringify(route) !== JSON.stringify(this.route)) this.route = route;
    this.query = parseQuery(location.hash);
  }

  /** Says of the page that shows how it is to be shown, in its address: what is sent on shows the same. */
  say(query: Readonly<Record<string, string | null>>): void {
    const before = parseQuery(location.hash);
    const next = withQuery(location.hash.split('?')[0] || '#/fleet', { ...before, ...query });
    if (next === withQuery(location.hash.split('?')[0] || '#/fleet', before)) return;
    history.replaceState(null, '', `${location.pathname}${location.search}${next}`);
    this.query = parseQuery(next);
  }

  signIn(token: string): void {
    this.#stop();
    sessionStorage.setItem(TOKEN_KEY, token);
    this.token = token;
    this.signInMessage = null;
    const api = new Api({
      token,
      base: new URL('api/v1/', document.baseURI).href,
      onUnauthorized: () => this.#refused(),
    });
    this.#api = api;
    this.#stream = new LiveStream({
      open: (signal) => api.stream(signal),
      resync: (signal) => this.#resync(api, signal),
      onMessages: (messages) => this.#take(messages),
      onState: (state) => (this.link = state),
      onUnauthorized: () => this.#refused(),
    });
    this.#stream.start();
  }

  signOut(message: string | null = null): void {
    this.#stop();
    sessionStorage.removeItem(TOKEN_KEY);
    this.#api = null;
    this.token = null;
    this.signInMessage = message;
    this.data = EMPTY;
    this.server = null;
    this.resyncs = 0;
    this.link = { status: 'connecting' };
  }

  retry(): void {
    this.#stream?.retryNow();
  }

  #refused(): void {
    if (this.token !== null) this.signOut('The control plane does not accept this token. Sign in with the administrator token it printed at its first start.');
  }

  #stop(): void {
    this.#stream?.close();
    this.#stream = null;
    if (this.#flush !== null) clearTimeout(this.#flush);
    this.#flush = null;
    this.#batch = [];
  }

  async #resync(api: Api, signal: AbortSignal): Promise<void> {
    const [server, targets, models, deployments, drift] = await Promise.all([
      api.server(signal),
      // One more, to know whether there are more.
      api.targets(WHOLE + 1, signal),
      api.models(signal),
      api.deployments(signal),
      api.drift(WHOLE, signal),
    ]);
    if (signal.aborted) return;
    this.server = server;
    this.whole = targets.length <= WHOLE;
    this.#batch = [];
    this.data = {
      targets: new Map(targets.map((target) => [target.name, target])),
      models: new Map(models.map((model) => [model.name, { ...model, versions: newestFirst(model.versions) }])),
      deployments: new Map(deployments.map((deployment) => [deployment.id, deployment])),
      rollouts: new Map(),
      drift: new Map(drift.map((item) => [item.target, item])),
      // Lists of events fetch what was before.
      events: [],
    };
    this.resyncs += 1;
  }

  /** Messages come in bursts; the pages are painted once per burst. */
  #take(messages: StreamMessage[]): void {
    if (messages.some(({ event }) => event === 'lagged')) {
      this.#stream?.restart('this page fell behind and missed messages');
      return;
    }
    this.#batch.push(...messages);
    this.#flush ??= setTimeout(() => {
      this.#flush = null;
      const batch = this.#batch;
      this.#batch = [];
      const { state, refetchModels } = reduce(this.data, batch);
      this.data = state;
      for (const name of refetchModels) void this.refetchModel(name);
    }, this.data.targets.size > LARGE ? LARGE_BATCH_MS : BATCH_MS);
  }

  /** Keeps robots that a page fetched for itself. */
  know(targets: readonly Target[]): void {
    const known = new Map(this.data.targets);
    for (const target of targets) known.set(target.name, target);
    this.data = { ...this.data, targets: known };
  }

  async refetchModel(name: string): Promise<void> {
    const api = this.#api;
    if (api === null) return;
    try {
      const model = await api.model(name);
      if (this.#api === api) this.data = { ...this.data, models: new Map(this.data.models).set(name, { ...model, versions: newestFirst(model.versions) }) };
    } catch {
      // The next message or resynchronisation brings it; the link state tells if the control plane is away.
    }
  }
}

export const app = new App();
