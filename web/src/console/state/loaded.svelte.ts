/** Something that a page asks for. What is known stays while it is asked for anew, so that nothing jumps. */

import { Refused } from "../lib/api";

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Refused | null>(null);
  isLoading = $state(false);
  private asked = 0;

  async load(ask: () => Promise<T>): Promise<void> {
    const number = ++this.asked;
    this.isLoading = true;
    try {
      const value = await ask();
      if (number !== this.asked) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (number === this.asked) this.problem = error;
    } finally {
      if (number === this.asked) this.isLoading = false;
    }
  }

  clear(): void {
    this.asked += 1;
    this.value = null;
    this.problem = null;
    this.isLoading = false;
  }
}

/** Something that is done once, by a button. */
export class Doing {
  isBusy = $state(false);
  problem = $state.raw<Refused | null>(null);

  /** Whether it was done; else `problem` says why not. */
  async run(act: () => Promise<void>): Promise<boolean> {
    this.isBusy = true;
    this.problem = null;
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.problem = error;
      return false;
    } finally {
      this.isBusy = false;
    }
  }
}
