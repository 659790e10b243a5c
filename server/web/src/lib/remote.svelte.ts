// What one page fetches for itself: the newest answer, why there is none, and whether one is on its way. Shared data is in app.svelte.ts.

import { ApiError } from './api';

export class Remote<T> {
  /** The newest answer; kept while the next is on its way, and when that fails. */
  value = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  busy = $state(false);
  #asked: AbortController | null = null;

  /** Asks, instead of whatever was asked before. Returns what gives it up, for an effect to return. */
  load(ask: (signal: AbortSignal) => Promise<T>): () => void {
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    this.busy = true;
    ask(asked.signal).then(
      (value) => {
        if (this.#asked !== asked) return;
        this.value = value;
        this.error = null;
        this.busy = false;
      },
      (error: unknown) => {
        if (this.#asked !== asked || asked.signal.aborted) return;
        this.error = error instanceof ApiError ? error : new ApiError(0, 'error', error instanceof Error ? error.message : String(error));
        this.busy = false;
      },
    );
    return () => asked.abort();
  }

  /** Forgets the answer: what comes next is of something else. */
  clear(): void {
    this.#asked?.abort();
    this.#asked = null;
    this.value = null;
    this.error = null;
    this.busy = false;
  }
}

/** What stands where an answer should: why it is not there and what to do. */
export function advice(error: ApiError): string {
  if (error.status === 403) return 'The token you signed in with may not see this. Sign in with one that may, or ask whoever runs the control plane.';
  if (error.status === 404) return 'It may have been deleted, or the address is wrong.';
  if (error.status === 0) return 'This page asks again by itself as soon as the control plane answers.';
  if (error.status >= 500) return 'Look at the log of edgeflow-server, then try again.';
  return 'Mend that and try again.';
}
