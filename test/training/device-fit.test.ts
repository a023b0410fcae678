/** @file Settings that fit into a device's memory, and advice where it is short, on phases with sizes made up for it. */

import { describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../src/base/index.js';
import {
  compareWithCard,
  memoryAdvice,
  optionsOf,
  overridesOf,
  withMemoryAdvice,
} from '../../src/training/device-fit.js';
import type { MemorySettings, SizedPhase } from '../../src/training/device-size.js';
import { fitSettings } from '../../src/training/index.js';

const GIB = 2 ** 30;

/** A phase whose activations are 12 GiB, a third with checkpointing, and whose state is 2 GiB a copy. */
function phaseOf(given: Partial<MemorySettings> = {}, options: Partial<SizedPhase> = {}): SizedPhase {
  const whole = { precision: 'bfloat16', activation_checkpointing: false, accumulate: 1, ...given } as const;
  return {
    name: 'stage2',
    title: 'stage 2',
    given: whole,
    batchSize: 8,
    languageModel: { stored: ['bfloat16'], packedElements: 6 * GIB },
    sized(settings) {
      const weightBytes = (settings.precision === 'float32' ? 28 : 14) * GIB;
      const stateBytes = (settings.oneStep ? 6 : 8) * GIB;
      const activations = settings.activation_checkpointing ? 4 : 12;
      const workingBytes = (activations / settings.accumulate) * GIB;
      const totalBytes = weightBytes + stateBytes + workingBytes + GIB;
      const memory = {
        ...{ weightBytes, stateBytes, workingBytes, totalBytes },
        ...{ contextBytes: GIB, takenBytes: totalBytes },
      };
      return { ...settings, memory, step: { batch: { batch: 8 }, microBatches: settings.accumulate } };
    },
    ...options,
  };
}

const chosenOf = (phase: SizedPhase, gib: number, given = {}): string | undefined => {
  const { chosen } = fitSettings(phase, gib * GIB, given);
  return chosen && optionsOf(phase, chosen);
};

describe('fitting settings into memory', () => {
  it('changes nothing that fits', () => {
    expect(chosenOf(phaseOf(), 35)).toBe('');
  });

  it('takes first what costs least', () => {
    const phase = phaseOf();
    expect(chosenOf(phase, 30)).toBe('--set stage2.activation_checkpointing=true');
    expect(chosenOf(phase, 25.5)).toBe(
      '--set stage2.activation_checkpointing=true --set stage2.accumulate=2',
    );
    expect(chosenOf(phase, 24)).toBe('--set stage2.activation_checkpointing=true --set stage2.accumulate=4');
    expect(chosenOf(phase, 23)).toBe(
      '--set stage2.activation_checkpointing=true --set stage2.accumulate=2 and one step at a time',
    );
    expect(chosenOf(phaseOf({ precision: 'float32' }), 40)).toBe('--precision bfloat16');
    expect(chosenOf(phaseOf({ accumulate: 2 }), 25.5)).toBe('--set stage2.activation_checkpointing=true');
  });

  it('keeps what is given', () => {
    const float32 = phaseOf({ precision: 'float32' });
    expect(chosenOf(float32, 41, { precision: true })).toBe('--set stage2.activation_checkpointing=true');
    expect(chosenOf(phaseOf(), 30, { activation_checkpointing: true })).toBe('--set stage2.accumulate=2');
    expect(chosenOf(phaseOf(), 25.5, { accumulate: true })).toBe(
      '--set stage2.activation_checkpointing=true and one step at a time',
    );
    const all = { precision: true, activation_checkpointing: true, accumulate: true };
    expect(chosenOf(phaseOf(), 20, all)).toBeUndefined();
  });

  it('leaves out what saves nothing', () => {
    const phase = phaseOf();
    const idle: SizedPhase = {
      ...phase,
      sized: (settings) => phase.sized({ ...settings, activation_checkpointing: false }),
    };
    expect(chosenOf(idle, 30)).toBe('--set stage2.accumulate=2');
  });

  it('leaves each micro-batch two utterances to compare', () => {
    expect(chosenOf(phaseOf({}, { batchSize: 3 }), 26)).toBe(
      '--set stage2.activation_checkpointing=true and one step at a time',
    );
  });

  it('names the least that it tried where nothing fits', () => {
    const { chosen, least } = fitSettings(phaseOf(), 10 * GIB);
    expect(chosen).toBeUndefined();
    expect(least).toMatchObject({ activation_checkpointing: true, accumulate: 4, oneStep: true });
    expect(least.memory.totalBytes).toBe(22 * GIB);
  });

  it('gives the recipe keys it changes as overrides', () => {
    const phase = phaseOf({ precision: 'float32' });
    const settings = { precision: 'bfloat16', activation_checkpointing: true, accumulate: 4 } as const;
    expect(overridesOf(phase, settings)).toEqual([
      'stage2.activation_checkpointing=true',
      'stage2.accumulate=4',
    ]);
    expect(overridesOf(phase, phase.given)).toEqual([]);
  });
});

describe('advice on memory', () => {
  it('says what helps and by how much', () => {
    expect(memoryAdvice(phaseOf({ precision: 'float32' }))).toBe(
      '--precision bfloat16 saves 14.0 GiB, --set stage2.activation_checkpointing=true 8.0 GiB, --set stage2.accumulate=4 9.0 GiB, a 4-bit checkpoint (emoq quantize) 20.5 GiB',
    );
    const stage1 = phaseOf({ activation_checkpointing: true, accumulate: 4 }, { languageModel: undefined });
    expect(memoryAdvice(stage1)).toBe('');
  });

  it('comes with a comparison with the card', () => {
    const phase = phaseOf(); // 35 GiB, or 33 step by step
    const card = (total: number, free = total) => ({ totalBytes: total * GIB, freeBytes: free * GIB });
    expect(compareWithCard(phase, 'cuda:0', card(80))).toEqual({ kind: 'enough', text: '' });
    expect(compareWithCard(phase, 'cuda:0', card(34))).toEqual({
      kind: 'one step',
      text: 'stage 2 runs step by step: several steps at a time would need about 35.0 GiB on cuda:0, of which 34.0 GiB of 34.0 GiB are free',
    });
    const advice =
      '--set stage2.activation_checkpointing=true saves 8.0 GiB, --set stage2.accumulate=4 9.0 GiB, a 4-bit checkpoint (emoq quantize) 8.5 GiB';
    expect(compareWithCard(phase, 'cuda:0', card(24))).toEqual({
      kind: 'short',
      text: `stage 2 needs about 33.0 GiB on cuda:0, which has 24.0 GiB: ${advice}`,
    });
    // What is assumed for CUDA itself alone is no reason to refuse.
    expect(compareWithCard(phase, 'cuda:0', card(32.5)).kind).toBe('tight');
    expect(compareWithCard(phase, 'cuda:0', card(80, 20))).toEqual({
      kind: 'tight',
      text: `stage 2 needs about 33.0 GiB on cuda:0, of which 20.0 GiB of 80.0 GiB are free: ${advice}`,
    });
    expect(compareWithCard(phase, 'cuda:0', undefined)).toEqual({
      kind: 'unknown',
      text: 'stage 2 needs about 35.0 GiB on cuda:0, whose memory nvidia-smi does not tell',
    });
  });

  it('follows an error that memory ran out, and no other', () => {
    const device = { kind: 'cuda', index: 0 } as const;
    const error = withMemoryAdvice(
      new OutOfMemoryError('cuda:0 ran out of memory in a run'),
      phaseOf(),
      device,
    );
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect((error as Error).message).toMatch(
      /^cuda:0 ran out of memory in a run; stage 2 needs about 35\.0 GiB on cuda:0: --set stage2\.activation_checkpointing=true saves 8\.0 GiB, /,
    );
    const other = new Error('something else');
    expect(withMemoryAdvice(other, phaseOf(), device)).toBe(other);
    expect(withMemoryAdvice(other, undefined, device)).toBe(other);
  });
});
