/** @file Event files, held to the bytes that TensorBoard's own writer makes (test/reference/event-files.py). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeEvent, eventFileHeader, type ScalarEvent } from '../../src/train/run/event-file.js';

const fixture = JSON.parse(readFileSync(new URL('../fixtures/event-file.json', import.meta.url), 'utf8')) as {
  events: ScalarEvent[];
  base64: string;
};

describe('an event file', () => {
  it("has the bytes of TensorBoard's own: framing, checksums, header and scalars", () => {
    const ours = Buffer.concat([eventFileHeader(), ...fixture.events.map(encodeEvent)]);
    expect(ours.toString('base64')).toBe(fixture.base64);
    expect(fixture.events.length).toBeGreaterThan(4);
  });
});
