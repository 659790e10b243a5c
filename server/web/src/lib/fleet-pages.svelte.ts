// Robots of a fleet too large to be kept whole: read in order of their names, page by page, as far as somebody scrolls.

import { untrack } from 'svelte';
import { ApiError, type Api } from './api';
import { apiQuery, type FleetFilter, type FleetSummary } from './fleet';
import type { Target } from './targets';

const SIZE = 500;

export class FleetPages {
  /** Names in order, as far as they were read. */
  names = $state.raw<readonly string[]>([]);
  /** Counts of those that match. */
  summary = $state.raw<FleetSummary | null>(null);
  error = $state.raw<ApiError | null>(null);
  busy = $state(false);
  #next: string | number | null | undefined = undefined;
  #wanted = 0;
  #asked: AbortController | null = null;
  #filter: FleetFilter;
  readonly #api: () => Api;
  readonly #know: (targets: readonly Target[]) => void;

  constructor(api: () => Api, know: (targets: readonly Target[]) => void, filter: FleetFilter) {
    this.#api = api;
    this.#know = know;
    this.#filter = filter;
  }

  /** Begins anew, of these robots. */
  of(filter: FleetFilter): void {
    this.#asked?.abort();
    this.#asked = null;
    this.#filter = filter;
    this.#next = undefined;
    untrack(() => {
      this.names = [];
      this.busy = false;
      void this.#count();
      this.reach(1);
    });
  }

  /** Counts anew; robots come and go. */
  async #count(): Promise<void> {
    const filter = this.#filter;
    try {
      const summary = await this.#api().targetsSummary(apiQuery(filter));
      if (this.#filter === filter) this.summary = summary;
    } catch (error) {
      if (this.#filter === filter && error instanceof ApiError) this.error = error;
    }
  }

  recount(): void {
    void this.#count();
  }

  /** Reads on until the robot with this index is there. */
  reach(index: number): void {
    this.#wanted = Math.max(index, 1);
    untrack(() => {
      if (!this.busy) void this.#read();
    });
  }

  close(): void {
    this.#asked?.abort();
  }

  async #read(): Promise<void> {
    if (this.#next === null || this.names.length >= this.#wanted) return;
    const asked = new AbortController();
    this.#asked = asked;
    this.busy = true;
    try {
      while (this.#next !== null && this.names.length < this.#wanted) {
        const page = await this.#api().targetsPage({ ...apiQuery(this.#filter), after: this.#next ?? undefined, limit: SIZE }, asked.signal);
        if (asked.signal.aborted) return;
        this.#know(page.items);
        this.names = [...this.names, ...page.items.map(({ name }) => name)];
        this.#next = page.items.length > 0 ? page.next : null;
      }
      this.error = null;
    } catch (error) {
      if (asked.signal.aborted) return;
      this.error = error instanceof ApiError ? error : new ApiError(0, 'error', String(error));
    }
    if (this.#asked === asked) this.busy = false;
  }
}
