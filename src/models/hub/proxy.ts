/**
 * @file The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), which Node 20 does not use by
 * itself: its fetch knows no proxy, and NODE_USE_ENV_PROXY came with Node 22.21 and 24.
 */

import { type RequestOptions, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { InputError } from '../../base/index.js';

export interface HttpProxy {
  readonly url: URL;
  /** The variable that names it, for messages. */
  readonly source: string;
}

/**
 * The proxy for a request, if there is one.
 * @throws InputError when the variable holds no address of an HTTP proxy
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

/** Request options that take a request through a proxy: a tunnel for https, the whole address as path for http. */
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

/** Opens a connection to the host of `url` by CONNECT (RFC 9110, section 9.3.6). */
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

/** True where NO_PROXY names the host, a domain above it, or everything. */
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

/** A URL's host as sockets want it: an IPv6 address without its brackets. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}
