/**
 * @file A raw IEMOCAP release of real size and layout: 151 dialogs, 10,039 labelled utterances with the real counts,
 * and its faults. Words and voices are made up; clips are links to a few short ones.
 */

import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../../../src/engine/tensor/index.js';
import { put, toneWav } from './raw-trees.js';

/** Codes in the order of the columns below. */
const CODES = ['neu', 'ang', 'sad', 'hap', 'exc', 'fru', 'sur', 'fea', 'dis', 'oth', 'xxx'] as const;

interface Part {
  session: number;
  kind: 'impro' | 'script';
  dialogs: number;
  /** Utterances by code. */
  counts: readonly number[];
}

/**
 * Utterances by session and kind of dialog. Source: label lists of the release in public repositories (EmoBox for the
 * four classes, tae898/multimodal-datasets for all), counted; they agree with each other and with the totals in the
 * corpus' paper.
 */
const RELEASE_PARTS: readonly Part[] = [
  { session: 1, kind: 'impro', dialogs: 14, counts: [223, 62, 104, 33, 99, 104, 9, 0, 0, 0, 125] },
  { session: 1, kind: 'script', dialogs: 14, counts: [161, 167, 90, 102, 44, 176, 16, 12, 1, 1, 290] },
  { session: 2, kind: 'impro', dialogs: 16, counts: [217, 22, 100, 54, 137, 140, 11, 1, 0, 0, 106] },
  { session: 2, kind: 'script', dialogs: 14, counts: [145, 115, 97, 63, 73, 185, 6, 8, 0, 1, 330] },
  { session: 3, kind: 'impro', dialogs: 18, counts: [198, 90, 190, 60, 89, 215, 21, 0, 1, 0, 180] },
  { session: 3, kind: 'script', dialogs: 14, counts: [122, 150, 115, 75, 62, 167, 7, 2, 0, 0, 392] },
  { session: 4, kind: 'impro', dialogs: 16, counts: [174, 84, 81, 31, 164, 305, 10, 0, 0, 1, 210] },
  { session: 4, kind: 'script', dialogs: 14, counts: [84, 243, 62, 34, 74, 176, 9, 7, 0, 0, 354] },
  { session: 5, kind: 'impro', dialogs: 16, counts: [287, 31, 133, 106, 174, 207, 9, 7, 0, 0, 179] },
  { session: 5, kind: 'script', dialogs: 15, counts: [97, 139, 112, 37, 125, 174, 9, 3, 0, 0, 341] },
];

/** Tags, with their frequency in the release. */
const TAGS: readonly (readonly [string, number])[] = [
  ['[LAUGHTER]', 166],
  ['[BREATHING]', 57],
  ['[GARBAGE]', 32],
  ['[garbage]', 14],
  ['[LIPSMACK]', 1],
  ['[laughter]', 1],
];

/** Transcripts of speech that was never cut out or labelled. */
const EXTRA_TRANSCRIPTS = 46;
/** Dialogs with a letter after their number, which shifts the position of the speaker's letter by one. */
export const LETTERED_DIALOGS = 4;

const WORDS =
  'the a now well you I we go see know want think it that is was not here there what how why'.split(' ');

/** Writes the release. @returns the number of tags in its transcripts */
export function writeIemocapRelease(root: string): { tags: number } {
  const random = seededRandom(1, 'iemocap release');
  const clips = [0, 1, 2, 3].map((i) => {
    const path = join(root, '..', `clip${i}.wav`);
    put(path, toneWav(200 + 50 * i, 0.1));
    return path;
  });
  const total = RELEASE_PARTS.flatMap(({ counts }) => counts).reduce((sum, count) => sum + count, 0);
  const tagAt = placeTags(random, total);
  let utterance = 0;
  let extras = 0;
  for (const part of RELEASE_PARTS) {
    const codes = random.shuffle(part.counts.flatMap((count, i) => Array<string>(count).fill(CODES[i]!)));
    for (let dialog = 0; dialog < part.dialogs; dialog++) {
      const name = dialogName(part, dialog);
      const share = codes.slice(
        Math.floor((dialog * codes.length) / part.dialogs),
        Math.floor(((dialog + 1) * codes.length) / part.dialogs),
      );
      const hasExtra = extras < EXTRA_TRANSCRIPTS && dialog % 3 === 0;
      if (hasExtra) extras++;
      writeDialog(root, part.session, name, share, {
        random,
        clips,
        tagOf: (i) => tagAt.get(utterance + i),
        hasExtra,
      });
      utterance += share.length;
    }
  }
  return { tags: tagAt.size };
}

/** `Ses03F_impro05a`, `Ses03M_script01_1`: the letter is who wore the markers. */
function dialogName({ session, kind, dialogs }: Part, dialog: number): string {
  const markers = dialog % 2 === 0 ? 'F' : 'M';
  const number = Math.floor(dialog / 2) + 1;
  const lettered = dialog >= dialogs - LETTERED_DIALOGS / 2 ? ['a', 'b'][dialog % 2]! : '';
  const name =
    kind === 'impro'
      ? `impro${String(number).padStart(2, '0')}${session === 3 ? lettered : ''}`
      : `script${String(Math.floor((number - 1) / 3) + 1).padStart(2, '0')}_${((number - 1) % 3) + 1}${session === 5 ? lettered : ''}`;
  return `Ses0${session}${markers}_${name}`;
}

function placeTags(random: Random, utterances: number): Map<number, string> {
  const places = random.shuffle(Array.from({ length: utterances }, (_, i) => i));
  const tags = TAGS.flatMap(([tag, count]) => Array<string>(count).fill(tag));
  return new Map(tags.map((tag, i) => [places[i]!, tag]));
}

interface Material {
  random: Random;
  clips: readonly string[];
  tagOf: (index: number) => string | undefined;
  hasExtra: boolean;
}

function writeDialog(
  root: string,
  session: number,
  name: string,
  codes: readonly string[],
  { random, clips, tagOf, hasExtra }: Material,
): void {
  const folder = join(root, `Session${session}`);
  const wavs = join(folder, 'sentences', 'wav', name);
  mkdirSync(wavs, { recursive: true });
  const labels = ['% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]', ''];
  const transcripts: string[] = [];
  const turns = { F: 0, M: 0 };
  const clock = (sec: number): string => sec.toFixed(4).padStart(8, '0');
  for (const [index, code] of codes.entries()) {
    const gender = random.pick(['F', 'M'] as const);
    const id = `${name}_${gender}${String(turns[gender]++).padStart(3, '0')}`;
    const [start, end] = [index * 3 + 0.29, index * 3 + 2.4];
    labels.push(
      `[${start.toFixed(4)} - ${end.toFixed(4)}]\t${id}\t${code}\t[2.5000, 3.0000, 2.5000]`,
      'C-E1:\tNeutral;\t()',
      'C-E2:\tAnger; Frustration;\t(curious)',
      `C-${gender}1:\tOther;\t(hesitant)`,
      'A-E3:\tval 3; act 2; dom  2;\t()',
      `A-${gender}1:\tval 2; act 2; dom  3;\t()`,
      '',
    );
    const words = Array.from({ length: 3 + random.integer(9) }, () => random.pick(WORDS)).join(' ');
    const tag = tagOf(index);
    transcripts.push(`${id} [${clock(start)}-${clock(end)}]: ${words}.${tag ? ` ${tag}` : ''}`);
    linkSync(random.pick(clips), join(wavs, `${id}.wav`));
    if (index % 20 === 0) writeFileSync(join(wavs, `._${id}.wav`), '\0\x05\x16\x07');
  }
  if (hasExtra) transcripts.push(`${name}_MXX0 [999.0000-999.9000]: Mmhmm.`, 'M: [BREATHING]', 'F:');
  const files: [string, string][] = [
    [`EmoEvaluation/${name}.txt`, `${labels.join('\n')}\n`],
    [`EmoEvaluation/._${name}.txt`, '\0\x05\x16\x07'],
    [`EmoEvaluation/Attribute/${name}_e3_atr.txt`, `${name}_F000 :act 2; :val 3; :dom  2; ()\n`],
    [`EmoEvaluation/Categorical/${name}_e1_cat.txt`, `${name}_F000 :Neutral state; ()\n`],
    [`EmoEvaluation/Self-evaluation/${name}_f1_cat.anvil`, '<annotation/>\n'],
    [`transcriptions/${name}.txt`, `${transcripts.join('\n')}\n`],
    [`transcriptions/._${name}.txt`, '\0\x05\x16\x07'],
    [`wav/${name}.wav`, ''],
  ];
  for (const [path, text] of files) put(join(folder, 'dialog', path), text);
}
