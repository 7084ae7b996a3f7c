/** One short word about what was just done, with undo where that is possible. */

export interface Toast {
  text: string;
  undo: (() => void) | null;
  isProblem: boolean;
}

const STAYS_MS = 8_000;

class Toasts {
  current = $state.raw<Toast | null>(null);
  private timer: ReturnType<typeof setTimeout> | undefined;

  show(text: string, undo: (() => void) | null = null): void {
    this.put({ text, undo, isProblem: false });
  }

  problem(text: string): void {
    this.put({ text, undo: null, isProblem: true });
  }

  undo(): void {
    const undo = this.current?.undo;
    this.clear();
    undo?.();
  }

  clear(): void {
    clearTimeout(this.timer);
    this.current = null;
  }

  private put(toast: Toast): void {
    clearTimeout(this.timer);
    this.current = toast;
    this.timer = setTimeout(() => (this.current = null), STAYS_MS);
  }
}

export const toasts = new Toasts();
