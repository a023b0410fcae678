/** @file The peak memory of a process is its own, and not that of the process that started it. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const base = new URL('../../dist/base/index.js', import.meta.url).href;
const MIB = 2 ** 20;

async function output(script: string): Promise<number[]> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  return stdout.trim().split('\n').map(Number);
}

const PRINT_PEAK = `
  import { peakMemoryBytes } from '${base}';
  console.log(peakMemoryBytes());`;

it('the peak memory of a process holds what it has freed since', async () => {
  const [before, after] = await output(`${PRINT_PEAK}
    Buffer.alloc(${300 * MIB}, 1);
    console.log(peakMemoryBytes());`);
  expect(after! - before!).toBeGreaterThan(290 * MIB);
  expect(after! - before!).toBeLessThan(400 * MIB);
});

it.runIf(process.platform === 'linux')(
  'the peak memory of a process is not that of a large parent',
  async () => {
    const [own, withParent, child] = await output(`
    import { execFileSync } from 'node:child_process';
    const large = Buffer.alloc(${600 * MIB}, 1);
    ${PRINT_PEAK}
    const script = ${JSON.stringify(`console.log(process.resourceUsage().maxRSS * 1024);${PRINT_PEAK}`)};
    process.stdout.write(execFileSync(process.execPath, ['--input-type=module', '-e', script]));
    if (large[0] !== 1) throw new Error('kept until here');`);
    expect(own).toBeGreaterThan(600 * MIB);
    expect(withParent).toBeGreaterThan(500 * MIB); // what it would otherwise say
    expect(child).toBeLessThan(300 * MIB);
  },
);
