/** @file Proxies: which requests use one, what it is sent, and TLS through a tunnel. */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { proxyOf } from '../../../src/checkpoints/hub/access.js';
import { hubCase, pull } from './hub-case.js';

const current = hubCase();
const files = { 'config.json': '{}', 'model.safetensors': 'weights' };
let proxy: Server;
let seen: { line: string; credentials: string | undefined; token: string | undefined }[];
let answer: number;

/** A proxy of both kinds: plain requests by full URL, tunnels by CONNECT. */
beforeEach(async () => {
  seen = [];
  answer = 200;
  const note = (method: string, url: string, headers: Record<string, unknown>): void => {
    const [credentials, token] = [headers['proxy-authorization'], headers.authorization] as string[];
    seen.push({ line: `${method} ${url}`, credentials, token });
  };
  proxy = createServer(async (request, response) => {
    note(request.method!, request.url!, request.headers);
    const upstream = await fetch(request.url!, { method: request.method!, redirect: 'manual' });
    const { 'transfer-encoding': _, ...headers } = Object.fromEntries(upstream.headers);
    response.writeHead(upstream.status, headers);
    response.end(Buffer.from(await upstream.arrayBuffer()));
  });
  proxy.on('connect', (request, socket) => {
    note(request.method!, request.url!, request.headers);
    if (answer !== 200) return void socket.end(`HTTP/1.1 ${answer} No\r\n\r\n`);
    // Whatever the name, the tests' server is on this machine.
    const upstream = connect(Number(request.url!.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
});
const proxyAddress = (): string => `127.0.0.1:${(proxy.address() as AddressInfo).port}`;

describe('a proxy', () => {
  it('takes plain requests by their whole address', async () => {
    current.hub.addModel('Org/Tiny', files);
    vi.stubEnv('HTTP_PROXY', `http://me:p%40ss@${proxyAddress()}`);
    await pull(current, 'Org/Tiny');
    expect(seen[0]).toEqual({
      line: `GET ${current.hub.endpoint}/api/models/Org/Tiny/revision/main?blobs=true`,
      credentials: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
      token: undefined,
    });
    expect(seen).toHaveLength(4);
  });

  it('that refuses a tunnel is named, with its variable; it gets its own credentials only', async () => {
    answer = 407;
    vi.stubEnv('HF_ENDPOINT', 'https://hub.example');
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    vi.stubEnv('HTTPS_PROXY', proxyAddress());
    const patience = { stallSec: 600, retries: 0, retrySec: 0 };
    await expect(pull(current, 'Org/Tiny', { patience })).rejects.toThrow(
      `the connection to hub.example through the proxy ${proxyAddress()} of HTTPS_PROXY failed: the proxy answered 407`,
    );
    expect(new Set(seen.map(({ line }) => line))).toEqual(new Set(['CONNECT hub.example:443']));
    expect(seen.every(({ credentials, token }) => credentials === undefined && token === undefined)).toBe(
      true,
    );
  });

  it('that is not there is named too', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1');
    vi.stubEnv('HF_ENDPOINT', 'https://hub.example');
    await expect(pull(current, 'Org/Tiny')).rejects.toThrow(
      'cannot reach https://hub.example through the proxy 127.0.0.1:1 of HTTPS_PROXY: connection refused',
    );
  });

  it.each<[string, Record<string, string>, string | undefined]>([
    ['https://a.example/x', { HTTPS_PROXY: 'p:1' }, 'HTTPS_PROXY'],
    ['http://a.example/x', { HTTPS_PROXY: 'p:1' }, undefined],
    ['https://a.example/x', { ALL_PROXY: 'http://p' }, 'ALL_PROXY'],
    ['https://a.example/x', { https_proxy: 'p:1', HTTPS_PROXY: 'q:1' }, 'https_proxy'],
    ['https://a.example/x', { HTTPS_PROXY: 'p:1', NO_PROXY: 'b.example, .example' }, undefined],
    ['https://a.example/x', { HTTPS_PROXY: 'p:1', no_proxy: 'a.example:443' }, undefined],
    ['https://a.example/x', { HTTPS_PROXY: 'p:1', NO_PROXY: 'ample,x.a.example' }, 'HTTPS_PROXY'],
    ['https://a.example/x', { HTTPS_PROXY: 'p:1', NO_PROXY: '*' }, undefined],
  ])('for %s under %j is %s', (url, variables, source) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    expect(proxyOf(new URL(url))?.source).toBe(source);
  });

  it('of another kind is refused without its password', () => {
    vi.stubEnv('HTTPS_PROXY', 'socks5://me:secret@p:1');
    expect(() => proxyOf(new URL('https://a.example'))).toThrow(/^HTTPS_PROXY does not name an HTTP proxy/);
    expect(() => proxyOf(new URL('https://a.example'))).not.toThrow(/secret/);
  });
});

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!hasOpenssl) console.log('openssl is not installed: the tunnel with TLS is not tested');

describe.skipIf(!hasOpenssl)('a tunnel', () => {
  it('carries TLS to a host that only the proxy can reach', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'emoq-tls-'));
    const [keyPath, certPath] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const made = spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-keyout', keyPath, '-out', certPath, '-days', '2', '-subj', '/CN=hub.invalid'],
      ...['-addext', 'subjectAltName=DNS:hub.invalid'],
    ]);
    expect(made.status).toBe(0);
    // TLS in front of the fake hub; its redirects to the store stay plain.
    const [key, cert] = await Promise.all([readFile(keyPath), readFile(certPath)]);
    const secure = createSecureServer({ key, cert }, async (request, response) => {
      const upstream = await fetch(current.hub.endpoint + request.url, { redirect: 'manual' });
      const { 'transfer-encoding': _, ...headers } = Object.fromEntries(upstream.headers);
      response.writeHead(upstream.status, headers);
      response.end(Buffer.from(await upstream.arrayBuffer()));
    });
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    current.hub.addModel('Org/Tiny', files);
    const { port } = secure.address() as AddressInfo;
    const pulled = (trusted: boolean): Promise<{ code: number | null; stderr: string }> => {
      const env = {
        ...process.env,
        HF_ENDPOINT: `https://hub.invalid:${port}`,
        HTTPS_PROXY: `http://${proxyAddress()}`,
        ...(trusted && { NODE_EXTRA_CA_CERTS: certPath }),
      };
      const bin = fileURLToPath(new URL('../../../bin/emoq.js', import.meta.url));
      const child = spawn(process.execPath, [bin, 'pull', 'Org/Tiny'], { env });
      let stderr = '';
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })));
    };
    try {
      const refused = await pulled(false);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('its certificate is not trusted');
      expect(refused.stderr).toContain('set NODE_EXTRA_CA_CERTS');
      const { code, stderr } = await pulled(true);
      expect([code, stderr]).toEqual([0, expect.stringContaining('fetched, 2 files')]);
      expect(seen[0]!.line).toBe(`CONNECT hub.invalid:${port}`);
    } finally {
      secure.closeAllConnections();
      secure.close();
      await rm(dir, { recursive: true });
    }
  });
});
