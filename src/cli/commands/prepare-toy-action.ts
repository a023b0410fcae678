/** @file `emoq prepare-toy` at work: the toy corpus, and backbones whose tokenizers know its words. */

import { join } from 'node:path';
import { formatDuration } from '../../base/index.js';
import {
  prepareToyCorpus,
  sentenceWords,
  type ToyCorpusOptions,
  type ToyCorpusSummary,
} from '../../data/corpora/toy/index.js';
import { buildByteLevelTokenizer, DEFAULT_PROMPT } from '../../data/text/index.js';
import { writeToyBackbones } from '../../data/toy-backbones/index.js';
import { withInterrupts } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { startProgress } from '../progress.js';
import { countsTable } from './counts-table.js';
import type { PrepareToyOptions } from './prepare-toy.js';

/** The emotion words of every recipe: toy4's own, and those that a raw MELD or IEMOCAP tree is prepared to. */
const EMOTION_WORDS =
  'neutral happy angry sad joy anger sadness surprise disgust fear excited frustrated undecided'.split(' ');
/** What chat turns and speaker names are made of. */
const OTHER_WORDS = ['system', 'user', 'assistant', 'spk', 'Ses'];

export async function run(options: PrepareToyOptions): Promise<void> {
  const progress = startProgress({ label: 'writing', unit: 'clips' });
  const summary = await withInterrupts('finishing the clips in hand', (signal) =>
    prepareToy({
      out: options.out,
      seed: options.seed,
      speakers: options.speakers,
      utterancesPerSpeaker: options.utterances,
      raw: options.raw,
      spoken: options.spoken === true,
      jobs: options.jobs,
      onProgress: progress.update,
      signal,
    }),
  ).finally(progress.finish);
  note(`toy backbones: ${summary.backbones}`);
  printResult(countsTable(summary.counts));
  const { utterances, speakers, durationSec, path } = summary;
  printResult(
    `\n${utterances.toLocaleString('en')} utterances of ${speakers} speakers, ${formatDuration(durationSec)}: ${path}`,
  );
}

/** Writes the corpus, then the backbones to `<out>/backbones`. @throws InputError, InterruptedError */
export async function prepareToy(
  options: ToyCorpusOptions,
): Promise<ToyCorpusSummary & { backbones: string }> {
  const corpus = await prepareToyCorpus(options);
  const backbones = join(options.out, 'backbones');
  const words = toyWords();
  await writeToyBackbones(backbones, {
    seed: options.seed ?? 0,
    roberta: buildByteLevelTokenizer({ words, kind: 'roberta' }),
    qwen2: buildByteLevelTokenizer({ words, kind: 'qwen2' }),
  });
  return { ...corpus, backbones };
}

/** Every word that a toy prompt can hold, so that each is one token and prompts stay short. */
function toyWords(): string[] {
  const prompt = Object.values(DEFAULT_PROMPT).flatMap((text: string) => text.match(/\p{L}+/gu) ?? []);
  return [...new Set([...EMOTION_WORDS, ...OTHER_WORDS, ...prompt, ...sentenceWords()])];
}
