/**
 * @file The checkpoints of a run and their checksums: damage is reported, and a kill at any moment leaves a usable run.
 */

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InputError, sha256OfFile } from '../../src/base/index.js';
import { float32, seededRandom, writeSafetensors } from '../../src/engine/tensor/index.js';
import { type RunFolder, runFolder } from '../../src/training/runs/folder.js';
import {
  keepParameters,
  settleCheckpoint,
  verifyCheckpoint,
  verifyUnfinished,
} from '../../src/training/runs/kept-checkpoints.js';
import { type RunMetadata, readMetadata, writeMetadata } from '../../src/training/runs/metadata.js';
import { positionMetadata, verifyState } from '../../src/training/runs/run-state.js';
import { runMetadata } from './run-metadata.js';

let root: string;
let folder: RunFolder;
const metadata = runMetadata({ checkpoint: null, checkpoints: {} });
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'emoq-kept-'));
  folder = runFolder(join(root, 'run'));
  mkdirSync(folder.dir);
  await writeMetadata(folder, metadata);
});
afterEach(() => rmSync(root, { recursive: true }));

const parametersOf =
  (value: number) =>
  (path: string): Promise<void> =>
    writeSafetensors(path, [['w', float32([4], [value, 1, 2, 3])]]);
const keep = (epoch: number, selected: boolean): Promise<void> =>
  keepParameters(folder, { epoch, selected: selected ? epoch : undefined, keep: 2 }, parametersOf(epoch));
const saveState = (): Promise<void> =>
  writeSafetensors(
    folder.state,
    [['w', float32([2], [1, 2])]],
    positionMetadata({ step: 1, epoch: 1, metricsBytes: 0, best: null }),
    { checksum: true },
  );
const now = async (): Promise<RunMetadata> => (await readMetadata(folder))!;
const verify = async (): Promise<string | undefined> => (await verifyCheckpoint(folder, await now())).warning;

describe('the checkpoints of a run', () => {
  it('are in run.json with their checksums, those of the last epochs by name', async () => {
    for (const [epoch, selected] of [
      [1, true],
      [2, true],
      [3, false],
    ] as const)
      await keep(epoch, selected);
    const { checkpoint, checkpoints } = await now();
    expect(checkpoint).toEqual({ sha256: await sha256OfFile(folder.checkpoint) });
    expect(checkpoints).toEqual({
      'epoch-002.safetensors': checkpoint!.sha256,
      'epoch-003.safetensors': await sha256OfFile(join(folder.checkpoints, 'epoch-003.safetensors')),
    });
    expect(await verify()).toBeUndefined();
    // The checkpoint of an epoch in place of the run's own, which is reported.
    cpSync(join(folder.checkpoints, 'epoch-003.safetensors'), folder.checkpoint);
    expect(await verify()).toBe(
      `${folder.checkpoint} is a copy of ${join('checkpoints', 'epoch-003.safetensors')}, not of the selected epoch`,
    );
  });

  it('are refused in one line when they are damaged, from another run, or missing', async () => {
    await keep(1, true);
    await saveState();
    await parametersOf(9)(folder.checkpoint);
    await expect(verify()).rejects.toThrow(InputError);
    // Worked out first: a rejection that nobody waits for yet ends the run of the tests.
    const found = (await sha256OfFile(folder.checkpoint)).slice(0, 12);
    const recorded = (await now()).checkpoint!.sha256.slice(0, 12);
    await expect(verify()).rejects.toThrow(
      `checkpoint ${folder.checkpoint} is damaged or was replaced: its SHA-256 is ${found}..., in ${folder.metadata} it is ${recorded}...; restore a good copy`,
    );
    await expect(verifyUnfinished(folder, await now())).rejects.toThrow('is damaged or was replaced');
    rmSync(folder.checkpoint);
    await expect(verifyUnfinished(folder, await now())).rejects.toThrow(
      'of the best epoch so far is missing',
    );
    await writeMetadata(folder, metadata);
    await parametersOf(9)(folder.checkpoint); // run.json has no checksum
    await expect(verify()).rejects.toThrow('it is none;');
  });

  it('of an emoq that recorded nothing are opened, with a warning', async () => {
    const { checkpoint: _checkpoint, checkpoints: _checkpoints, ...old } = metadata;
    await writeMetadata(folder, old);
    await parametersOf(1)(folder.checkpoint);
    expect(await verify()).toMatch(/recorded no SHA-256 .* cannot be verified$/);
    await saveState();
    expect(await verifyUnfinished(folder, await now())).toMatch(/cannot be verified$/);
    // After resuming, they are recorded.
    await settleCheckpoint(folder);
    expect(await verify()).toBeUndefined();
  });

  it('are known to run.json whatever moment the process is killed at, twice in a row too', async () => {
    await saveState();
    await keep(1, true);
    const first = await sha256OfFile(folder.checkpoint);
    const other = join(root, 'other.safetensors');
    await parametersOf(2)(other);
    const second = await sha256OfFile(other);
    // Killed before and after the new file was renamed into place.
    for (const value of [1, 2]) {
      await writeMetadata(folder, { ...metadata, checkpoint: { sha256: second, replaces: first } });
      await parametersOf(value)(folder.checkpoint);
      const present = await sha256OfFile(folder.checkpoint);
      expect(await verify()).toBeUndefined();
      expect(await verifyUnfinished(folder, await now())).toBeUndefined();
      // After resuming, the next one replaces the existing file, not the planned one.
      await settleCheckpoint(folder);
      expect((await now()).checkpoint).toEqual({ sha256: present });
      let meanwhile: RunMetadata | undefined;
      await keepParameters(folder, { epoch: 2, selected: 2, keep: 1 }, async (path) => {
        await parametersOf(3)(path);
        meanwhile = await now();
      });
      expect(meanwhile!.checkpoint).toEqual({ sha256: present });
      expect((await now()).checkpoint).toEqual({ sha256: await sha256OfFile(folder.checkpoint) });
    }
  });

  it('of an earlier epoch become those of the run only as they were written', async () => {
    await keep(1, true);
    await keep(2, false);
    const before = await sha256OfFile(folder.checkpoint);
    const select = (): Promise<void> =>
      keepParameters(folder, { epoch: 3, selected: 2, keep: 2 }, parametersOf(3));
    const second = join(folder.checkpoints, 'epoch-002.safetensors');
    const whole = readFileSync(second);
    const flipped = Buffer.from(whole);
    flipped[flipped.length - 3]! ^= 1;
    writeFileSync(second, flipped);
    await expect(select()).rejects.toThrow(`checkpoint ${second} is damaged or was replaced`);
    expect(await sha256OfFile(folder.checkpoint)).toBe(before);
    expect((await now()).checkpoint).toEqual({ sha256: before });
    writeFileSync(second, whole);
    await select();
    expect(await sha256OfFile(folder.checkpoint)).toBe(await sha256OfFile(second));
    expect(await verify()).toBeUndefined();
  });

  it('killed between run.json and the file, resume from the one on disk', async () => {
    await saveState();
    const failing = async (): Promise<void> => {
      // A folder blocks the file's name: the state that a kill at that moment leaves.
      mkdirSync(folder.checkpoint);
      writeFileSync(join(folder.checkpoint, 'in the way'), '');
      await expect(keep(1, true)).rejects.toThrow();
      rmSync(folder.checkpoint, { recursive: true });
    };
    await failing();
    expect((await now()).checkpoint).toMatchObject({ replaces: null });
    expect(await verifyUnfinished(folder, await now())).toBeUndefined();
    await settleCheckpoint(folder);
    expect((await now()).checkpoint).toBeNull();
    expect(existsSync(folder.checkpoint)).toBe(false);
    expect(readdirSync(folder.dir).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('a saved state', () => {
  it('is refused with any of 200 bits changed, and passes without a checksum as an earlier emoq wrote it', async () => {
    await saveState();
    const whole = readFileSync(folder.state);
    await verifyState(folder.state);
    const random = seededRandom(3, 'flips');
    for (let flip = 0; flip < 200; flip++) {
      const bytes = Buffer.from(whole);
      bytes[Math.floor(random.uniform() * bytes.length)]! ^= 1 << Math.floor(random.uniform() * 8);
      writeFileSync(folder.state, bytes);
      await expect(verifyState(folder.state)).rejects.toThrow(InputError);
    }
    await writeSafetensors(
      folder.state,
      [['w', float32([1], [1])]],
      positionMetadata({ step: 1, epoch: 1, metricsBytes: 0, best: null }),
    );
    await verifyState(folder.state);
  });
});
