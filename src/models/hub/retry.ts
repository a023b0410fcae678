/** @file Trying again: waits that grow, with jitter, as long as nothing new comes. */

import { setTimeout as sleep } from 'node:timers/promises';
import { UnavailableError } from '../../base/index.js';
import type { HubAccess } from './access.js';
import { TransientError } from './failures.js';

const MAX_WAIT_SEC = 30;
/** A server that asks for a longer wait than this is told to the user instead. */
const MAX_ASKED_WAIT_SEC = 300;
/** Waits under this are not worth a line, unless one follows another. */
const QUIET_WAIT_SEC = 5;

export interface Persistence {
  /** What is tried, for messages. */
  readonly what: string;
  /** Tries after the first that bring nothing new. Default: by `access`. */
  readonly retries?: number;
  /** True where a host that is not reached at all ends it at once. */
  readonly needsNetwork?: boolean;
  /** How far the work has come, in bytes; tries that come further do not count. */
  readonly progress?: () => number;
}

/**
 * Does `work`, again after each TransientError.
 * @throws UnavailableError with the last trouble when it stays
 */
export async function persist<T>(
  access: HubAccess,
  { what, retries = access.patience.retries, needsNetwork = false, progress = () => 0 }: Persistence,
  work: () => Promise<T>,
): Promise<T> {
  let furthest = progress();
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (error) {
      access.signal?.throwIfAborted();
      if (!(error instanceof TransientError)) throw error;
      // A few bytes now and then are no progress, or it would never end.
      if (progress() >= furthest + (access.patience.least?.bytes ?? 1)) {
        furthest = progress();
        failures = 1;
      }
      const { message, retryAfterSec, isUnreachable } = error;
      if (retryAfterSec > MAX_ASKED_WAIT_SEC) {
        const minutes = Math.ceil(retryAfterSec / 60);
        throw new UnavailableError(
          `${what}: ${message} and asks to wait ${minutes} min; run the same command then`,
        );
      }
      if (failures > retries || (isUnreachable && needsNetwork)) {
        const tries = failures === 1 ? '' : `, ${failures} times in a row`;
        throw new UnavailableError(`${what}: ${message}${tries}; run the same command again later`);
      }
      const waitSec = Math.max(retryAfterSec, backoffSec(access.patience.retrySec, failures));
      if (failures > 1 || waitSec >= QUIET_WAIT_SEC) {
        access.onTrouble?.(
          `${what}: ${message}; trying again in ${waitSec.toFixed(0)} s (${failures} of ${retries})`,
        );
      }
      await sleep(waitSec * 1000, undefined, access.signal ? { signal: access.signal } : {});
    }
  }
}

/** Doubles from try to try. Half of it is drawn, so that many who lost one server do not come back at once. */
function backoffSec(firstSec: number, failures: number): number {
  return Math.min(MAX_WAIT_SEC, firstSec * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}
