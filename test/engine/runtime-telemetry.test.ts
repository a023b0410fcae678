/**
 * @file onnxruntime's telemetry is off. Runs a program of emoq's and one that loads onnxruntime directly, in empty home
 * folders, with the C library's name look-ups and connections recorded instead of made. The second shows that the first
 * one's silence is meaningful.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const HOOKS = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static void record(const char *what, const char *name) {
  int file = open(getenv("NETWORK_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dprintf(file, "%s %s\\n", what, name ? name : "");
  close(file);
}
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  record("getaddrinfo", name);
  return EAI_FAIL;
}
int connect(int socket, const struct sockaddr *address, socklen_t length) {
  record("connect", "");
  errno = ENETUNREACH;
  return -1;
}
ssize_t sendto(int socket, const void *bytes, size_t count, int flags, const struct sockaddr *address, socklen_t length) {
  record("sendto", "");
  errno = ENETUNREACH;
  return -1;
}`;
/** Both wait for the end of standard input, to give background threads time. */
const WAIT = `console.log('ran'); process.stdin.resume();`;
const engine = new URL('../../dist/engine/', import.meta.url).href;
const MODEL = `
  const { addInput, addOutput, createGraph, mul, serializeModel } = await import('${engine}onnx/index.js');
  const graph = createGraph('double');
  addOutput(graph, mul(addInput(graph, 'x', 'float32', [1]), 2), 'y');
  const model = serializeModel(graph);
  const data = Float32Array.of(1);`;
const EMOQ = `${MODEL}
  const { createSession, startSessionWorker } = await import('${engine}runtime/index.js');
  const feeds = { x: { dtype: 'float32', shape: [1], data } };
  const worker = startSessionWorker();
  await (await worker.open(model, { device: { kind: 'cpu' } })).run(feeds);
  await (await createSession(model, { device: { kind: 'cpu' } })).run(feeds);
  ${WAIT}`;
const PLAIN = `${MODEL}
  const { default: ort } = await import(${JSON.stringify(createRequire(import.meta.url).resolve('onnxruntime-node'))});
  const session = await ort.InferenceSession.create(model);
  await session.run({ x: new ort.Tensor('float32', data, [1]) });
  ${WAIT}`;

let folder: string;
const hooks = (): string => join(folder, 'hooks.so');
const compiler = ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
const canWatch = process.platform === 'linux' && compiler !== undefined;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'emoq-telemetry-'));
  if (!canWatch) return;
  writeFileSync(join(folder, 'hooks.c'), HOOKS);
  const { status, stderr } = spawnSync(compiler!, [
    '-shared',
    '-fPIC',
    '-o',
    hooks(),
    join(folder, 'hooks.c'),
  ]);
  expect(status, String(stderr)).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a program in its own home folder. */
async function start(name: string, program: string) {
  const home = join(folder, name);
  mkdirSync(home);
  const log = join(folder, `${name}.log`);
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: home, NETWORK_LOG: log, LD_PRELOAD: hooks() };
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env, // without CI and similar variables, which silence onnxruntime by themselves
    cwd: home,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  await Promise.race([once(child.stdout, 'data'), ended]);
  return {
    files: () =>
      readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
    network: () => (existsSync(log) ? readFileSync(log, 'utf8') : ''),
    isRunning: () => child.exitCode === null,
    async end() {
      child.stdin.end();
      const [code] = await ended;
      return code as number;
    },
  };
}

/** How often to check whether the plain program has looked up a host: about a minute in all. */
const LOOKS = 300;

describe("onnxruntime's telemetry", () => {
  it.skipIf(!canWatch)('writes nothing and looks up no host', async () => {
    const [emoq, plain] = await Promise.all([start('emoq', EMOQ), start('plain', PLAIN)]);
    for (let look = 0; look < LOOKS && plain.network() === '' && plain.isRunning(); look++) await sleep(200);
    expect(await Promise.all([emoq.end(), plain.end()])).toEqual([0, 0]);
    expect(emoq.files()).toEqual([]);
    expect(emoq.network()).toBe('');
    if (plain.files().length === 0) console.log('this onnxruntime wrote no telemetry by itself either');
    if (plain.network() === '') console.log('this onnxruntime looked up no host by itself either');
  });
  it.skipIf(canWatch)('is not watched here, for want of Linux and a C compiler', () => undefined);
});
