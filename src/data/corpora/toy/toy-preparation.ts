/** @file Writes a toy corpus: prepared (16 kHz WAVs and a manifest), or as a raw MELD or IEMOCAP tree. */

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
import { encodeWav } from '../../audio/index.js';
import { countLabels, type Utterance, writeManifest } from '../manifest.js';
import { IEMOCAP_SPEAKERS, writeRawIemocap } from './raw-iemocap.js';
import { writeRawMeld } from './raw-meld.js';
import {
  type ClipWriter,
  clipWriter,
  planToyCorpus,
  renderUtterance,
  type ToyCorpusOptions,
  type ToyCorpusSummary,
  type ToyForm,
  type ToyOptions,
  type ToyPlan,
  type ToyUtterance,
  utteranceSec,
  writeIfChanged,
} from './toy-corpus.js';
import { SAMPLE_RATE_HZ } from './voice.js';

const NAME = 'toy4';
const RAW_ROOTS = { meld: 'MELD.Raw', iemocap: 'IEMOCAP_full_release' } as const;
/** Names the options that a raw tree was made from, and thereby that it is ours to replace. */
const RAW_MARK = 'toy.json';

/**
 * Makes a toy corpus from its seed; the same options give the same bytes (for MP4 clips: with the same ffmpeg).
 * @throws InputError for options that cannot be, or a folder that holds something else; InterruptedError when `signal`
 *   fires: what is written is whole, and the same call goes on.
 */
export async function prepareToyCorpus(options: ToyCorpusOptions): Promise<ToyCorpusSummary> {
  const { raw, seed = 0, utterancesPerSpeaker = 32, spoken = false } = options;
  const speakers = options.speakers ?? (raw === 'iemocap' ? IEMOCAP_SPEAKERS : 20);
  if (raw === 'iemocap' && speakers !== IEMOCAP_SPEAKERS) {
    throw new InputError(
      `--speakers ${speakers}: an IEMOCAP tree has two speakers in each of five sessions; give ${IEMOCAP_SPEAKERS} or leave it out`,
    );
  }
  const plan = planToyCorpus({ seed, speakers, utterancesPerSpeaker, spoken });
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

/** @throws InputError when the path is there and no folder. */
async function requireFolder(out: string): Promise<void> {
  const found = await stat(out).catch(() => undefined);
  if (found && !found.isDirectory()) throw new InputError(`--out ${out} is a file; give a folder`);
}

async function writePrepared(out: string, plan: ToyPlan, clips: ClipWriter): Promise<string> {
  const infoPath = join(out, 'manifest.json');
  if (await pathExists(infoPath)) {
    const { name } = ((await readJson(infoPath, 'manifest information')) ?? {}) as { name?: unknown };
    if (name !== NAME) {
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
    name: NAME,
    source: `emoq prepare-toy, seed ${seed}, ${spoken ? 'spoken transcripts' : 'neutral syllables'}`,
    utterances: plan.utterances.map((utterance) => ({
      ...manifestRow(utterance),
      path: pathOf(utterance),
      durationSec: utteranceSec(plan, utterance),
    })),
  });
  return csvPath;
}

function manifestRow({ id, text, label, speaker }: ToyUtterance): Omit<Utterance, 'path' | 'durationSec'> {
  const { gender, split } = speaker;
  return { id, text, label, speaker: speaker.id, gender, session: String(speaker.session), split };
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

/** Clips of an earlier, larger toy corpus in the same folder. */
async function removeSurplus(folder: string, wanted: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/^toy_\d+\.wav$/.test(name) && !wanted.has(name)) await rm(join(folder, name));
  }
}

/**
 * Readies the root of a raw tree. A tree that we made from the same options is gone on with, one from other options is
 * replaced.
 * @throws InputError when the folder is somebody's own.
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
