/** @file The checksum of a safetensors file in its own metadata: any changed bit is detected. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import {
  CHECKSUM_KEY,
  float32,
  hasWholeContent,
  int64,
  readSafetensors,
  writeSafetensors,
} from '../../../src/engine/tensor/index.js';

const dir = mkdtempSync(join(tmpdir(), 'emoq-checksum-'));
afterAll(() => rmSync(dir, { recursive: true }));
const path = join(dir, 'state.safetensors');
const write = (checksum: boolean): Promise<void> =>
  writeSafetensors(
    path,
    [
      ['w', float32([3], [1, 2, 3])],
      ['step', int64([1], [7])],
    ],
    { at: 'step 7' },
    { checksum },
  );

describe('a safetensors file with a checksum', () => {
  it('is read like any other, and its checksum is that of its bytes with zeros for digits', async () => {
    await write(true);
    const { metadata, tensors } = await readSafetensors(path);
    expect(metadata.at).toBe('step 7');
    expect(tensors.get('w')!.data).toEqual(Float32Array.of(1, 2, 3));
    const text = readFileSync(path).toString('latin1');
    const zeroed = text.replace(
      `"${CHECKSUM_KEY}":"${metadata[CHECKSUM_KEY]}"`,
      `"${CHECKSUM_KEY}":"00000000"`,
    );
    expect(zeroed).not.toBe(text);
    const digits = crc32(Buffer.from(zeroed, 'latin1')).toString(16).padStart(8, '0');
    expect(metadata[CHECKSUM_KEY]).toBe(digits);
    expect(await hasWholeContent(path)).toBe(true);
  });

  it('does not pass for whole with any one of its bits changed', async () => {
    await write(true);
    const whole = readFileSync(path);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const changed = Buffer.from(whole);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(path, changed);
      // Without the key, the file has no checksum; readers check for their keys.
      const found = await hasWholeContent(path).catch((error: unknown) => error);
      if (found === undefined)
        expect(Object.keys((await readSafetensors(path)).metadata)).not.toContain(CHECKSUM_KEY);
      else if (found !== false) expect(found, `bit ${bit}`).toBeInstanceOf(InputError);
    }
  });

  it('is distinguished from one that was written without', async () => {
    await write(false);
    expect(await hasWholeContent(path)).toBeUndefined();
  });
});
