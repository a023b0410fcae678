/** @file A toy corpus in the shape of the raw IEMOCAP release: five sessions of dialogs between two speakers. */

import { join } from 'node:path';
import { type Random, seededRandom } from '../../../engine/tensor/index.js';
import { encodeWav } from '../../audio/index.js';
import { SESSIONS } from './sentences.js';
import {
  type ClipWriter,
  renderUtterance,
  TOY_CLASSES,
  type ToyPlan,
  type ToyUtterance,
  utteranceSec,
  writeIfChanged,
} from './toy-corpus.js';
import { SAMPLE_RATE_HZ } from './voice.js';

/** A woman and a man in each session. */
export const IEMOCAP_SPEAKERS = 2 * SESSIONS;

/** Utterances of one dialog, `undecided` ones (raters disagreed) included. */
const DIALOG_SIZE = 16;

interface Turn {
  readonly id: string;
  readonly utterance: ToyUtterance;
  readonly code: string;
  readonly text: string;
  readonly startSec: number;
  readonly endSec: number;
  /** Valence, arousal and dominance, each 1 to 5. */
  readonly dimensions: readonly [number, number, number];
}

interface Dialog {
  readonly name: string;
  readonly folder: string;
  readonly turns: readonly Turn[];
}

/**
 * Writes the tree, with what makes the real one awkward: rater lines and folders, `._*` stubs, transcripts of speech
 * that was never cut out, undecided labels, and happiness under two codes.
 */
export async function writeRawIemocap(root: string, plan: ToyPlan, writeClips: ClipWriter): Promise<void> {
  const dialogs = Array.from({ length: SESSIONS }, (_, index) => planSession(root, plan, index + 1)).flat();
  for (const dialog of dialogs) await writeTexts(dialog);
  const clips = dialogs.flatMap(({ name, folder, turns }) =>
    turns.map(({ id, utterance }) => ({
      path: join(folder, 'sentences', 'wav', name, `${id}.wav`),
      utterance,
    })),
  );
  await writeClips(clips, ({ path, utterance }) =>
    writeIfChanged(path, encodeWav(renderUtterance(plan, utterance), SAMPLE_RATE_HZ)),
  );
}

function planSession(root: string, plan: ToyPlan, session: number): Dialog[] {
  const random = seededRandom(plan.options.seed, 'toy iemocap', session);
  const utterances = plan.utterances.filter(({ speaker }) => speaker.session === session);
  const dialogs: Dialog[] = [];
  for (let start = 0; start < utterances.length; start += DIALOG_SIZE) {
    const number = String(Math.floor(dialogs.length / 2) + 1).padStart(2, '0');
    const kind = dialogs.length % 2 === 0 ? `impro${number}` : `script${number}_1`;
    const markers = random.pick(['F', 'M']); // who wore the motion-capture markers: not who speaks
    const name = `Ses${String(session).padStart(2, '0')}${markers}_${kind}`;
    const members = utterances.slice(start, start + DIALOG_SIZE);
    const turns = planTurns(random, plan, name, members);
    dialogs.push({ name, folder: join(root, `Session${session}`), turns });
  }
  return dialogs;
}

function planTurns(random: Random, plan: ToyPlan, dialog: string, members: readonly ToyUtterance[]): Turn[] {
  const [doubtful] = members;
  // One more turn that the raters could not agree on, with a voice but no words to go by.
  const undecided: ToyUtterance = { ...doubtful!, id: `${dialog} undecided`, text: 'Okay. [LAUGHTER]' };
  const count = { F: 0, M: 0 };
  let clockSec = 4 + 4 * random.uniform();
  return [...members, undecided].map((utterance) => {
    const { gender } = utterance.speaker;
    const startSec = clockSec;
    const endSec = startSec + utteranceSec(plan, utterance);
    clockSec = endSec + 0.2 + 1.5 * random.uniform();
    return {
      id: `${dialog}_${gender}${String(count[gender]++).padStart(3, '0')}`,
      utterance,
      code: utterance === undecided ? 'xxx' : codeOf(utterance, random),
      text: utterance.text,
      startSec,
      endSec,
      dimensions: dimensionsOf(utterance, random),
    };
  });
}

function codeOf({ label }: ToyUtterance, random: Random): string {
  return { neutral: 'neu', angry: 'ang', sad: 'sad', happy: random.pick(['hap', 'exc']) }[label];
}

function dimensionsOf({ label }: ToyUtterance, random: Random): [number, number, number] {
  const { arousal, valence } = TOY_CLASSES.find((corner) => corner.label === label)!;
  const around = (centre: number): number => centre + 0.5 * random.integer(3) - 0.5;
  return [around(valence === 'positive' ? 3.5 : 2), around(arousal === 'high' ? 3.5 : 2), around(3)];
}

const CATEGORY: Readonly<Record<string, string>> = {
  neu: 'Neutral state',
  ang: 'Anger',
  sad: 'Sadness',
  hap: 'Happiness',
  exc: 'Excited',
  xxx: 'Other',
};

async function writeTexts({ name, folder, turns }: Dialog): Promise<void> {
  const evaluation = join(folder, 'dialog', 'EmoEvaluation');
  const labels = turns.map(({ id, code, startSec, endSec, dimensions }) => {
    const [valence, arousal, dominance] = dimensions.map((value) => value.toFixed(4));
    const [val, act, dom] = dimensions.map((value) => Math.round(value));
    return [
      `[${startSec.toFixed(4)} - ${endSec.toFixed(4)}]\t${id}\t${code}\t[${valence}, ${arousal}, ${dominance}]`,
      `C-E2:\t${CATEGORY[code]};\t()`,
      `C-E4:\t${code === 'xxx' ? 'Surprise' : CATEGORY[code]};\t()`,
      `A-E3:\tval ${val}; act ${act}; dom  ${dom};\t()`,
      '\n',
    ].join('\n');
  });
  const header = '% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n';
  const raters = turns.map(({ id, code }) => `${id} :${CATEGORY[code]}; ()\n`);
  const time = (sec: number): string => sec.toFixed(4).padStart(8, '0');
  const spoken = turns.map(
    ({ id, text, startSec, endSec }) => `${id} [${time(startSec)}-${time(endSec)}]: ${text}\n`,
  );
  const lastSec = turns.at(-1)!.endSec;
  const uncut = [`${name}_MXX0 [${time(lastSec + 1)}-${time(lastSec + 2)}]: Okay.\n`, 'F: Well.\n'];
  for (const [path, text] of [
    [join(evaluation, `${name}.txt`), header + labels.join('')],
    [join(evaluation, `._${name}.txt`), '\u0000\u0005\u0016\u0007'],
    [join(evaluation, 'Categorical', `${name}_e2_cat.txt`), raters.join('')],
    [join(folder, 'dialog', 'transcriptions', `${name}.txt`), [...spoken, ...uncut].join('')],
  ] as const) {
    await writeIfChanged(path, Buffer.from(text));
  }
}
