/** @file Small raw releases with the real layouts and real clips, for the preparation tests. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeWav } from '../../../src/data/audio/index.js';
import { type Tone, writeTone } from '../audio/ffmpeg-clips.js';

/** Writes a file and creates its folder. */
export function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** A 16 kHz mono sine as WAV bytes. The encoder used is tested elsewhere. */
export function toneWav(hz: number, durationSec: number): Buffer {
  const samples = Float32Array.from(
    { length: Math.round(durationSec * 16_000) },
    (_, i) => 0.4 * Math.sin((2 * Math.PI * hz * i) / 16_000),
  );
  return encodeWav(samples, 16_000);
}

export interface MeldRow {
  text: string;
  speaker?: string;
  emotion: string;
  dialogue: number;
  utterance: number;
  start?: string;
  end?: string;
}

export const MELD_HEADER =
  'Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime';

/** CSV text as in the release: CRLF, times quoted because of their comma. */
export function meldCsv(rows: readonly MeldRow[]): string {
  const lines = rows.map((row, index) => {
    const { text, speaker = 'Chandler', emotion, dialogue, utterance } = row;
    const { start = '00:00:01,000', end = '00:00:01,500' } = row;
    const quoted = `"${text.replaceAll('"', '""')}"`;
    return `${index + 1},${quoted},${speaker},${emotion},neutral,${dialogue},${utterance},8,21,"${start}","${end}"`;
  });
  return [MELD_HEADER, ...lines, ''].join('\r\n');
}

/** Five front and back channels at 300, 400, 60, 700, 800 Hz and the centre at 500 Hz. */
export const SURROUND: Tone = {
  channelHz: [300, 400, 500, 60, 700, 800],
  layout: '5.1',
  durationSec: 0.5,
  video: true,
};
export const STEREO: Tone = { channelHz: [300, 600], layout: 'stereo', durationSec: 0.5, video: true };
export const MONO: Tone = { channelHz: [350], layout: 'mono', durationSec: 0.5, video: true };

/** Writes one clip of a MELD tree. */
export function meldClip(root: string, folder: string, name: string, tone: Tone): void {
  writeTone(join(root, folder, `${name}.mp4`), tone);
}

export interface IemocapLine {
  /** Part after the dialog, e.g. `F000`. */
  part: string;
  code: string;
  text?: string;
  hz?: number;
}

/** Writes one dialog of an IEMOCAP tree: labels with raters' lines, transcripts, clips. */
export function iemocapDialog(
  root: string,
  session: number,
  dialog: string,
  lines: readonly IemocapLine[],
): void {
  const folder = join(root, `Session${session}`);
  const labels = ['% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]', ''];
  const transcripts: string[] = [];
  lines.forEach(({ part, code, text = 'Excuse me.', hz = 300 }, index) => {
    const id = `${dialog}_${part}`;
    const [start, end] = [index + 0.2901, index + 0.6901];
    labels.push(
      `[${start.toFixed(4)} - ${end.toFixed(4)}]\t${id}\t${code}\t[2.5000, 2.5000, 2.5000]`,
      'C-E2:\tNeutral;\t()',
      'C-F1:\tNeutral; Anger;\t(curious)',
      'A-E3:\tval 3; act 2; dom  2;\t()',
      '',
    );
    const clock = (sec: number): string => sec.toFixed(4).padStart(8, '0');
    transcripts.push(`${id} [${clock(start)}-${clock(end)}]: ${text}`);
    put(join(folder, 'sentences', 'wav', dialog, `${id}.wav`), toneWav(hz, 0.4));
  });
  transcripts.push(`${dialog}_MXX0 [090.0000-091.0000]: Mmhmm.`, 'M: Yeah.');
  put(join(folder, 'dialog', 'EmoEvaluation', `${dialog}.txt`), `${labels.join('\n')}\n`);
  put(join(folder, 'dialog', 'transcriptions', `${dialog}.txt`), `${transcripts.join('\n')}\n`);
  // Other content of the release, and files that macOS adds: none of it is a label file.
  put(join(folder, 'dialog', 'EmoEvaluation', 'Categorical', `${dialog}_e1_cat.txt`), 'not a label file\n');
  put(join(folder, 'dialog', 'EmoEvaluation', `._${dialog}.txt`), '\0\x05\x16\x07');
  put(join(folder, 'dialog', 'transcriptions', `._${dialog}.txt`), '\0\x05\x16\x07');
}
