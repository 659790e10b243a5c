// What somebody asks of the control plane in a dialog: whether it is on its way, and what went wrong with it.

import { problem } from './format';

export class Sending {
  busy = $state(false);
  /** Why the last one failed; `null` when it did not. */
  error = $state<string | null>(null);

  /** Asks. An error is kept, in words; the answer is whether there was none. */
  async send(ask: () => Promise<void>): Promise<boolean> {
    this.busy = true;
    this.error = null;
    try {
      await ask();
      return true;
    } catch (cause) {
      this.error = problem(cause);
      return false;
    } finally {
      this.busy = false;
    }
  }
}
