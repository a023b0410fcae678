/** @file Hub access: tokens, gated and missing models, mirrors, and no network. */

import { rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { InputError, UnavailableError } from '../../../src/base/index.js';
import { openHub, parseModelName, planPull } from '../../../src/checkpoints/hub/index.js';
import { accessOf, failure, hubCase, pull } from './hub-case.js';

const current = hubCase();
const ID = 'Org/Tiny';
const files = { 'config.json': '{}', 'model.safetensors': 'weights', 'README.md': 'hello' };

/** A port without a listener. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('the token', () => {
  it('goes to the hub with every request, and never to the store of the files', async () => {
    current.hub.addModel(ID, files).isGated = true;
    vi.stubEnv('HF_TOKEN', current.hub.token);
    await pull(current, ID);
    const of = (server: string) => current.hub.requests.filter((request) => request.server === server);
    expect(new Set(of('hub').map(({ authorization }) => authorization))).toEqual(
      new Set(['Bearer hf_right']),
    );
    expect(of('store').map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  it('may lie in a file of HF_HOME or HF_TOKEN_PATH, as `hf auth login` leaves it', async () => {
    await writeFile(join(current.home, 'token'), 'hf_home\n');
    expect((await openHub()).token).toEqual({ value: 'hf_home', source: join(current.home, 'token') });
    await writeFile(join(current.home, 'other'), 'hf_path');
    vi.stubEnv('HF_TOKEN_PATH', join(current.home, 'other'));
    expect((await openHub()).token?.value).toBe('hf_path');
    vi.stubEnv('HF_TOKEN', ' hf_variable\n');
    expect((await openHub()).token).toEqual({ value: 'hf_variable', source: 'HF_TOKEN' });
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '1');
    expect((await openHub()).token).toBeUndefined();
  });

  it('that the hub refuses is named by its place, not by its value', async () => {
    current.hub.addModel(ID, files);
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    const { message } = await failure(pull(current, ID));
    expect(message).toContain('refuses the token in HF_TOKEN (Invalid credentials in Authorization header)');
    expect(message).not.toContain('hf_secret');
  });
});

describe('what the hub does not give', () => {
  const accept = () => `Org/Tiny is gated: accept its terms on ${current.hub.endpoint}/Org/Tiny`;

  it('is gated: the message says where to accept the terms and what to set', async () => {
    current.hub.addModel(ID, files).isGated = true;
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toBe(`${accept()} and set HF_TOKEN to a token of that account`);
  });

  it('is no model, or one that the account may not see', async () => {
    const missing = `${current.hub.endpoint} has no model Org/Absent, or it is private and`;
    expect((await failure(pull(current, 'Org/Absent'))).message).toBe(
      `${missing} it needs HF_TOKEN; check the name`,
    );
    vi.stubEnv('HF_TOKEN', current.hub.token);
    expect((await failure(pull(current, 'Org/Absent'))).message).toBe(
      `${missing} the account of the token in HF_TOKEN may not see it; check the name`,
    );
  });

  it('is no revision', async () => {
    current.hub.addModel(ID, files);
    const error = await failure(pull(current, `${ID}@v9`));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toBe(`Org/Tiny has no revision "v9" on ${current.hub.endpoint}`);
  });

  it('is a file that the listing has', async () => {
    const model = current.hub.addModel(ID, files);
    const headers = { 'x-error-code': 'EntryNotFound' };
    model.files.get('README.md')!.faults = [{ kind: 'status', status: 404, headers }];
    const error = await failure(pull(current, ID));
    expect(error.message).toContain('Org/Tiny has no file README.md at revision');
  });
});

describe('an endpoint', () => {
  it('that lists names only is asked for each file', async () => {
    current.hub.addModel(ID, files);
    const full = await planPull(await accessOf(current), parseModelName(ID)!);
    current.hub.hasBlobsInListing = false;
    expect(await planPull(await accessOf(current), parseModelName(ID)!)).toEqual(full);
    expect(current.hub.requests.filter(({ method }) => method === 'HEAD')).toHaveLength(3);
    expect(current.hub.requests.some(({ server }) => server === 'store')).toBe(false);
  });

  it('may have a path, and a slash at its end', async () => {
    vi.stubEnv('HF_ENDPOINT', `${current.hub.endpoint}/mirror//`);
    await failure(planPull(await accessOf(current), parseModelName(ID)!));
    expect(current.hub.requests[0]!.path).toBe('/mirror/api/models/Org/Tiny/revision/main?blobs=true');
  });

  it.each(['<html>Please log in</html>', '{"sha": "main", "siblings": []}', '{}', 'null'])(
    'that answers %s is told to be no hub',
    async (content) => {
      const page = createHttpServer((_, response) => response.end(content));
      await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
      vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(page.address() as { port: number }).port}`);
      expect((await failure(pull(current, ID))).message).toContain('does not answer as a Hugging Face hub');
      page.closeAllConnections();
      page.close();
    },
  );

  it.each(['huggingface.co', 'ftp://x', 'https://x?y'])('%s is refused', async (endpoint) => {
    vi.stubEnv('HF_ENDPOINT', endpoint);
    await expect(openHub()).rejects.toThrow(/^HF_ENDPOINT is .*, not an address/);
  });
});

describe('without network', () => {
  it('a refused connection names the endpoint, at once', async () => {
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${await closedPort()}`);
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(
      /^Org\/Tiny: cannot reach http:\/\/127\.0\.0\.1:\d+: connection refused; run/,
    );
    expect(current.trouble).toEqual([]);
  });

  it('so does a host that there is not', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://hub.invalid');
    expect((await failure(pull(current, ID))).message).toMatch(
      /^Org\/Tiny: cannot reach http:\/\/hub\.invalid: (?:there is no such host|its name cannot be looked up)/,
    );
  });

  it('a server that never answers is left after a while', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(silent.address() as { port: number }).port}`);
    const patience = { stallSec: 0.05, retries: 1, retrySec: 0.001 };
    const error = await failure(pull(current, ID, { patience }));
    expect(error.message).toMatch(/has sent nothing for 0\.05 s, \d times in a row/);
    silent.close();
  });

  it('a model that is here is given, with a word that it was not checked', async () => {
    current.hub.addModel(ID, files);
    const { commit, snapshot } = await pull(current, ID);
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${await closedPort()}`);
    for (const name of [ID, `${ID}@${commit}`]) {
      const plan = await pull(current, name);
      expect(plan).toMatchObject({ commit, snapshot });
      expect(plan.unchecked).toContain('connection refused');
      expect(plan.files.map(({ path }) => path).sort()).toEqual(Object.keys(files).sort());
    }
    // The commit of another branch is not known offline.
    expect((await failure(pull(current, `${ID}@v1.0`))).message).toContain('connection refused');
  });

  it('a model whose weights are not whole is not given', async () => {
    current.hub.addModel(ID, files);
    const { snapshot } = await pull(current, ID);
    await rm(join(snapshot, 'model.safetensors'));
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${await closedPort()}`);
    expect((await failure(pull(current, ID))).message).toContain('connection refused');
  });

  it('HF_HUB_OFFLINE sends no request, and says that it is set', async () => {
    current.hub.addModel(ID, files);
    vi.stubEnv('HF_HUB_OFFLINE', 'YES');
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(
      /^HF_HUB_OFFLINE is set, and Org\/Tiny at revision "main" is not complete in .*; unset it/,
    );
    expect(current.hub.requests).toEqual([]);
    vi.stubEnv('HF_HUB_OFFLINE', '0');
    await pull(current, ID);
    const asked = current.hub.requests.length;
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    expect((await pull(current, ID)).unchecked).toBe('HF_HUB_OFFLINE is set');
    expect(current.hub.requests).toHaveLength(asked);
  });

  it('a busy hub is not waited for where the model is here', async () => {
    const model = current.hub.addModel(ID, files);
    await pull(current, ID);
    model.listingFaults.push({ kind: 'status', status: 503 });
    expect((await pull(current, ID)).unchecked).toContain('503');
    expect(current.trouble).toEqual([]);
  });
});

describe('a cache that cannot be written', () => {
  it('is named, with what to set', async () => {
    current.hub.addModel(ID, files);
    await writeFile(join(current.home, 'hub'), 'a file in the place of the folder');
    const error = await failure(pull(current, ID));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(
      /^cannot write into the cache .*hub \(.*(?:ENOTDIR|EEXIST).*\); set HF_HOME/,
    );
  });

  it('serves what is whole', async () => {
    current.hub.addModel(ID, files);
    const { snapshot } = await pull(current, ID);
    await rm(join(current.home, 'hub', '.locks'), { recursive: true });
    await writeFile(join(current.home, 'hub', '.locks'), 'no locks here');
    expect((await pull(current, ID)).snapshot).toBe(snapshot);
    await rm(join(snapshot, 'config.json'));
    expect((await failure(pull(current, ID))).message).toContain('cannot write into the cache');
  });
});
