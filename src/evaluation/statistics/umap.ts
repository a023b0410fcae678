/** @file UMAP in a thread of its own, so that progress is shown and Ctrl-C is heard while it computes. */

import { Worker } from 'node:worker_threads';

/** What the thread is given. */
export interface UmapTask {
  /** [rows, width] */
  readonly vectors: Float32Array;
  readonly width: number;
  readonly settings: UmapSettings;
}

/** What the thread says: how far it is, and in the end what it made. */
export type UmapReply =
  | { readonly kind: 'progress'; readonly share: number }
  | { readonly kind: 'layout'; readonly layout: UmapLayout };

/**
 * Lays out vectors in the plane, as `umapLayout` does.
 * @throws the reason of `signal`, at once when it is aborted
 */
export function umapInThread(
  task: UmapTask,
  { onProgress, signal }: { onProgress?: UmapProgress; signal?: AbortSignal | undefined } = {},
): Promise<UmapLayout> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = new Worker(new URL('./umap-worker.js', import.meta.url), {
      workerData: task,
      execArgv: [], // flags of the main program, such as --input-type, are not the worker's
    });
    const stop = (): void => void worker.terminate();
    signal?.addEventListener('abort', stop, { once: true });
    worker.on('message', (reply: UmapReply) => {
      if (reply.kind === 'progress') onProgress?.(reply.share);
      else resolve(reply.layout);
    });
    worker.on('error', reject);
    worker.on('exit', () => {
      signal?.removeEventListener('abort', stop);
      // Has no effect where the layout has come already.
      reject(signal?.aborted ? signal.reason : new Error('the thread that lays out the map has ended'));
    });
  });
}

/** What a layout is made with. */
export interface UmapSettings {
  /** Neighbours of a point, itself among them, as UMAP counts. */
  readonly neighbours: number;
  /** Least distance between points of the map. */
  readonly minDistance: number;
  readonly seed: number;
}

export interface UmapLayout {
  /** [rows, 2] */
  readonly coordinates: Float64Array;
  /** Neighbours that there were points for. */
  readonly neighbours: number;
  readonly epochs: number;
  /** Principal components that neighbours were looked for in, and the share of the variance that they hold. */
  readonly components: number;
  readonly varianceShare: number;
}

/** What share of the work is done, in time. */
export type UmapProgress = (share: number) => void;

/** Fewer points have no neighbourhoods to speak of. */
export const LEAST_UMAP_POINTS = 5;
