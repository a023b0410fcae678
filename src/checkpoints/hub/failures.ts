/** @file Turns failures of hub requests into one-line errors, and retries those that may be temporary. */

import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage, InputError, UnavailableError } from '../../base/index.js';
import type { HttpProxy, HubAccess } from './access.js';

/** A problem that may be temporary and is worth a retry. */
export class TransientError extends Error {
  override readonly name = 'TransientError';

  constructor(
    message: string,
    /** Seconds that the server asked to wait. */
    readonly retryAfterSec = 0,
    /** True if no connection could be made, in which case retrying is pointless. */
    readonly isUnreachable = false,
  ) {
    super(message);
  }
}

/** The response to a failed request. */
export interface FailedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly url: URL;
}

/** What was requested. */
export interface Wanted {
  readonly id: string;
  readonly revision: string;
  readonly file?: string;
}

const MAY_PASS = [408, 425, 429, 500, 502, 503, 504];

/** The error for a failed response. Error names come from the header X-Error-Code, as in huggingface_hub. */
export function answerError(access: HubAccess, answer: FailedAnswer, { id, revision, file }: Wanted): Error {
  const { status, headers, url } = answer;
  const { endpoint, token } = access;
  const code = headers['x-error-code'];
  const said = String(headers['x-error-message'] ?? '');
  if (MAY_PASS.includes(status)) {
    return new TransientError(`${url.host} answers ${describe(status)}`, retryAfterSec(headers));
  }
  if (code === 'GatedRepo') {
    return new InputError(
      token
        ? `${id} is gated: accept its terms on ${endpoint}/${id} with the account of the token in ${token.source}, and wait until access is granted`
        : `${id} is gated: accept its terms on ${endpoint}/${id} and set HF_TOKEN to a token of that account`,
    );
  }
  if (code === 'RevisionNotFound')
    return new InputError(`${id} has no revision "${revision}" on ${endpoint}`);
  if (code === 'EntryNotFound') {
    return new InputError(`${id} has no file ${file} at revision "${revision}" on ${endpoint}`);
  }
  if (said === 'Access to this resource is disabled.') {
    return new InputError(`${id} has been disabled on ${endpoint}`);
  }
  if (status === 401 && token && /invalid|expired/i.test(said)) {
    return new InputError(
      `${endpoint} refuses the token in ${token.source} (${said}); make a new one, or unset it`,
    );
  }
  const isAtHub = url.origin === new URL(endpoint).origin;
  // The hub answers 401 both for missing and for private models, without saying which.
  if (code === 'RepoNotFound' || (isAtHub && (status === 401 || status === 404))) {
    const who = token ? `the account of the token in ${token.source} may not see it` : 'it needs HF_TOKEN';
    return new InputError(`${endpoint} has no model ${id}, or it is private and ${who}; check the name`);
  }
  // A signed URL of the hub's file store expires after a while; the hub issues a new one.
  if (!isAtHub && status === 403) return new TransientError(`${url.host} answers ${describe(status)}`);
  const why = said === '' ? '' : `: ${said}`;
  return new UnavailableError(`${url.host} answers ${describe(status)}${why}, asked for ${id}`);
}

/** The error for a failed connection. */
export function connectionError(error: unknown, url: URL, proxy: HttpProxy | undefined): Error {
  const code = codeOf(error);
  const way = proxy ? ` through the proxy ${proxy.url.host} of ${proxy.source}` : '';
  const what = `cannot reach ${url.origin}${way}`;
  if (/CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code)) {
    return new UnavailableError(
      `${what}: its certificate is not trusted (${code}); if your network re-signs traffic, set NODE_EXTRA_CA_CERTS to its certificate file`,
    );
  }
  const reason = REASONS[code];
  if (reason !== undefined) return new TransientError(`${what}: ${reason}`, 0, true);
  return new TransientError(`the connection to ${url.host}${way} failed: ${errorMessage(error)}`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such host, or no network',
  EAI_AGAIN: 'its name cannot be looked up, there may be no network',
  ECONNREFUSED: 'connection refused',
  ENETUNREACH: 'no network',
  EHOSTUNREACH: 'no route to it',
  ETIMEDOUT: 'no answer',
};

/** Node tries several addresses and then throws an AggregateError. */
function codeOf(error: unknown): string {
  const { code, errors } = error as { code?: unknown; errors?: readonly unknown[] };
  if (typeof code === 'string') return code;
  return errors === undefined ? '' : codeOf(errors[0]);
}

function describe(status: number): string {
  const meaning: Readonly<Record<number, string>> = {
    408: 'request timed out',
    429: 'too many requests',
    500: 'internal error',
    502: 'bad gateway',
    503: 'service unavailable',
    504: 'gateway timed out',
  };
  return meaning[status] === undefined ? `${status}` : `${status} (${meaning[status]})`;
}

/** Seconds from Retry-After: a number, or a date (RFC 9110, section 10.2.3). */
function retryAfterSec(headers: IncomingHttpHeaders): number {
  const text = headers['retry-after'] ?? '';
  const sec = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(sec) ? Math.max(0, sec) : 0;
}

const MAX_WAIT_SEC = 30;
/** If a server asks for a longer wait than this, the command fails and reports it. */
const MAX_ASKED_WAIT_SEC = 300;
/** Shorter waits are not reported, unless there are several in a row. */
const QUIET_WAIT_SEC = 5;

export interface Persistence {
  /** What is being tried, for messages. */
  readonly what: string;
  /** Retries without progress. Default: from `access`. */
  readonly retries?: number;
  /** True to fail at once if the host is unreachable. */
  readonly needsNetwork?: boolean;
  /** Bytes done so far; an attempt that gets further resets the count of retries. */
  readonly progress?: () => number;
}

/**
 * Runs `work`, and again after each TransientError.
 * @throws UnavailableError with the last problem when retries run out
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
      // A few bytes now and then do not count as progress, or it would never end.
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

/** Doubles with each retry. Half of it is random, so that many clients of a failed server do not return at once. */
function backoffSec(firstSec: number, failures: number): number {
  return Math.min(MAX_WAIT_SEC, firstSec * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}
