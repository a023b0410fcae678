/**
 * @file A single request to the hub, with the response streamed. Follows redirects, sends the token to the hub only,
 * and ends connections that stall.
 */

import * as http from 'node:http';
import * as https from 'node:https';
import { formatBytes, UnavailableError } from '../../base/index.js';
import type { HubAccess, HubPatience } from './access.js';
import { proxyOf, throughProxy } from './access.js';
import { connectionError, TransientError } from './failures.js';

export interface HubAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Final URL, after redirects. */
  readonly url: URL;
  /**
   * The content of a 200 or 206. It must be consumed: reaching its end, or leaving the loop, ends the request. For any
   * other status it is already discarded.
   * @throws TransientError when the connection ends early or stalls
   */
  readonly body: AsyncIterable<Buffer>;
}

export interface HubRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
}

const MAX_REDIRECTS = 10;
const MAX_IGNORED_BYTES = 1 << 20;

/**
 * Requests `path` from the hub's endpoint. A HEAD request stops at a redirect to another host, since the hub describes
 * a file in the headers of that redirect.
 * @throws TransientError, or UnavailableError, when there is no response. Any status is a response.
 */
export async function requestHub(
  access: HubAccess,
  path: string,
  { method = 'GET', headers = {} }: HubRequest = {},
): Promise<HubAnswer> {
  let url = new URL(access.endpoint + path);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await exchange(access, url, method, { ...headers, ...authorization(access, url) });
    if (method === 'HEAD' || (answer.status !== 200 && answer.status !== 206)) await ignoreContent(answer);
    const location = answer.status >= 300 && answer.status < 400 ? answer.headers.location : undefined;
    if (location === undefined || !URL.canParse(location, url.href)) return answer;
    const next = new URL(location, url);
    if (method === 'HEAD' && next.origin !== url.origin) return answer;
    url = next;
  }
  throw new UnavailableError(`${access.endpoint} redirects in a loop, asked for ${path}`);
}

/** Ends a request whose content is not needed: short content is read, so that its connection can be reused. */
export async function ignoreContent({ body }: HubAnswer): Promise<void> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_IGNORED_BYTES) return;
  }
}

/**
 * The whole content of a response as text.
 * @throws UnavailableError when it is longer than `most` bytes
 */
export async function textOf({ body, url }: HubAnswer, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > most) {
      throw new UnavailableError(
        `${url.host} answers with more than ${formatBytes(most)} where a list of files is asked for; check HF_ENDPOINT, and that no proxy answers in its place`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Only the hub gets the token: no other host, port or scheme. */
function authorization({ endpoint, token }: HubAccess, url: URL): Record<string, string> {
  if (!token || url.origin !== new URL(endpoint).origin) return {};
  return { authorization: `Bearer ${token.value}` };
}

async function exchange(
  access: HubAccess,
  url: URL,
  method: string,
  headers: Readonly<Record<string, string>>,
): Promise<HubAnswer> {
  const { signal, patience } = access;
  signal?.throwIfAborted();
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new UnavailableError(`${access.endpoint} redirects to ${url.protocol}, which is not HTTP`);
  }
  const proxy = proxyOf(url);
  const silence = watchSilence(url, patience.stallSec, signal);
  const explained = (error: unknown): Error => {
    signal?.throwIfAborted();
    return silence.error() ?? connectionError(error, url, proxy);
  };
  try {
    silence.begin();
    const route = proxy && (await throughProxy(url, proxy, silence.signal));
    const incoming = await send(url, {
      ...route,
      method,
      signal: silence.signal,
      // Compressed content would have a different length and hash from the file.
      headers: { 'user-agent': 'emoq', 'accept-encoding': 'identity', ...route?.headers, ...headers },
    });
    const body = contentOf(incoming, { silence, pace: watchPace(url, patience.least), explained });
    return { status: incoming.statusCode ?? 0, headers: incoming.headers, url, body };
  } catch (error) {
    throw explained(error);
  } finally {
    silence.end();
  }
}

function send(url: URL, options: https.RequestOptions): Promise<http.IncomingMessage> {
  const { request } = url.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options, resolve);
    outgoing.on('error', reject);
    outgoing.end();
  });
}

async function* contentOf(
  incoming: http.IncomingMessage,
  {
    silence,
    pace,
    explained,
  }: { silence: SilenceWatch; pace: PaceWatch; explained: (error: unknown) => Error },
): AsyncGenerator<Buffer, void, void> {
  try {
    silence.begin();
    pace.begin();
    for await (const chunk of incoming) {
      silence.end(); // time spent by the consumer does not count as silence
      pace.end((chunk as Buffer).length);
      yield chunk as Buffer;
      silence.begin();
      pace.begin();
    }
  } catch (error) {
    throw error instanceof TransientError ? error : explained(error);
  } finally {
    silence.end();
  }
}

/** Ends a request that keeps sending but too slowly to finish. */
interface PaceWatch {
  begin(): void;
  /** @throws TransientError when too few bytes arrived recently */
  end(bytes: number): void;
}

function watchPace(url: URL, least: HubPatience['least']): PaceWatch {
  let begunMs = 0;
  let waitedMs = 0;
  let brought = 0;
  return {
    begin() {
      begunMs = performance.now();
    },
    end(bytes) {
      waitedMs += performance.now() - begunMs;
      brought += bytes;
      if (least === undefined || waitedMs < least.overSec * 1000) return;
      if (brought < least.bytes) {
        const sec = Math.round(waitedMs / 1000);
        throw new TransientError(`${url.host} has sent ${formatBytes(brought)} in ${sec} s`);
      }
      waitedMs = 0;
      brought = 0;
    },
  };
}

/** Ends a request when nothing arrives for a while. */
interface SilenceWatch {
  /** Aborted on silence, and with the caller's own signal. */
  readonly signal: AbortSignal;
  begin(): void;
  end(): void;
  /** The error, if silence ended the request. */
  error(): TransientError | undefined;
}

function watchSilence(url: URL, stallSec: number, signal: AbortSignal | undefined): SilenceWatch {
  const silence = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => clearTimeout(timer);
  return {
    signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal,
    begin() {
      end();
      timer = setTimeout(() => silence.abort(), stallSec * 1000);
    },
    end,
    error: () =>
      silence.signal.aborted
        ? new TransientError(`${url.host} has sent nothing for ${stallSec} s`)
        : undefined,
  };
}
