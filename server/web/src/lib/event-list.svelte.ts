// A list of events of one kind of question: fetched page by page, and kept up by what the live stream tells.

import { untrack } from 'svelte';
import { MAX_EVENTS, mergeEvents, type TimelineEvent } from './events';
import { Remote } from './remote.svelte';
import type { Page } from './api';

type Ask = (after: string | undefined, signal?: AbortSignal) => Promise<Page<TimelineEvent>>;

export class EventList {
  /** Newest first. */
  items = $state.raw<readonly TimelineEvent[]>([]);
  /** Whether there are older ones. */
  more = $state(false);
  /** Older ones are on their way. */
  reading = $state(false);
  readonly #first = new Remote<Page<TimelineEvent>>();
  #next: string | undefined;
  #ask: Ask | null = null;

  get error() {
    return this.#first.error;
  }

  /** Whether the newest have not come yet. */
  get fresh(): boolean {
    return this.#first.value === null;
  }

  /** Begins anew with the newest. Returns what gives it up, for an effect to return. */
  load(ask: Ask): () => void {
    this.#ask = ask;
    this.#first.clear();
    this.items = [];
    this.more = false;
    return this.#first.load(async (signal) => {
      const page = await ask(undefined, signal);
      if (this.#ask === ask) this.#keep(page);
      return page;
    });
  }

  /** Fetches older ones. */
  async older(): Promise<void> {
    const ask = this.#ask;
    if (ask === null || !this.more || this.reading) return;
    this.reading = true;
    try {
      const page = await ask(this.#next);
      if (this.#ask === ask) this.#keep(page);
    } catch {
      // The button stays for another try.
    } finally {
      this.reading = false;
    }
  }

  /** Takes up what the stream told; what is known already is no other event. */
  take(events: readonly TimelineEvent[]): void {
    const known = untrack(() => this.items);
    const ids = new Set(known.map(({ id }) => String(id)));
    const fresh = events.filter(({ id }) => !ids.has(String(id)));
    if (fresh.length > 0) this.items = mergeEvents(known, fresh, Math.max(MAX_EVENTS, known.length));
  }

  #keep(page: Page<TimelineEvent>): void {
    const known = untrack(() => this.items);
    this.items = mergeEvents(known, page.items, Math.max(MAX_EVENTS, known.length + page.items.length));
    this.#next = page.next === null ? undefined : String(page.next);
    this.more = page.next !== null;
  }
}
