/** @file `emoq transcribe`: recognises what is said in every recording of a table, a folder or a list. */

import { ExitCode } from '../../base/index.js';
import type { Counts, TranscribedRow } from '../../inference/index.js';
import {
  channelOfOption,
  channelOption,
  choice,
  defineCommand,
  deviceOption,
  devicesOption,
  flag,
  languageOption,
  type OptionsOf,
  option,
  precisionOption,
  shardOption,
  threadsOption,
  wholeNumber,
} from '../command-definition.js';
import { note, printResult, warn } from '../terminal-output.js';
import { noteRenamed, refuseRecogniserFiles, rowTarget, withRows } from './row-target.js';

const options = {
  output: option('<file>', 'output file; - is stdout (default: texts on the terminal)', { short: 'o' }),
  model: option(
    '<name>',
    'the recogniser: a folder or a Hugging Face id of a model with a CTC head, or of a Whisper',
    {
      required: true,
    },
  ),
  beam: option('<n>', 'prefixes of the beam search; 1 is greedy', {
    parse: wholeNumber(1, 10_000),
    default: 1,
  }),
  language: languageOption,
  words: flag('also write the words, with their times in seconds and confidences'),
  pathColumn: option('<name>', 'column of audio paths, relative to the table', { default: 'path' }),
  textColumn: option('<name>', 'column of reference texts: prints error rates against them'),
  format: choice('<format>', 'default: from the extension of the output', ['csv', 'tsv', 'jsonl']),
  shard: shardOption('transcribe part i of n, for emoq merge'),
  restart: flag('start an unfinished output over'),
  channel: channelOption,
  device: deviceOption,
  devices: devicesOption('share the recordings among these devices'),
  threads: threadsOption(),
  precision: precisionOption,
};

type TranscribeOptions = OptionsOf<typeof options>;

export const transcribeCommand = defineCommand({
  usage: '[options] <input...>',
  argument: {
    name: '<input...>',
    description:
      'a table (CSV, TSV, JSON Lines) of audio paths, with id, start, end and channel if known; or recordings, folders of them, patterns in quotes; or - for a list of paths on stdin',
  },
  options,
  help: `
Writes the input's columns, then text and confidence for every row, in the order
of the input. A column text of the input is kept: the recognised text is then in
a column recognised. If a row cannot be transcribed, its column error gives the
reason, and the other rows continue. The exit code is 1 if no row could be.

The recogniser is a HuBERT, wav2vec 2.0, WavLM or UniSpeech-SAT with a CTC head
and a vocabulary of characters (vocab.json), or a whole Whisper. --beam 1 takes
the likeliest symbol of each frame; more prefixes cost time and find likelier
texts. Whisper takes the likeliest token each time; it has no --beam and no
--words. A multilingual one hears which language is spoken, unless --language
says it. A recording of more than 30 s is cut at its pauses into windows of up
to 15 s, and their texts are joined.

Rows that are done are in NAME.partial.csv until the output is complete. After
Ctrl-C, a kill or a full disk, the same command goes on after them.

Example:
  emoq transcribe calls.csv -o texts.csv --model facebook/hubert-large-ls960-ft`,
  run: transcribe,
});

async function transcribe(options: TranscribeOptions, ...inputs: string[]): Promise<void> {
  const { predictionFormatOf } = await import('../../evaluation/index.js');
  const inference = await import('../../inference/index.js');
  const { output, pathColumn, textColumn, shard, words = false, beam, language, restart = false } = options;
  const target = await rowTarget<TranscribedRow>(options, async () => showText);
  const format = options.format ?? predictionFormatOf(output ?? '-');
  const channel = await channelOfOption(options.channel);
  const recogniser = await inference.namedRecogniser(options.model, { beam, language, words });
  await refuseRecogniserFiles(output, recogniser);
  const source = {
    ...{ pathColumn, speakerColumn: inference.OPTIONAL_COLUMNS.speaker },
    textColumn: textColumn ?? inference.OPTIONAL_COLUMNS.text,
    needs: { audio: true, text: false },
    target: typeof target === 'function' ? undefined : target,
  };
  const running = { ...options, source, label: 'transcribing' };
  const counts = await withRows(inputs, running, async ({ source, compute, settings, onProgress }) => {
    const job = { pathColumn, textColumn, channel, format, shard, recogniser, words, settings };
    const plan = inference.transcriptionPlan(source, job);
    if (typeof target !== 'function') await inference.checkUnfinished(plan, target, restart);
    for (const text of source.notes) note(text);
    noteRenamed(plan.layout.renamed);
    return inference.transcribeRows(plan, target, { compute, restart, onProgress, onNote: note });
  });
  await reportCounts(counts);
  // Nothing else is printed after rows on stdout.
  const isFile = output !== undefined && typeof target !== 'function' && target.kind === 'file';
  if (counts.recognition !== undefined) await reportErrorRates(counts.recognition, isFile);
  if (isFile) printResult(output);
}

function showText(done: TranscribedRow): void {
  const text = done.kind === 'failed' ? `(error) ${done.error}` : done.text || '(nothing was recognised)';
  printResult(`${done.name || `row ${done.row.index + 1}`}: ${text}`);
}

async function reportCounts({ rows, failed, textless, notes }: Counts): Promise<void> {
  const { describeKinds } = await import('../../data/audio/index.js');
  if (failed > 0) warn(`${failed} of ${rows} rows could not be transcribed; see the column "error"`);
  if (rows > 0 && failed === rows) process.exitCode = ExitCode.failed;
  if (textless > 0) note(`in ${textless} of ${rows} rows nothing was recognised`);
  const noted = describeKinds(Object.entries(notes));
  if (noted !== '') warn(`audio of ${rows} rows: ${noted}; see the column "note"`);
}

/** A small table of the error rates: on stdout if rows are not there, else on stderr. */
async function reportErrorRates(
  { rows, words, characters, plain_words, plain_characters }: NonNullable<Counts['recognition']>,
  isFile: boolean,
): Promise<void> {
  const { errorRate, textTable } = await import('../../evaluation/index.js');
  const percent = (count: typeof words): string => errorRate(count)?.toFixed(1) ?? '-';
  const table = textTable(
    ['%', 'as written', 'without case and punctuation', 'of'],
    [
      ['WER', percent(words), percent(plain_words), `${words.of} words`],
      ['CER', percent(characters), percent(plain_characters), `${characters.of} characters`],
    ],
  );
  const title = `error rates of ${rows} texts against their references`;
  if (isFile) printResult(`${title}\n${table}\n`);
  else note(`${title}\n${table}`);
}
