/** @file The supported versions of Node are the same everywhere they are stated. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NODE_RANGE, nodeVersionProblem, SUPPORTED_NODES } from '../bin/node-version.js';
import { nodeChecksOf } from '../src/cli/commands/doctor/machine-checks.js';
import { emoqBin, run } from './cli/command-line.js';

const text = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

describe('the supported versions of Node', () => {
  it.each(['20.20.0', '20.20.2', '22.12.0', '22.23.5', '24.0.0', '24.22.3', '26.0.0', '26.12.1', '27.1.0'])(
    'include %s',
    async (version) => {
      expect(nodeVersionProblem(version)).toBeUndefined();
      expect(await nodeChecksOf(version)).toMatchObject([{ name: 'Node', status: 'ok', fix: null }]);
    },
  );

  it.each(['12.22.0', '18.20.4', '20.19.5', '21.7.3', '22.11.0', '23.11.0', '25.2.1'])(
    'leave out %s, in one line that says what to do',
    async (version) => {
      expect(nodeVersionProblem(version)).toBe(
        `emoq needs Node 20.20, 22.12, 24 or 26 (or newer in that line); this is ${version}. Install one of them, 24 for example, and run again.`,
      );
      expect(await nodeChecksOf(version)).toMatchObject([
        { name: 'Node', status: 'missing', fix: 'nvm install 24', details: { version } },
      ]);
    },
  );

  it('are the same in package.json, its lock and the documents', () => {
    const { engines } = JSON.parse(text('package.json')) as { engines: { node: string } };
    const lock = JSON.parse(text('package-lock.json')) as { packages: { '': { engines: { node: string } } } };
    expect(engines.node).toBe(NODE_RANGE);
    expect(lock.packages[''].engines.node).toBe(NODE_RANGE);
    for (const name of ['README.md', 'CONTRIBUTING.md'])
      expect(text(name)).toContain(`Node ${SUPPORTED_NODES}`);
  });

  it('are the ones that `make test-nodes` runs, with npm 10 to 12', () => {
    const [, list] = /^const SUPPORTED = (\[.*\]);$/m.exec(text('test/nodes/run.mjs'))!;
    const tried = [...list!.matchAll(/'([\d.]+):(\d+)'/g)].map(([, node, npm]) => ({
      node: node!,
      npm: npm!,
    }));
    expect(tried.map(({ node }) => node.split('.')[0])).toEqual(['20', '22', '24', '26']);
    expect(new Set(tried.map(({ npm }) => npm))).toEqual(new Set(['10', '11', '12']));
    expect(text('.ci/run')).toMatch(/^make .*\btest-nodes\b/m);
  });

  it('are asked for before anything else is loaded', async () => {
    const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } })`;
    const old = ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`];
    const outcome = await run(process.execPath, [...old, emoqBin, '--version']);
    expect(outcome).toMatchObject({ code: 2, stdout: '', stderr: `${nodeVersionProblem('18.20.4')}\n` });
    const { code } = await run(process.execPath, [emoqBin, '--version']);
    expect(code).toBe(0);
  });
});
