/** @file `emoq prepare-toy`: creates the toy corpus, and backbones with tokenizers for its words. */

import { join } from 'node:path';
import { formatDuration } from '../../base/index.js';
import type { ToyCorpusOptions, ToyCorpusSummary } from '../../data/corpora/toy/index.js';
import { choice, defineCommand, flag, option, wholeNumber } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { startProgress } from '../progress.js';
import { note, printResult } from '../terminal-output.js';

/** The emotion words of every recipe: toy4's own, and those of raw MELD or IEMOCAP trees once prepared. */
const EMOTION_WORDS =
  'neutral happy angry sad joy anger sadness surprise disgust fear excited frustrated undecided'.split(' ');
/** The words of chat turns and speaker names. */
const OTHER_WORDS = ['system', 'user', 'assistant', 'spk', 'Ses'];

export const prepareToyCommand = defineCommand({
  options: {
    out: option(
      '<folder>',
      'output folder of the corpus and its backbones (default: data/toy4, or data/toy-dialogues with --dialogues)',
    ),
    seed: option('<n>', 'the same seed gives the same files', { parse: wholeNumber(0), default: 0 }),
    speakers: option('<n>', 'number of speakers (default: 20, or 10 with --raw iemocap)', {
      parse: wholeNumber(5),
    }),
    utterances: option('<n>', 'utterances per speaker, a multiple of 4 (default: 32)', {
      parse: wholeNumber(4),
    }),
    raw: choice('<release>', 'write a raw release tree instead, for the other prepare commands', [
      'meld',
      'iemocap',
    ]),
    spoken: flag('let the voice speak the transcript instead of neutral syllables'),
    dialogues: flag(
      'dialogues of two speakers, in which the emotion depends on the words of the turn before',
    ),
    jobs: option('<n>', 'clips in parallel (default: one per core)', { parse: wholeNumber(1) }),
  },
  help: `
Writes a small synthetic corpus in which the four emotions can only be told
apart from voice and words together, and small random backbones in the real
formats.

Example:
  emoq prepare-toy`,
  run: async ({ out: folder, seed, speakers, utterances, raw, spoken, dialogues = false, jobs }) => {
    const out = folder ?? (dialogues ? 'data/toy-dialogues' : 'data/toy4');
    const { countsTable } = await import('./counts-table.js');
    const progress = startProgress({ label: 'writing', unit: 'clips' });
    const summary = await withInterrupts('finishing the current clips', (signal) =>
      prepareToy({
        ...{ out, seed, speakers, raw, jobs, signal },
        utterancesPerSpeaker: utterances,
        spoken: spoken === true,
        dialogues,
        onProgress: progress.update,
      }),
    ).finally(progress.finish);
    note(`toy backbones: ${summary.backbones}`);
    printResult(countsTable(summary.counts));
    const made = `${summary.utterances.toLocaleString('en')} utterances of ${summary.speakers} speakers`;
    printResult(`\n${made}, ${formatDuration(summary.durationSec)}: ${summary.path}`);
  },
});

/** Writes the corpus, then the backbones to `<out>/backbones`. @throws InputError, InterruptedError */
export async function prepareToy(
  options: ToyCorpusOptions,
): Promise<ToyCorpusSummary & { backbones: string }> {
  const { prepareToyCorpus } = await import('../../data/corpora/toy/index.js');
  const { buildByteLevelTokenizer } = await import('../../data/text/index.js');
  const { writeToyBackbones, writeToyRecogniser } = await import('../../data/toy-backbones/index.js');
  const corpus = await prepareToyCorpus(options);
  const backbones = join(options.out, 'backbones');
  const words = await toyWords();
  await writeToyBackbones(backbones, {
    seed: options.seed ?? 0,
    roberta: buildByteLevelTokenizer({ words, kind: 'roberta' }),
    qwen2: buildByteLevelTokenizer({ words, kind: 'qwen2' }),
  });
  await writeToyRecogniser(join(backbones, 'recogniser'), options.seed ?? 0);
  return { ...corpus, backbones };
}

/** Every word that a toy prompt can contain, so that each is one token and prompts stay short. */
async function toyWords(): Promise<string[]> {
  const { sentenceWords } = await import('../../data/corpora/toy/index.js');
  const { DEFAULT_PROMPT } = await import('../../data/text/index.js');
  const prompt = Object.values(DEFAULT_PROMPT).flatMap((text: string) => text.match(/\p{L}+/gu) ?? []);
  return [...new Set([...EMOTION_WORDS, ...OTHER_WORDS, ...prompt, ...sentenceWords()])];
}
