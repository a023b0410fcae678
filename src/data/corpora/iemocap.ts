/**
 * @file Prepares IEMOCAP from its raw release of five sessions of dialogs, and parses its ids, labels and transcripts.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError, lineError } from '../../base/index.js';
import {
  type CorpusMetadata,
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from './corpus-metadata.js';
import type { OtherTurn } from './manifest-info.js';
import { repairText } from './passages.js';
import {
  type CorpusPlan,
  type PlannedUtterance,
  type PreparationSummary,
  prepareCorpus,
  type ReleaseOptions,
  releasePlan,
  turnWithoutClip,
} from './preparation.js';

export interface IemocapOptions extends ReleaseOptions {
  /** The folder IEMOCAP_full_release. */
  root: string;
}

const SESSIONS = ['1', '2', '3', '4', '5'] as const;

/**
 * Prepares IEMOCAP: every labelled utterance, with codes spelled out (exc is excited; merging it into happy is up to a
 * view), the speaker from the id's last part, sessions '1' to '5', and transcripts with their tags. The utterances of a
 * dialog are in the order of time; what was said without a label or a clip is kept as a turn of its dialog.
 * @throws InputError when the tree is not IEMOCAP, a line cannot be parsed, or the counts differ from the metadata and
 *   `allowIncomplete` is off. InterruptedError when `signal` is aborted.
 */
export async function prepareIemocap(options: IemocapOptions): Promise<PreparationSummary> {
  const metadata = await readCorpusMetadata(options.metadataPath ?? corpusMetadataPath('iemocap'));
  return prepareCorpus(await planIemocap(resolve(options.root), metadata), options);
}

async function planIemocap(root: string, metadata: CorpusMetadata): Promise<CorpusPlan> {
  const plan = releasePlan('iemocap', root, metadata);
  const annotated: PlannedUtterance[] = [];
  for (const session of SESSIONS) {
    const dialogs = await listDialogs(root, session);
    if (dialogs.length === 0) plan.differences.push(`Session${session} has no EmoEvaluation files`);
    for (const dialog of dialogs) annotated.push(...(await planDialog(plan, session, dialog, metadata)));
  }
  if (annotated.length === 0) {
    throw new InputError(
      `${root} holds no Session1 to Session5 with dialog/EmoEvaluation: --root must be the folder IEMOCAP_full_release`,
    );
  }
  const rows = annotated.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.push(...countDifferences(metadata, rows)); // after the differences that cause them
  return plan;
}

/** Adds a dialog's usable utterances to the plan and returns all that are labelled. */
async function planDialog(
  plan: CorpusPlan,
  session: string,
  dialog: string,
  metadata: CorpusMetadata,
): Promise<PlannedUtterance[]> {
  const folder = join(plan.root, `Session${session}`);
  const codes = metadata.codes ?? {};
  const labelPath = join(folder, 'dialog', 'EmoEvaluation', `${dialog}.txt`);
  const labels = parseIemocapLabels(labelPath, repairText(await readFile(labelPath)), dialog, codes);
  const transcripts = await readTranscripts(plan, folder, dialog);
  const wavFolder = join(folder, 'sentences', 'wav', dialog);
  const wavs = new Set(await readdir(wavFolder).catch((): string[] => []));
  const others: OtherTurn[] = [];
  const annotated = turnsInTime(labels, transcripts ?? new Map()).flatMap(({ id, label, text }, turn) => {
    if (label === undefined) {
      others.push(...unlabelledTurn(id, text, turn, dialog));
      return [];
    }
    if (transcripts && !transcripts.has(id)) plan.differences.push(`${id} has no transcript`);
    const planned = planUtterance(label, text, codes[label.code]!, wavFolder);
    const placed = { ...planned, utterance: { ...planned.utterance, dialogue: dialog, turn } };
    if (wavs.has(`${id}.wav`)) plan.planned.push(placed);
    else {
      plan.skipped.push({ id, reason: 'clip missing' });
      plan.differences.push(`${id} has no clip`);
      others.push(...turnWithoutClip(placed.utterance));
    }
    return [placed];
  });
  plan.otherTurns = [...(plan.otherTurns ?? []), ...others];
  return annotated;
}

interface SpokenTurn {
  readonly id: string;
  /** Absent for speech that was not labelled. */
  readonly label: IemocapLabel | undefined;
  /** '' if it was not transcribed. */
  readonly text: string;
}

/** All that is said in a dialog, by when it begins. The release lists one speaker's turns after the other's. */
function turnsInTime(
  labels: readonly IemocapLabel[],
  transcripts: ReadonlyMap<string, IemocapTranscript>,
): SpokenTurn[] {
  const labelled = new Set(labels.map(({ id }) => id));
  const turns = [
    ...labels.map((label) => {
      const { id, startSec } = label;
      return { id, label, text: transcripts.get(id)?.text ?? '', startSec };
    }),
    ...[...transcripts].flatMap(([id, { text, startSec }]) =>
      labelled.has(id) ? [] : [{ id, label: undefined, text, startSec }],
    ),
  ];
  return turns.sort((a, b) => a.startSec - b.startSec);
}

/** A turn that was never labelled, such as `Ses01F_impro01_MXX0`; none without words. */
function unlabelledTurn(id: string, text: string, turn: number, dialogue: string): OtherTurn[] {
  const parts = /^(Ses0([1-5]))[FM]_\w+_([FM])[^_]+$/.exec(id);
  if (!parts) return [];
  const [, prefix, session, gender] = parts as unknown as [string, string, string, string];
  const speaker = `${prefix}${gender}`;
  return turnWithoutClip({ id, dialogue, turn, speaker, gender, text, session, split: '', label: '' });
}

function planUtterance(
  { id }: IemocapLabel,
  text: string,
  label: string,
  wavFolder: string,
): PlannedUtterance {
  const { session, speaker, gender } = parseIemocapId(id)!;
  return {
    utterance: { id, text, label, speaker, gender, session, split: '' },
    clip: { id, source: join(wavFolder, `${id}.wav`), target: `audio/session${session}/${id}.wav` },
  };
}

async function readTranscripts(
  plan: CorpusPlan,
  folder: string,
  dialog: string,
): Promise<Map<string, IemocapTranscript> | undefined> {
  const transcriptFolder = join(folder, 'dialog', 'transcriptions');
  const names = await readdir(transcriptFolder).catch((): string[] => []);
  if (!names.includes(`${dialog}.txt`)) {
    plan.differences.push(`${dialog} has no transcription file`);
    return undefined;
  }
  const path = join(transcriptFolder, `${dialog}.txt`);
  return parseIemocapTranscripts(path, repairText(await readFile(path)));
}

/** Dialogs, by their label files, without the raters' subfolders and `._*` stubs. */
async function listDialogs(root: string, session: string): Promise<string[]> {
  const folder = join(root, `Session${session}`, 'dialog', 'EmoEvaluation');
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const dialogs = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.txt') && !entry.name.startsWith('.'))
    .map((entry) => entry.name.slice(0, -'.txt'.length))
    .sort();
  for (const dialog of dialogs) {
    if (!dialog.startsWith(`Ses0${session}`)) {
      throw new InputError(`${join(folder, `${dialog}.txt`)} is not a dialog of session ${session}`);
    }
  }
  return dialogs;
}

/** One labelled utterance of IEMOCAP. */
export interface IemocapLabel {
  line: number;
  id: string;
  /** The three-letter code: neu, ang, xxx ... */
  code: string;
  startSec: number;
  endSec: number;
}

/** The parts of an id like `Ses03F_impro05a_M012`. */
export interface IemocapId {
  /** '3' */
  session: string;
  /** `Ses03F_impro05a`: F or M says who wore the markers, not who speaks. */
  dialog: string;
  /** `Ses03M`: the session with the gender from the LAST part of the id. */
  speaker: string;
  gender: 'F' | 'M';
}

/** Parses an id; undefined if it is not one. */
export function parseIemocapId(id: string): IemocapId | undefined {
  const parts = /^((Ses0([1-5]))[FM]_[A-Za-z0-9_]+)_([FM])\d+$/.exec(id);
  if (!parts) return undefined;
  const [, dialog, prefix, session, gender] = parts;
  return { session: session!, dialog: dialog!, speaker: `${prefix}${gender}`, gender: gender as 'F' | 'M' };
}

/**
 * Labels of one dialog from `dialog/EmoEvaluation/<dialog>.txt`. Accepts the `%` header, blank lines, label lines
 * (`[6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5000, 2.5000, 2.5000]`) and the raters' own lines
 * (`C-E2:`, `A-F1:` ...) after them.
 * @param codes label codes of the corpus
 * @throws InputError with file and line for any other line, an unknown code, an id of another dialog, a duplicate id
 */
export function parseIemocapLabels(
  path: string,
  text: string,
  dialog: string,
  codes: Readonly<Record<string, string>>,
): IemocapLabel[] {
  const labels: IemocapLabel[] = [];
  const lineOf = new Map<string, number>();
  for (const { line, content } of linesOf(text)) {
    if (content === '' || content.startsWith('%') || /^[CA]-\w+:/.test(content)) continue;
    const refuse = (what: string): never => {
      throw lineError(path, line, what);
    };
    const match =
      /^\[(\d+\.?\d*) - (\d+\.?\d*)\]\t(\S+)\t(\S+)\t\[(-?[\d.]+), (-?[\d.]+), (-?[\d.]+)\]$/.exec(content);
    if (!match) return refuse(`"${content.slice(0, 60)}" is not a label line, a rater's line or a header`);
    const [, start, end, id, code] = match as unknown as [string, string, string, string, string];
    if (parseIemocapId(id)?.dialog !== dialog) return refuse(`"${id}" is not an utterance of ${dialog}`);
    if (!Object.hasOwn(codes, code)) {
      return refuse(`label "${code}" is not one of ${Object.keys(codes).join(', ')}`);
    }
    if (Number(end) <= Number(start)) return refuse(`${id} ends at ${end} s, before it begins`);
    const earlier = lineOf.get(id);
    if (earlier !== undefined) return refuse(`${id} is on line ${earlier} already`);
    lineOf.set(id, line);
    labels.push({ line, id, code, startSec: Number(start), endSec: Number(end) });
  }
  return labels;
}

/** What was said, and when it begins in the dialog. */
export interface IemocapTranscript {
  text: string;
  startSec: number;
}

/**
 * Transcripts of one dialog from `dialog/transcriptions/<dialog>.txt`, by id: `Ses01F_impro01_F000 [006.2901-008.2357]:
 * Excuse me.` Ids with XX for digits, and lines of a speaker without an id (`M: Yeah.`), belong to speech that was
 * never cut out or labelled; the former are returned, the latter dropped.
 * @throws InputError with file and line for a line of another form, or an id with two transcripts
 */
export function parseIemocapTranscripts(path: string, text: string): Map<string, IemocapTranscript> {
  const transcripts = new Map<string, IemocapTranscript>();
  for (const { line, content } of linesOf(text)) {
    if (content === '' || /^[FM]:/.test(content)) continue;
    const match = /^(Ses0[1-5]\w+) \[(-?[\d.]+)\s*-\s*-?[\d.]+\]:(.*)$/.exec(content);
    if (!match) {
      throw lineError(path, line, `"${content.slice(0, 60)}" is not a transcript line`);
    }
    const [, id, start, spoken] = match as unknown as [string, string, string, string];
    if (transcripts.has(id)) throw lineError(path, line, `${id} has a transcript already`);
    transcripts.set(id, { text: spoken.trim(), startSec: Number(start) });
  }
  return transcripts;
}

function linesOf(text: string): { line: number; content: string }[] {
  return text.split(/\r?\n/).map((content, index) => ({ line: index + 1, content: content.trim() }));
}
