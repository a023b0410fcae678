/** @file Set-up of the hub tests: a fake hub, a separate cache, and short timeouts. */

import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import type { HubOptions } from '../../../src/checkpoints/hub/access.js';
import {
  fetchModel,
  type HubAccess,
  openHub,
  type PullPlan,
  parseModelName,
  planPull,
} from '../../../src/checkpoints/hub/index.js';
import { type FakeHub, startFakeHub } from './fake-hub.js';

/** Variables that may be set on a developer's machine. */
const VARIABLES = [
  ...['HF_ENDPOINT', 'HF_HOME', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'XDG_CACHE_HOME', 'HF_TOKEN'],
  ...['HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_DISABLE_IMPLICIT_TOKEN', 'HF_HUB_OFFLINE'],
  ...['TRANSFORMERS_OFFLINE', 'http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY'],
  ...['all_proxy', 'ALL_PROXY', 'no_proxy', 'NO_PROXY'],
];

export interface HubCase {
  hub: FakeHub;
  /** HF_HOME */
  home: string;
  /** Reported problems so far. */
  trouble: string[];
}

/** A fresh hub and cache per test. */
export function hubCase(): HubCase {
  const current = { trouble: [] as string[] } as HubCase;
  beforeEach(async () => {
    current.hub = await startFakeHub();
    current.home = await mkdtemp(join(tmpdir(), 'emoq-hub-'));
    current.trouble = [];
    for (const name of VARIABLES) vi.stubEnv(name, undefined);
    vi.stubEnv('HF_ENDPOINT', current.hub.endpoint);
    vi.stubEnv('HF_HOME', current.home);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await current.hub.close();
    await rm(current.home, { recursive: true, force: true });
  });
  return current;
}

/** Access as in a user's pull, with waits of milliseconds. */
export function accessOf(current: HubCase, options: HubOptions = {}): Promise<HubAccess> {
  return openHub({
    patience: { stallSec: 20, retries: 4, retrySec: 0.004 },
    onTrouble: (line) => void current.trouble.push(line),
    ...options,
  });
}

export async function pull(current: HubCase, name: string, options: HubOptions = {}): Promise<PullPlan> {
  const access = await accessOf(current, options);
  const plan = await planPull(access, parseModelName(name)!);
  await fetchModel(access, plan);
  return plan;
}

/** Files of a folder: a link's target, or the content. Empty folders are left out. */
export async function treeOf(folder: string): Promise<Record<string, { link: string } | { text: string }>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries
      .filter((entry) => !entry.isDirectory())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const name = relative(folder, path);
        if (entry.isSymbolicLink()) return [name, { link: await readlink(path) }] as const;
        return [name, { text: await readFile(path, 'utf8') }] as const;
      }),
  );
  return Object.fromEntries(found);
}

export const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The error of a failing promise, which must be one line. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (caught: Error) => caught,
  );
  expect(error).toBeInstanceOf(Error);
  expect(error!.message).not.toContain('\n');
  return error!;
}
