/** @file Memory of arrays given back at once: the garbage collector may leave gigabytes lying for several runs. */

import { MessageChannel } from 'node:worker_threads';
import type { Tensor } from '../tensor/index.js';

const { port1: nowhere, port2 } = new MessageChannel();
port2.close();

/** Frees a tensor's memory and leaves it without elements. One that is a view of a larger buffer stays as it is. */
export function releaseMemory({ data }: Tensor): void {
  const { buffer } = data;
  if (!(buffer instanceof ArrayBuffer) || data.byteLength !== buffer.byteLength) return;
  nowhere.postMessage(null, [buffer]); // a message to a closed port is dropped with all that was handed over
}
