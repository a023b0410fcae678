/** @file Runs UMAP in a worker thread, so that progress and Ctrl-C work while it computes. */

import { Worker } from 'node:worker_threads';

/** Input of the thread. */
export interface UmapTask {
  /** [rows, width] */
  readonly vectors: Float32Array;
  readonly width: number;
  readonly settings: UmapSettings;
}

/** Messages from the thread: progress, and finally the layout. */
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
      execArgv: [], // flags of the main program, such as --input-type, do not apply to the worker
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
      // Has no effect once the layout has arrived.
      reject(signal?.aborted ? signal.reason : new Error('the UMAP worker thread exited'));
    });
  });
}

/** Settings of a layout. */
export interface UmapSettings {
  /** Neighbours of a point, including itself, as UMAP counts. */
  readonly neighbours: number;
  /** Minimum distance between points of the map. */
  readonly minDistance: number;
  readonly seed: number;
}

export interface UmapLayout {
  /** [rows, 2] */
  readonly coordinates: Float64Array;
  /** Neighbours used, limited by the number of points. */
  readonly neighbours: number;
  readonly epochs: number;
  /** Principal components used for the neighbour search, and their share of the variance. */
  readonly components: number;
  readonly varianceShare: number;
}

/** Receives the share of the work done, by time. */
export type UmapProgress = (share: number) => void;

/** With fewer points, neighbourhoods are meaningless. */
export const LEAST_UMAP_POINTS = 5;
