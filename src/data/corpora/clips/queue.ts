/** @file Work that comes in pieces and waits for its turn: as many at a time as there are jobs. */

export interface WorkQueue {
  /** Starts `work` as soon as there is room; whoever waits for this never runs ahead by more than one piece. */
  submit(work: () => Promise<void>): Promise<void>;
  /** Waits for everything under way. @throws the first failure. */
  drain(): Promise<void>;
}

/** A queue that starts nothing more once a piece has failed or `signal` has fired. */
export function workQueue(jobs: number, signal: AbortSignal | undefined): WorkQueue {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const throwIfFailed = (): void => {
    if (failure) throw failure.error;
    signal?.throwIfAborted();
  };
  return {
    async submit(work) {
      while (running.size >= Math.max(1, jobs) && !failure) await Promise.race(running);
      throwIfFailed();
      const piece: Promise<void> = work()
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => running.delete(piece));
      running.add(piece);
    },
    async drain() {
      await Promise.all(running);
      throwIfFailed();
    },
  };
}
