/** @file Event files, compared byte by byte with those of TensorBoard's own writer (test/reference/event-files.py). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  encodeEvent,
  eventFileHeader,
  eventTimes,
  type ScalarEvent,
} from '../../src/training/runs/event-file.js';

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

  it('gives the times of its events, up to the first incomplete one', () => {
    const file = Buffer.from(fixture.base64, 'base64');
    const times = fixture.events.map(({ step, wallTimeSec }) => ({ step, wallTimeSec }));
    expect(eventTimes(file)).toEqual(times);
    for (let length = 0; length <= file.length; length++) {
      const read = eventTimes(file.subarray(0, length));
      expect(read).toEqual(times.slice(0, read.length));
    }
    const damaged = Buffer.from(file);
    damaged[damaged.length - 6]! ^= 1;
    expect(eventTimes(damaged)).toEqual(times.slice(0, -1));
    expect(eventTimes(Buffer.alloc(5000, 255))).toEqual([]);
  });
});
