/**
 * @file A local Hugging Face hub: the listing, files with the hub's headers, and a second server on another port that
 * stores the large files. Faults can be injected per response.
 */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Fault of one response. */
export type Fault =
  /** Sends this many bytes of the content, then cuts the connection. */
  | { kind: 'drop'; afterBytes: number }
  /** Sends this many bytes, then nothing more. */
  | { kind: 'stall'; afterBytes: number }
  /** Sends one byte at a time, this many milliseconds apart. */
  | { kind: 'crawl'; paceMs: number }
  /** Sends all of the content with status 200, whatever range was requested; cut after some bytes if given. */
  | { kind: 'no-range'; afterBytes?: number }
  /** Adds this (possibly negative) number of bytes to Content-Length. */
  | { kind: 'wrong-length'; by: number }
  /** Sends more bytes than the file has, with a matching Content-Length. */
  | { kind: 'longer'; by: number }
  /** Changes one byte of the whole content. */
  | { kind: 'wrong-byte'; at: number }
  /** Answers 206 with a different range than requested. */
  | { kind: 'other-range' }
  | { kind: 'status'; status: number; headers?: Record<string, string> };

export interface FakeFile {
  readonly content: Buffer;
  /** Kept in the large-file store, by its SHA-256. */
  readonly isLarge: boolean;
  /** One per response with content; consumed from the front. */
  faults: Fault[];
}

export interface FakeModel {
  readonly commit: string;
  readonly branches: readonly string[];
  readonly files: Map<string, FakeFile>;
  /** Failing responses to the listing, consumed from the front. */
  readonly listingFaults: (Extract<Fault, { kind: 'status' | 'crawl' }> | { kind: 'endless' })[];
  isGated: boolean;
  isPrivate: boolean;
}

export interface SeenRequest {
  readonly server: 'hub' | 'store';
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

export interface FakeHub {
  readonly endpoint: string;
  readonly models: Map<string, FakeModel>;
  readonly requests: SeenRequest[];
  /** Only this token gives access to gated or private models. */
  readonly token: string;
  /** False if the listing gives only names, as some mirrors do. */
  hasBlobsInListing: boolean;
  addModel(id: string, files: Readonly<Record<string, Buffer | string>>, large?: RegExp): FakeModel;
  /** Milliseconds between chunks from the store, to leave time for other events. */
  paceMs: number;
  close(): Promise<void>;
}

const CHUNK_BYTES = 16 << 10;

export const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
export const gitHash = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
export const etagOf = ({ content, isLarge }: FakeFile): string => (isLarge ? sha256 : gitHash)(content);

export async function startFakeHub(): Promise<FakeHub> {
  const store = createServer((request, response) => void serveStored(request, response));
  const front = createServer((request, response) => void serveHub(request, response));
  const storePort = await listen(store);
  const hubPort = await listen(front);
  const hub: FakeHub = {
    endpoint: `http://127.0.0.1:${hubPort}`,
    models: new Map(),
    requests: [],
    token: 'hf_right',
    hasBlobsInListing: true,
    paceMs: 0,
    addModel(id, files, large = /\.(?:safetensors|bin)$/) {
      const entries = Object.entries(files).map(([path, content]): [string, FakeFile] => [
        path,
        { content: Buffer.from(content as Buffer), isLarge: large.test(path), faults: [] },
      ]);
      const commit = createHash('sha1').update(id).digest('hex');
      const model: FakeModel = {
        ...{ commit, branches: ['main', 'v1.0', 'feature/x'], files: new Map(entries) },
        ...{ listingFaults: [], isGated: false, isPrivate: false },
      };
      hub.models.set(id, model);
      return model;
    },
    async close() {
      for (const server of [front, store]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return hub;

  function note(server: 'hub' | 'store', { method, url, headers }: IncomingMessage): void {
    hub.requests.push({
      ...{ server, method: method ?? '', path: url ?? '', range: headers.range },
      ifRange: headers['if-range'] as string | undefined,
      authorization: headers.authorization,
    });
  }

  async function serveHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    note('hub', request);
    const { pathname, searchParams } = new URL(request.url ?? '/', hub.endpoint);
    const isKnownToken = request.headers.authorization === `Bearer ${hub.token}`;
    if (request.headers.authorization !== undefined && !isKnownToken) {
      return refuse(response, 401, '', 'Invalid credentials in Authorization header');
    }
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname);
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    const id = api?.[1] ?? file?.[1] ?? '';
    const model = hub.models.get(id);
    if (!model || (model.isPrivate && !isKnownToken)) {
      return refuse(
        response,
        request.headers.authorization ? 404 : 401,
        'RepoNotFound',
        'Repository not found',
      );
    }
    const revision = decodeURIComponent((api ? api[3] : file?.[2]) ?? '');
    if (revision !== model.commit && !model.branches.includes(revision)) {
      return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    }
    if (api) {
      const fault = model.listingFaults.shift();
      if (fault?.kind === 'status') return void response.writeHead(fault.status, fault.headers ?? {}).end();
      if (fault) return sendSpaces(response, fault);
      return sendJson(
        response,
        api[2] === 'tree'
          ? treeOf(model)
          : infoOf(id, model, hub.hasBlobsInListing && searchParams.has('blobs')),
      );
    }
    if (model.isGated && !isKnownToken) {
      return refuse(response, request.headers.authorization ? 403 : 401, 'GatedRepo', 'Access is restricted');
    }
    const found = model.files.get(decodeURIComponent(file?.[3] ?? ''));
    response.setHeader('x-repo-commit', model.commit);
    if (!found) return refuse(response, 404, 'EntryNotFound', 'Entry not found');
    const etag = `"${etagOf(found)}"`;
    if (!found.isLarge) return sendContent(request, response, found, etag);
    response.writeHead(302, {
      'x-linked-etag': etag,
      'x-linked-size': found.content.length,
      location: `http://127.0.0.1:${storePort}/${encodeURIComponent(id)}/${file?.[3]}?Signature=abc`,
    });
    response.end('Found. Redirecting');
  }

  async function serveStored(request: IncomingMessage, response: ServerResponse): Promise<void> {
    note('store', request);
    if (request.headers.authorization !== undefined)
      return refuse(response, 400, '', 'Only one auth mechanism');
    const [, id = '', path = ''] = new URL(request.url ?? '/', 'http://x').pathname.split('/');
    const found = hub.models.get(decodeURIComponent(id))?.files.get(path);
    if (!found) return refuse(response, 404, '', '');
    // The store's own etag is not the hash, as on the real one.
    return sendContent(request, response, found, `"store-${found.content.length}"`);
  }

  async function sendContent(
    request: IncomingMessage,
    response: ServerResponse,
    file: FakeFile,
    etag: string,
  ): Promise<void> {
    const fault = request.method === 'HEAD' ? undefined : file.faults.shift();
    if (fault?.kind === 'status') return void response.writeHead(fault.status, fault.headers ?? {}).end();
    const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const isSame = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    const size = file.content.length;
    const isPart = asked !== null && isSame && fault?.kind !== 'no-range';
    let from = isPart ? Number(asked[1]) : 0;
    if (isPart && from >= size) {
      return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
    }
    if (fault?.kind === 'other-range' && isPart) from = Math.max(0, from - 1);
    let content = Buffer.from(file.content.subarray(from));
    if (fault?.kind === 'wrong-byte' && fault.at >= from) content[fault.at - from]! ^= 1;
    if (fault?.kind === 'longer') content = Buffer.concat([content, Buffer.alloc(fault.by)]);
    const length = content.length + (fault?.kind === 'wrong-length' ? fault.by : 0);
    response.writeHead(isPart ? 206 : 200, {
      ...{ etag, 'content-length': length, 'accept-ranges': 'bytes' },
      ...(isPart && { 'content-range': `bytes ${from}-${size - 1}/${size}` }),
    });
    if (request.method === 'HEAD') return void response.end();
    const limit = fault && 'afterBytes' in fault ? (fault.afterBytes ?? content.length) : content.length;
    const [chunk, paceMs] = fault?.kind === 'crawl' ? [1, fault.paceMs] : [CHUNK_BYTES, hub.paceMs];
    for (let at = 0; at < limit && !response.destroyed; at += chunk) {
      response.write(content.subarray(at, Math.min(at + chunk, limit)));
      await new Promise((resolve) => setTimeout(resolve, paceMs));
    }
    if (fault?.kind === 'stall') return;
    // A wrong length and a drop both end in a cut connection.
    if (limit < content.length || fault?.kind === 'wrong-length') response.socket?.end();
    else response.end();
  }
}

function infoOf(id: string, { commit, files, isGated }: FakeModel, hasBlobs: boolean): object {
  const siblings = [...files].map(([path, file]) => ({
    rfilename: path,
    ...(hasBlobs && { size: file.content.length, blobId: gitHash(pointerOf(file)) }),
    ...(hasBlobs && file.isLarge && { lfs: { sha256: sha256(file.content), size: file.content.length } }),
  }));
  return { id, modelId: id, sha: commit, private: false, gated: isGated && 'auto', tags: [], siblings };
}

function treeOf({ files }: FakeModel): object {
  return [...files].map(([path, file]) => ({
    ...{ type: 'file', path, size: file.content.length, oid: gitHash(pointerOf(file)) },
    ...(file.isLarge && {
      lfs: { oid: sha256(file.content), size: file.content.length, pointerSize: pointerOf(file).length },
    }),
  }));
}

/** The git content of a large file. */
function pointerOf({ content, isLarge }: FakeFile): Buffer {
  if (!isLarge) return content;
  return Buffer.from(
    `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\nsize ${content.length}\n`,
  );
}

function sendJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

/** An endless response of white space, which is valid before any JSON. */
async function sendSpaces(
  response: ServerResponse,
  fault: { kind: 'crawl'; paceMs: number } | { kind: 'endless' },
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' });
  const [chunk, paceMs] = fault.kind === 'crawl' ? [' ', fault.paceMs] : [' '.repeat(1 << 20), 0];
  while (!response.destroyed) {
    response.write(chunk);
    await new Promise((resolve) => setTimeout(resolve, paceMs));
  }
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, {
    ...(code !== '' && { 'x-error-code': code }),
    ...(message !== '' && { 'x-error-message': message }),
  });
  response.end();
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
