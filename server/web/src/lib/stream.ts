// The live stream: server-sent events read by fetch (EventSource cannot send an Authorization header), with
// reconnection, and with honesty: whoever shows the data always knows since when it is stale.

import { problem } from './format';

export interface StreamMessage {
  event: string;
  data: string;
}

/** Server-sent events out of text that arrives in any pieces. */
export class SseParser {
  #rest = '';
  #event = '';
  #data: string[] = [];
  #sawCarriageReturn = false;

  push(chunk: string): StreamMessage[] {
    const messages: StreamMessage[] = [];
    let text = chunk;
    if (this.#sawCarriageReturn && text.startsWith('\n')) text = text.slice(1);
    if (chunk !== '') this.#sawCarriageReturn = chunk.endsWith('\r');
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) messages.push({ event: this.#event || 'message', data: this.#data.join('\n') });
        this.#event = '';
        this.#data = [];
        continue;
      }
      if (line.startsWith(':')) continue;
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') this.#event = value;
      else if (field === 'data') this.#data.push(value);
    }
    return messages;
  }
}

export type LinkState =
  /** Nothing has been loaded yet. */
  | { status: 'connecting' }
  /** What is shown is what the control plane knows. */
  | { status: 'live' }
  /** What is shown is from `sinceMs`; the next attempt is at `retryAtMs` (now, while one is under way). */
  | { status: 'stale'; sinceMs: number; reason: string; retryAtMs: number };

/** Time and chance, replaceable in tests. */
export interface Timers {
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
  random(): number;
}

export const realTimers: Timers = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
  random: () => Math.random(),
};

export interface StreamOptions {
  /** Opens the stream. */
  open(signal: AbortSignal): Promise<Response>;
  /** Fetches everything shown anew; called on every (re)connection, after the stream is open so that nothing falls between. */
  resync(signal: AbortSignal): Promise<void>;
  onMessages(messages: StreamMessage[]): void;
  onState(state: LinkState): void;
  /** The token is refused: the stream ends for good. */
  onUnauthorized(): void;
  /** Longest silence before the line counts as dead. The server speaks at least every 15 s. */
  silenceMs?: number;
  timers?: Timers;
}

const SILENCE_MS = 35_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

/** Waits longer after every failure in a row, and never in step with other screens. */
export function retryDelay(failures: number, random: number): number {
  const delay = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.max(0, failures - 1));
  return Math.round(delay * (0.75 + random * 0.5));
}

class Unauthorized extends Error {}

export class LiveStream {
  readonly #options: StreamOptions;
  readonly #timers: Timers;
  #closed = false;
  #failures = 0;
  #freshAtMs: number | null = null;
  #controller: AbortController | null = null;
  #watchdog: unknown = null;
  #retry: unknown = null;
  #live = false;
  #asleep = false;
  #running = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#timers = options.timers ?? realTimers;
  }

  start(): void {
    this.#options.onState({ status: 'connecting' });
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#timers.clearTimeout(this.#watchdog);
    this.#timers.clearTimeout(this.#retry);
    this.#controller?.abort();
  }

  /** Tries at once instead of waiting for the next attempt (the user asked, or the network came back). */
  retryNow(): void {
    if (this.#closed || this.#retry === null) return;
    this.#timers.clearTimeout(this.#retry);
    this.#retry = null;
    void this.#run();
  }

  /**
   * Gives the connection back: browsers allow six to one host, over all tabs, and a tab nobody sees needs none. What it
   * shows is stale from now on.
   */
  sleep(): void {
    if (this.#closed || this.#asleep) return;
    this.#asleep = true;
    this.#timers.clearTimeout(this.#retry);
    this.#retry = null;
    this.#controller?.abort(new Error('this tab was in the background'));
  }

  /** Connects again after `sleep`. */
  wake(): void {
    if (this.#closed || !this.#asleep) return;
    this.#asleep = false;
    if (!this.#running) void this.#run();
  }

  /**
   * Takes the line for dead at once, not after a silence: the browser says the network is gone, or the control plane
   * says that this page was too slow and missed messages. A new connection fetches everything anew.
   */
  restart(reason: string): void {
    if (this.#live) this.#controller?.abort(new Error(reason));
  }

  /** Timers sleep in hidden tabs and suspended machines: on waking, a line that was silent too long is dead. */
  checkSilence(): void {
    if (this.#live && this.#freshAtMs !== null && this.#timers.now() - this.#freshAtMs > this.#silenceMs) {
      this.#controller?.abort(new Error('no word from the control plane'));
    }
  }

  get #silenceMs(): number {
    return this.#options.silenceMs ?? SILENCE_MS;
  }

  async #run(): Promise<void> {
    const controller = new AbortController();
    this.#controller = controller;
    this.#running = true;
    this.#watch(controller);
    let reason = 'the control plane closed the stream';
    try {
      await this.#session(controller);
    } catch (error) {
      if (error instanceof Unauthorized) {
        this.close();
        this.#options.onUnauthorized();
        return;
      }
      const cause: unknown = controller.signal.aborted ? controller.signal.reason : error;
      reason = problem(cause);
    }
    this.#timers.clearTimeout(this.#watchdog);
    controller.abort();
    if (this.#closed) return;
    this.#live = false;
    this.#running = false;
    const now = this.#timers.now();
    if (this.#asleep) {
      this.#options.onState({ status: 'stale', sinceMs: this.#freshAtMs ?? now, reason, retryAtMs: now });
      return;
    }
    this.#failures += 1;
    const delay = retryDelay(this.#failures, this.#timers.random());
    this.#options.onState({ status: 'stale', sinceMs: this.#freshAtMs ?? now, reason, retryAtMs: now + delay });
    this.#retry = this.#timers.setTimeout(() => {
      this.#retry = null;
      void this.#run();
    }, delay);
  }

  /** One connection, from opening to its end. Messages wait until the refetch is done, then come in order. */
  async #session(controller: AbortController): Promise<void> {
    const { signal } = controller;
    const response = await this.#options.open(signal);
    if (response.status === 401) throw new Unauthorized();
    if (!response.ok || response.body === null) throw new Error(`the control plane answered ${response.status}`);
    let waiting: StreamMessage[] | null = [];
    const resynced = this.#options.resync(signal).then(
      () => {
        if (signal.aborted || this.#closed) return;
        const messages = waiting ?? [];
        waiting = null;
        this.#live = true;
        this.#failures = 0;
        this.#freshAtMs = this.#timers.now();
        this.#options.onState({ status: 'live' });
        if (messages.length > 0) this.#options.onMessages(messages);
      },
      (error: unknown) => {
        controller.abort(error);
      },
    );
    const parser = new SseParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    const onAbort = () => void reader.cancel().catch(() => undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        const { done, value } = await reader.read();
        signal.throwIfAborted();
        if (done) break;
        this.#watch(controller);
        if (this.#live) this.#freshAtMs = this.#timers.now();
        const messages = parser.push(decoder.decode(value, { stream: true }));
        if (messages.length === 0) continue;
        if (waiting === null) this.#options.onMessages(messages);
        else waiting.push(...messages);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      // A refetch may outlive its stream; its result must not pass for live.
      if (waiting !== null) controller.abort(signal.aborted ? signal.reason : new Error('the control plane closed the stream'));
      await resynced;
    }
  }

  #watch(controller: AbortController): void {
    this.#timers.clearTimeout(this.#watchdog);
    this.#watchdog = this.#timers.setTimeout(() => controller.abort(new Error('no word from the control plane')), this.#silenceMs);
  }
}
