/** @file A toy corpus in the shape of the raw MELD release: three CSVs and three folders of video clips. */

import { join } from 'node:path';
import { pathExists } from '../../../base/index.js';
import { type Random, seededRandom } from '../../../engine/tensor/index.js';
import { writeMp4 } from '../../audio/index.js';
import { formatCsv } from '../../tables/index.js';
import type { ToySplit } from './sentences.js';
import {
  type ClipWriter,
  renderUtterance,
  type ToyLabel,
  type ToyPlan,
  type ToyUtterance,
  utteranceSec,
  writeIfChanged,
} from './toy-corpus.js';
import { SAMPLE_RATE_HZ } from './voice.js';

const COLUMNS = [
  'Sr No.',
  'Utterance',
  'Speaker',
  'Emotion',
  'Sentiment',
  'Dialogue_ID',
  'Utterance_ID',
  'Season',
  'Episode',
  'StartTime',
  'EndTime',
];

const FOLDERS: Readonly<Record<ToySplit, string>> = {
  train: 'train_splits',
  dev: 'dev_splits_complete',
  test: 'output_repeated_splits_test',
};

const MELD_NAMES: Readonly<Record<ToyLabel, readonly [emotion: string, sentiment: string]>> = {
  neutral: ['neutral', 'neutral'],
  happy: ['joy', 'positive'],
  sad: ['sadness', 'negative'],
  angry: ['anger', 'negative'],
};

interface Clip {
  readonly utterance: ToyUtterance;
  readonly path: string;
}

/** Writes the tree. Clips that are there already are kept: they are written whole or not at all. */
export async function writeRawMeld(
  root: string,
  plan: ToyPlan,
  writeClips: ClipWriter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const clips: Clip[] = [];
  for (const split of Object.keys(FOLDERS) as ToySplit[]) {
    const random = seededRandom(plan.options.seed, 'toy meld', split);
    const rows: string[][] = [];
    const utterances = plan.utterances.filter(({ speaker }) => speaker.split === split);
    for (const [dialogue, members] of dialogues(random, utterances).entries()) {
      const season = 1 + random.integer(10);
      const episode = 1 + random.integer(24);
      let clockSec = 30 + random.uniform() * 1200;
      for (const [index, utterance] of members.entries()) {
        clips.push({ utterance, path: join(root, FOLDERS[split], `dia${dialogue}_utt${index}.mp4`) });
        const startSec = clockSec;
        const endSec = startSec + utteranceSec(plan, utterance);
        clockSec = endSec + random.uniform() * 1.5;
        rows.push([
          String(rows.length + 1),
          utterance.text,
          utterance.speaker.id,
          ...MELD_NAMES[utterance.label],
          ...[dialogue, index, season, episode].map(String),
          clockTime(startSec),
          clockTime(endSec),
        ]);
      }
    }
    const csv = formatCsv(COLUMNS, rows).replaceAll('\n', '\r\n');
    await writeIfChanged(join(root, `${split}_sent_emo.csv`), Buffer.from(csv));
  }
  await writeClips(clips, async ({ utterance, path }) => {
    if (await pathExists(path)) return;
    // As in the release most clips are 5.1 and some stereo, whoever speaks.
    const stereo = seededRandom(plan.options.seed, 'toy meld layout', utterance.id).uniform() < 0.3;
    await writeMp4(path, renderUtterance(plan, utterance), {
      sampleRateHz: SAMPLE_RATE_HZ,
      layout: stereo ? 'stereo' : 'surround',
      signal,
    });
  });
}

/** Cuts a list into dialogues of 4 to 12 utterances. */
function dialogues(random: Random, utterances: readonly ToyUtterance[]): ToyUtterance[][] {
  const cut: ToyUtterance[][] = [];
  for (let start = 0; start < utterances.length; start += cut.at(-1)!.length)
    cut.push(utterances.slice(start, start + 4 + random.integer(9)));
  return cut;
}

/** `00:16:16,059` */
function clockTime(sec: number): string {
  const ms = Math.round(sec * 1000);
  const part = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const clock = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1000) % 60];
  return `${clock.map((value) => part(value)).join(':')},${part(ms % 1000, 3)}`;
}
