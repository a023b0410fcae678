/** @file The timeline page of a prediction: the course of the emotions over its recordings. */

import { basename } from 'node:path';
import { userTarget, writeFileAtomic } from '../../base/index.js';
import type { JudgedRow, PartOutcome, PredictionSource } from '../../inference/index.js';
import type { TimelineRecording, TimelineWindow } from '../../report/index.js';

export interface Timeline {
  add(rows: readonly JudgedRow[]): void;
  /** Writes the page. @param source finds the recordings, which the page plays. @returns the number of its rows */
  write(source: PredictionSource, labels: readonly string[]): Promise<number>;
}

/** Collects rows for a page. @throws InputError when it cannot be a file */
export async function openTimeline(page: string): Promise<Timeline> {
  await userTarget(page, '--timeline');
  const judged: JudgedRow[] = [];
  return {
    add: (rows) => void judged.push(...rows),
    async write(source, labels) {
      const { audioAddress, renderTimeline } = await import('../../report/index.js');
      const recordings: TimelineRecording[] = [];
      for (const row of judged) {
        const file = row.name === '' ? undefined : await source.files.find(row.name).catch(() => undefined);
        recordings.push(recordingOf(row, file === undefined ? null : audioAddress(page, file)));
      }
      const title = `Emotions in ${recordings.length === 1 ? recordings[0]!.name : `${recordings.length} recordings`}`;
      await writeFileAtomic(page, renderTimeline({ title, labels, recordings }));
      return judged.length;
    },
  };
}

function recordingOf({ row, name, parts }: JudgedRow, audio: string | null): TimelineRecording {
  const whole = parts.at(-1)!;
  const windows = parts.length > 1 ? parts.slice(0, -1) : parts;
  const note = noteOf(whole);
  return {
    name: name === '' ? `row ${row.index + 1}` : basename(name),
    audio,
    windows: windows.flatMap((part) => windowOf(part)),
    whole: whole.kind === 'predicted' ? whole : undefined,
    durationSec: whole.endSec,
    note: note === '' ? undefined : note,
    error: whole.kind === 'failed' ? whole.error : undefined,
  };
}

function windowOf(part: PartOutcome): TimelineWindow[] {
  const { startSec, endSec } = part;
  if (startSec === undefined || endSec === undefined) return [];
  if (part.kind === 'failed') {
    return [{ startSec, endSec, label: null, probabilities: null, error: part.error }];
  }
  const { label, probabilities } = part;
  return [{ startSec, endSec, label, probabilities, note: noteOf(part) }];
}

function noteOf({ notes }: PartOutcome): string {
  return notes.map(({ kind, text }) => `${kind}: ${text}`).join('; ');
}
