// Work that follows a burst of messages: at once, then at most once per interval, and never left undone.

import { realTimers, type Timers } from './stream';

export interface Throttled {
  (): void;
  cancel(): void;
}

export function throttle(work: () => void, intervalMs: number, timers: Timers = realTimers): Throttled {
  let handle: unknown = null;
  let again = false;
  const run = () => {
    again = false;
    work();
    handle = timers.setTimeout(() => {
      handle = null;
      if (again) run();
    }, intervalMs);
  };
  const throttled = () => {
    if (handle === null) run();
    else again = true;
  };
  throttled.cancel = () => {
    timers.clearTimeout(handle);
    handle = null;
    again = false;
  };
  return throttled;
}
