/** @file IEMOCAP from its raw release: five sessions of dialogs to a prepared corpus. */

import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError } from '../../base/index.js';
import { type CorpusFacts, corpusFactsPath, countDifferences, readCorpusFacts } from './corpus-facts.js';
import {
  type IemocapLabel,
  parseIemocapId,
  parseIemocapLabels,
  parseIemocapTranscripts,
} from './iemocap-annotations.js';
import {
  type CorpusPlan,
  type PlannedUtterance,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';
import { repairText } from './text-repair.js';

export interface IemocapOptions extends PreparationOptions {
  /** The folder IEMOCAP_full_release. */
  root: string;
  /** Facts to check against; those that come with emoq by default. */
  factsPath?: string | undefined;
}

const SESSIONS = ['1', '2', '3', '4', '5'] as const;

/**
 * Prepares IEMOCAP: every labelled utterance, codes spelled out (exc is excited: merging it into happy is a view's
 * work), the speaker from the id's last part, sessions '1' to '5', transcripts with their tags.
 * @throws InputError when the tree is not IEMOCAP, a line cannot be understood, or the counts differ from the facts
 *   and `allowIncomplete` is off. InterruptedError when `signal` fires.
 */
export async function prepareIemocap(options: IemocapOptions): Promise<PreparationSummary> {
  const facts = await readCorpusFacts(options.factsPath ?? corpusFactsPath('iemocap'));
  return prepareCorpus(await planIemocap(resolve(options.root), facts), options);
}

async function planIemocap(root: string, facts: CorpusFacts): Promise<CorpusPlan> {
  const plan: CorpusPlan = {
    name: 'iemocap',
    source: `${facts.title}, ${facts.source}`,
    root,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(facts.known_bad.map(({ id, fault }) => [id, fault])),
  };
  const annotated: PlannedUtterance[] = [];
  for (const session of SESSIONS) {
    const dialogs = await listDialogs(root, session);
    if (dialogs.length === 0) plan.differences.push(`Session${session} has no EmoEvaluation files`);
    for (const dialog of dialogs) annotated.push(...(await planDialog(plan, session, dialog, facts)));
  }
  if (annotated.length === 0) {
    throw new InputError(
      `${root} holds no Session1 to Session5 with dialog/EmoEvaluation: --root must be the folder IEMOCAP_full_release`,
    );
  }
  const rows = annotated.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.push(...countDifferences(facts, rows)); // after what they come of
  return plan;
}

/** Adds a dialog's usable utterances to the plan and returns all that are labelled. */
async function planDialog(
  plan: CorpusPlan,
  session: string,
  dialog: string,
  facts: CorpusFacts,
): Promise<PlannedUtterance[]> {
  const folder = join(plan.root, `Session${session}`);
  const codes = facts.codes ?? {};
  const labelPath = join(folder, 'dialog', 'EmoEvaluation', `${dialog}.txt`);
  const labels = parseIemocapLabels(labelPath, repairText(await readFile(labelPath)), dialog, codes);
  const transcripts = await readTranscripts(plan, folder, dialog);
  const wavFolder = join(folder, 'sentences', 'wav', dialog);
  const wavs = new Set(await readdir(wavFolder).catch((): string[] => []));
  return labels.map((label) => {
    const text = transcripts?.get(label.id);
    if (transcripts && text === undefined) plan.differences.push(`${label.id} has no transcript`);
    const planned = planUtterance(label, text ?? '', codes[label.code]!, wavFolder);
    if (wavs.has(`${label.id}.wav`)) plan.planned.push(planned);
    else {
      plan.skipped.push({ id: label.id, reason: 'clip missing' });
      plan.differences.push(`${label.id} has no clip`);
    }
    return planned;
  });
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
): Promise<Map<string, string> | undefined> {
  const transcriptFolder = join(folder, 'dialog', 'transcriptions');
  const names = await readdir(transcriptFolder).catch((): string[] => []);
  if (!names.includes(`${dialog}.txt`)) {
    plan.differences.push(`${dialog} has no transcription file`);
    return undefined;
  }
  const path = join(transcriptFolder, `${dialog}.txt`);
  return parseIemocapTranscripts(path, repairText(await readFile(path)));
}

/** Dialogs by their label files; the raters' subfolders and `._*` stubs are not among them. */
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
