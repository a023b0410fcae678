/**
 * @file Writes a toy corpus: prepared (16 kHz WAVs and a manifest), or in the layout of a raw release, either IEMOCAP
 * (five sessions of dialogs between two speakers) or MELD (three CSVs and three folders of video clips).
 */

import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  InputError,
  makeOutputFolder,
  pathExists,
  quoted,
  readJson,
  writeFileAtomic,
} from '../../../base/index.js';
import { type Random, seededRandom } from '../../../engine/tensor/index.js';
import { encodeWav, writeMp4 } from '../../audio/index.js';
import { formatCsv } from '../../tables/index.js';
import { countLabels, type Utterance, writeManifest } from '../manifest.js';
import { SESSIONS, type ToySplit } from './sentences.js';
import {
  type ClipWriter,
  clipWriter,
  planToyCorpus,
  renderUtterance,
  TOY_CLASSES,
  type ToyCorpusOptions,
  type ToyCorpusSummary,
  type ToyForm,
  type ToyLabel,
  type ToyOptions,
  type ToyPlan,
  type ToyUtterance,
  utteranceSec,
  wordTimes,
  writeIfChanged,
} from './toy-corpus.js';
import { planToyDialogues } from './toy-dialogues.js';
import { SAMPLE_RATE_HZ } from './voice.js';

const NAME = 'toy4';
const DIALOGUES_NAME = 'toy-dialogues';
const RAW_ROOTS = { meld: 'MELD.Raw', iemocap: 'IEMOCAP_full_release' } as const;
/** Records the options of a raw tree, and marks the tree as ours to replace. */
const RAW_MARK = 'toy.json';

/**
 * Makes a toy corpus from its seed; the same options give the same bytes (for MP4 clips, with the same ffmpeg).
 * @throws InputError for invalid options, or a folder with other content; InterruptedError when `signal` is aborted:
 *   finished files are complete, and the same call continues
 */
export async function prepareToyCorpus(options: ToyCorpusOptions): Promise<ToyCorpusSummary> {
  const { raw, seed = 0, utterancesPerSpeaker = 32, spoken = false } = options;
  const speakers = options.speakers ?? (raw === 'iemocap' ? IEMOCAP_SPEAKERS : 20);
  if (raw === 'iemocap' && speakers !== IEMOCAP_SPEAKERS) {
    throw new InputError(
      `--speakers ${speakers}: an IEMOCAP tree has two speakers in each of five sessions; give ${IEMOCAP_SPEAKERS} or leave it out`,
    );
  }
  if (raw !== undefined && options.dialogues) {
    throw new InputError(`--raw ${raw} has dialogues of its own; leave out --dialogues`);
  }
  const planned = options.dialogues ? planToyDialogues : planToyCorpus;
  const plan = planned({ seed, speakers, utterancesPerSpeaker, spoken });
  const form: ToyForm = raw ?? 'corpus';
  const out = resolve(options.out);
  await requireFolder(out);
  await makeOutputFolder(options.out);
  const clips = clipWriter(out, options);

  if (!raw) return summarize(form, plan, await writePrepared(out, plan, clips));
  const root = join(out, RAW_ROOTS[raw]);
  await claimRawRoot(root, plan.options);
  const writeTree = raw === 'meld' ? writeRawMeld : writeRawIemocap;
  await writeTree(root, plan, clips, options.signal);
  return summarize(form, plan, root);
}

/** @throws InputError when the path exists and is not a folder */
async function requireFolder(out: string): Promise<void> {
  const found = await stat(out).catch(() => undefined);
  if (found && !found.isDirectory()) throw new InputError(`--out ${out} is a file; give a folder`);
}

async function writePrepared(out: string, plan: ToyPlan, clips: ClipWriter): Promise<string> {
  const corpus = plan.utterances.some(({ dialogue }) => dialogue !== undefined) ? DIALOGUES_NAME : NAME;
  const infoPath = join(out, 'manifest.json');
  if (await pathExists(infoPath)) {
    const { name } = ((await readJson(infoPath, 'manifest information')) ?? {}) as { name?: unknown };
    if (name !== corpus) {
      throw new InputError(
        `${out} holds the corpus ${quoted(name)} already; choose another folder with --out`,
      );
    }
  }
  const pathOf = ({ id }: ToyUtterance): string => join(out, 'audio', `${id}.wav`);
  await clips(plan.utterances, async (utterance) => {
    await writeIfChanged(pathOf(utterance), encodeWav(renderUtterance(plan, utterance), SAMPLE_RATE_HZ));
  });
  await removeSurplus(join(out, 'audio'), new Set(plan.utterances.map(({ id }) => `${id}.wav`)));
  const { seed, spoken } = plan.options;
  const { csvPath } = await writeManifest(out, {
    name: corpus,
    source: `emoq prepare-toy, seed ${seed}, ${spoken ? 'spoken transcripts' : 'neutral syllables'}`,
    utterances: plan.utterances.map((utterance) => ({
      ...manifestRow(utterance),
      words: wordTimes(plan, utterance),
      path: pathOf(utterance),
      durationSec: utteranceSec(plan, utterance),
    })),
  });
  return csvPath;
}

function manifestRow(utterance: ToyUtterance): Omit<Utterance, 'path' | 'durationSec'> {
  const { id, text, label, speaker, dialogue, turn } = utterance;
  const { gender, split } = speaker;
  return {
    ...{ id, text, label, speaker: speaker.id, gender, session: String(speaker.session), split },
    ...(dialogue !== undefined && { dialogue, turn }),
  };
}

function summarize(form: ToyForm, plan: ToyPlan, path: string): ToyCorpusSummary {
  const rows = plan.utterances.map((utterance) => ({ ...manifestRow(utterance), path: '', durationSec: 0 }));
  return {
    form,
    path,
    utterances: rows.length,
    speakers: plan.speakers.length,
    durationSec: plan.utterances.reduce((sum, utterance) => sum + utteranceSec(plan, utterance), 0),
    counts: countLabels(rows),
  };
}

/** Deletes clips of an earlier, larger toy corpus in the same folder. */
async function removeSurplus(folder: string, wanted: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/^toy_\d+\.wav$/.test(name) && !wanted.has(name)) await rm(join(folder, name));
  }
}

/**
 * Prepares the root of a raw tree. A tree with the same options is continued, one with other options is replaced.
 * @throws InputError when the folder is not a toy corpus
 */
async function claimRawRoot(root: string, options: ToyOptions): Promise<void> {
  const mark = Buffer.from(`${JSON.stringify({ corpus: NAME, ...options }, null, 2)}\n`);
  const markPath = join(root, RAW_MARK);
  if (await pathExists(root)) {
    const before = await readFile(markPath).catch(() => undefined);
    if (!before) {
      throw new InputError(
        `${root} exists and is not a toy corpus (it has no ${RAW_MARK}); choose another --out`,
      );
    }
    if (before.equals(mark)) return;
    await rm(root, { recursive: true });
  }
  await writeFileAtomic(markPath, mark);
}

/** A woman and a man per session. */
export const IEMOCAP_SPEAKERS = 2 * SESSIONS;

/** Utterances per dialog, including `undecided` ones (without agreement among raters). */
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
 * Writes the tree, including the difficulties of the real one: rater lines and folders, `._*` stubs, transcripts of
 * speech that was never cut out, undecided labels, and happiness under two codes.
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
    const markers = random.pick(['F', 'M']); // who wore the motion-capture markers, not who speaks
    const name = `Ses${String(session).padStart(2, '0')}${markers}_${kind}`;
    const members = utterances.slice(start, start + DIALOG_SIZE);
    const turns = planTurns(random, plan, name, members);
    dialogs.push({ name, folder: join(root, `Session${session}`), turns });
  }
  return dialogs;
}

function planTurns(random: Random, plan: ToyPlan, dialog: string, members: readonly ToyUtterance[]): Turn[] {
  const [template] = members;
  // One more turn without agreement among the raters, with a voice but no informative words.
  const undecided: ToyUtterance = { ...template!, id: `${dialog} undecided`, text: 'Okay. [LAUGHTER]' };
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

/** Writes the tree. Existing clips are kept, since they are written atomically. */
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
    // As in the release, most clips are 5.1 and some are stereo, whoever speaks.
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
