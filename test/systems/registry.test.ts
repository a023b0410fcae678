/** @file The registry of systems: what is looked up by a name alone must not depend on the system. */

import { expect, it } from 'vitest';
import { phasesOfSystems, systemKinds, systemNamed } from '../../src/systems/index.js';

it('every system has its own name', () => {
  expect(new Set(systemKinds).size).toBe(systemKinds.length);
});

it('every phase has its own name, since titles and run folders are looked up by it', () => {
  const names = phasesOfSystems.flat();
  expect(names).toEqual(expect.arrayContaining(['stage1', 'stage2', 'probe']));
  expect(new Set(names).size).toBe(names.length);
});

it('every phase with a prompt is a phase of its system', () => {
  for (const kind of systemKinds) {
    const { phaseTitles, promptedPhases } = systemNamed(kind)!;
    for (const phase of promptedPhases) expect(Object.keys(phaseTitles)).toContain(phase);
  }
});
