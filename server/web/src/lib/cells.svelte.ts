// The robots of one rollout, kept up with: read whole once, and then only those that changed.

import { untrack } from 'svelte';
import { ApiError, type Api } from './api';
import { mergeCells, newestChange, type RobotCell } from './rollouts';
import { throttle } from './throttle';

/** Changes come in bursts: robots are asked for at most this often. */
const EVERY_MS = 700;

export class Cells {
  known = $state.raw<ReadonlyMap<string, RobotCell>>(new Map());
  loaded = $state(false);
  error = $state.raw<ApiError | null>(null);
  readonly #id: string;
  readonly #api: () => Api;
  #asked: AbortController | null = null;
  /** What changed at or after that moment may not be known. */
  #since = 0;
  /** Something changed while robots were being read. */
  #again = false;
  /** Reads what changed; soon, if that was just done. */
  readonly changed = throttle(() => untrack(() => void this.#read()), EVERY_MS);

  constructor(id: string, api: () => Api) {
    this.#id = id;
    this.#api = api;
  }

  /** Reads all of them anew. */
  whole(): void {
    this.changed.cancel();
    this.#asked?.abort();
    this.#asked = null;
    // Whoever asks does not depend on what comes.
    untrack(() => {
      this.loaded = false;
      void this.#read();
    });
  }

  close(): void {
    this.changed.cancel();
    this.#asked?.abort();
  }

  async #read(): Promise<void> {
    if (this.#asked !== null) {
      this.#again = true;
      return;
    }
    const asked = new AbortController();
    this.#asked = asked;
    const since = this.loaded ? this.#since : undefined;
    const began = performance.now();
    try {
      const cells = await this.#api().rolloutRobots(this.#id, { since_us: since }, asked.signal);
      if (asked.signal.aborted) return;
      this.known = mergeCells(since === undefined ? new Map() : this.known, cells);
      // Many robots come page by page: one on the first may have changed while the last was read, before others that are on that.
      this.#since = Math.max(0, newestChange(this.known.values()) - Math.ceil((performance.now() - began) * 1000));
      this.loaded = true;
      this.error = null;
    } catch (error) {
      if (!asked.signal.aborted) this.error = error instanceof ApiError ? error : new ApiError(0, 'error', String(error));
    } finally {
      if (this.#asked === asked) {
        this.#asked = null;
        if (this.#again) {
          this.#again = false;
          this.changed();
        }
      }
    }
  }
}
