/** @file The worker thread that computes a UMAP. */

import { parentPort, workerData } from 'node:worker_threads';
import type { UmapReply, UmapTask } from './umap.js';
import { umapLayout } from './umap-layout.js';

const { vectors, width, settings } = workerData as UmapTask;
const reply = (message: UmapReply): void => parentPort?.postMessage(message);

let reported = 0;
reply({
  kind: 'layout',
  layout: umapLayout(vectors, width, settings, (share) => {
    if (share - reported < 0.001) return; // a message for every point would cost more than the point
    reported = share;
    reply({ kind: 'progress', share });
  }),
});
