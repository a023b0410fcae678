/**
 * @file Hub settings: endpoint, token, offline mode, timeouts and proxies, from the same environment variables as
 * huggingface_hub.
 */

import { readFile } from 'node:fs/promises';
import { type RequestOptions, request } from 'node:http';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { InputError } from '../../base/index.js';
import { hubCacheFolder, hubHome } from './cache.js';

export interface HubToken {
  readonly value: string;
  /** Where the token comes from, for messages. */
  readonly source: string;
}

/** Timeouts and retries. */
export interface HubPatience {
  /** A connection that sends nothing for this long counts as dropped. */
  readonly stallSec: number;
  /**
   * Minimum progress of a connection; a slower one counts as dropped too. It is far below any usable download speed,
   * since four files may share a slow line.
   */
  readonly least?: { readonly bytes: number; readonly overSec: number };
  /** Retries that bring no progress. */
  readonly retries: number;
  /** Wait before the first retry; doubles with each further one, up to 30 s. */
  readonly retrySec: number;
}

/** How a pull accesses the hub. */
export interface HubAccess {
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly cacheFolder: string;
  readonly token: HubToken | undefined;
  /** The variable that disables network access, if any. */
  readonly offlineBy: string | undefined;
  readonly patience: HubPatience;
  readonly signal: AbortSignal | undefined;
  /** Called with one line about each lasting problem. */
  readonly onTrouble: ((line: string) => void) | undefined;
}

export interface HubOptions {
  readonly signal?: AbortSignal;
  readonly onTrouble?: (line: string) => void;
  readonly patience?: HubPatience;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const DEFAULT_PATIENCE: HubPatience = {
  stallSec: 30,
  least: { bytes: 3000, overSec: 30 },
  retries: 6,
  retrySec: 1,
};

/**
 * Reads HF_ENDPOINT, HF_TOKEN (or the token file), HF_HUB_OFFLINE and the cache location from the environment.
 * @throws InputError when HF_ENDPOINT is not a URL
 */
export async function openHub(options: HubOptions = {}): Promise<HubAccess> {
  return {
    endpoint: endpointOf(process.env.HF_ENDPOINT),
    cacheFolder: hubCacheFolder(),
    token: await findToken(),
    offlineBy: ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'].find(isOn),
    patience: options.patience ?? DEFAULT_PATIENCE,
    signal: options.signal,
    onTrouble: options.onTrouble,
  };
}

function endpointOf(text: string | undefined): string {
  if (!text) return DEFAULT_ENDPOINT;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '') {
    return text.replace(/\/+$/, '');
  }
  throw new InputError(`HF_ENDPOINT is ${JSON.stringify(text)}, not an address such as ${DEFAULT_ENDPOINT}`);
}

async function findToken(): Promise<HubToken | undefined> {
  if (isOn('HF_HUB_DISABLE_IMPLICIT_TOKEN')) return undefined;
  for (const source of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const value = process.env[source]?.trim();
    if (value) return { value, source };
  }
  const path = process.env.HF_TOKEN_PATH || join(hubHome(), 'token');
  const value = (await readFile(path, 'utf8').catch(() => '')).trim();
  return value === '' ? undefined : { value, source: path };
}

function isOn(name: string): boolean {
  return /^(?:1|on|yes|true)$/i.test(process.env[name] ?? '');
}

export interface HttpProxy {
  readonly url: URL;
  /** The variable it comes from, for messages. */
  readonly source: string;
}

/**
 * The proxy for a request, if any.
 * @throws InputError when the variable does not contain the URL of an HTTP proxy
 */
export function proxyOf(url: URL): HttpProxy | undefined {
  if (isExempt(url)) return undefined;
  const scheme = url.protocol.slice(0, -1); // http or https
  const source = [`${scheme}_proxy`, `${scheme}_proxy`.toUpperCase(), 'all_proxy', 'ALL_PROXY'].find(
    (name) => process.env[name],
  );
  if (source === undefined) return undefined;
  const text = process.env[source]!;
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const proxy = URL.canParse(address) ? new URL(address) : undefined;
  if (proxy?.protocol === 'http:') return { url: proxy, source };
  throw new InputError(
    `${source} does not name an HTTP proxy (http://host:port), the only kind that can be used`,
  );
}

/** Request options for a proxy: a tunnel for https, the full URL as the path for http. */
export async function throughProxy(
  url: URL,
  proxy: HttpProxy,
  signal: AbortSignal | undefined,
): Promise<RequestOptions> {
  if (url.protocol === 'http:') {
    return {
      hostname: hostOf(proxy.url),
      port: proxy.url.port || 80,
      path: url.href,
      headers: { host: url.host, ...credentialsOf(proxy.url) },
    };
  }
  const socket = await openTunnel(url, proxy, signal);
  return { createConnection: () => connect({ socket, servername: hostOf(url) }) };
}

/** Opens a tunnel to the host of `url` with CONNECT (RFC 9110, section 9.3.6). */
function openTunnel(url: URL, proxy: HttpProxy, signal: AbortSignal | undefined): Promise<Duplex> {
  const target = `${url.hostname}:${url.port || 443}`;
  return new Promise((resolve, reject) => {
    const asking = request({
      hostname: hostOf(proxy.url),
      port: proxy.url.port || 80,
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...credentialsOf(proxy.url) },
      ...(signal && { signal }),
    });
    asking.on('connect', ({ statusCode }, socket) => {
      if (statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(new Error(`the proxy answered ${statusCode}`));
    });
    asking.on('response', ({ statusCode }) => {
      asking.destroy();
      reject(new Error(`the proxy answered ${statusCode}`));
    });
    asking.on('error', reject);
    asking.end();
  });
}

function credentialsOf({ username, password }: URL): Record<string, string> {
  if (username === '') return {};
  const plain = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(plain).toString('base64')}` };
}

/** True if NO_PROXY lists the host, a parent domain, or everything. */
function isExempt({ hostname, port, protocol }: URL): boolean {
  const list = process.env.no_proxy || process.env.NO_PROXY || '';
  const hostPort = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`;
  return list
    .split(/[\s,]+/)
    .map((entry) => entry.toLowerCase().replace(/^\*?\./, ''))
    .some((entry) => {
      if (entry === '') return false;
      return (
        entry === '*' || [hostname, hostPort].some((name) => name === entry || name.endsWith(`.${entry}`))
      );
    });
}

/** A URL's host as sockets expect it: an IPv6 address without brackets. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}
