/** @file `emoq predict`: predicts the emotion of every recording of a table, a folder or a list. */

import { InvalidArgumentError } from 'commander';
import { ExitCode, type FileTarget, InputError, isSameFile, userTarget } from '../../base/index.js';
import type { Counts, JudgedRow, NamedRecogniser, WindowChoice } from '../../inference/index.js';
import type { Phase } from '../../systems/index.js';
import {
  backboneOption,
  channelOfOption,
  channelOption,
  choice,
  collect,
  defineCommand,
  deviceOption,
  devicesOption,
  flag,
  languageOption,
  type OptionsOf,
  option,
  precisionOption,
  refuseLoneLanguage,
  shardOption,
  threadsOption,
} from '../command-definition.js';
import { note, printResult, warn } from '../terminal-output.js';
import { noteRenamed, type RowTarget, refuseRecogniserFiles, rowTarget, withRows } from './row-target.js';

const options = {
  output: option('<file>', 'output file; - is stdout (default: a table on the terminal)', { short: 'o' }),
  run: option<readonly string[]>(
    '<folder>',
    'the run or experiment whose model predicts (stage 2 if there is one); repeated, several predict together: the mean of their probabilities',
    { parse: collect },
  ),
  bundle: option('<folder>', 'the bundle that predicts, as emoq export bundle writes it', {
    conflicts: ['run', 'backbone'],
  }),
  backbone: backboneOption,
  pathColumn: option('<name>', 'column of audio paths, relative to the table', { default: 'path' }),
  textColumn: option('<name>', 'column of transcripts', { default: 'text' }),
  speakerColumn: option('<name>', 'column of speakers', { default: 'speaker' }),
  format: choice('<format>', 'default: from the extension of the output', ['csv', 'tsv', 'jsonl']),
  shard: shardOption('predict part i of n, for emoq merge'),
  windows: option('<choice>', 'for longer recordings: auto (default), off, or seconds', {
    parse: parseWindows,
  }),
  transcribe: option(
    '<model>',
    'recognise the words of rows without a transcript, with this model (see emoq transcribe)',
  ),
  language: languageOption,
  timeline: option('<file>', 'an HTML page with the course of the emotions over each recording'),
  restart: flag('start an unfinished output over'),
  channel: channelOption,
  device: deviceOption,
  devices: devicesOption('share the recordings among these devices'),
  threads: threadsOption(),
  precision: precisionOption,
};

type PredictOptions = OptionsOf<typeof options>;

export const predictCommand = defineCommand({
  usage: '[options] <input...>',
  argument: {
    name: '<input...>',
    description:
      'a table (CSV, TSV, JSON Lines) of audio paths, with text, speaker, id, start, end, channel, gender and dialogue if known; or recordings, folders of them, patterns in quotes; or - for a list of paths on stdin',
  },
  options,
  missing: ({ run, bundle }) =>
    run === undefined && bundle === undefined ? ['--run <folder> or --bundle <folder>'] : [],
  help: `
Writes the input's columns, then label and probabilities for every row, in the
order of the input. If a row cannot be predicted, its column error gives the
reason, and the other rows continue. The column note has remarks on the
recording: clipped, silent, only its beginning used. Columns start and end of a
table (seconds, or 1:02.5) select a part of a recording, and a column channel
(1, 2, ... or mix) takes precedence over --channel. For a model that reads what
was said before (prompt.history), a column dialogue says which rows are turns of
one conversation, in their order. A recording that is longer
than the model takes is cut into windows of 3 to 15 s at its pauses: a row for
each, with its start and end, then one for the whole, their mean. --windows 5
cuts every 5 s instead, and off judges the beginning alone. With --transcribe, a
row or window without a transcript gets that of a recogniser, which is in the
column recognised. The exit code is 1 if no row could be predicted.

Rows that are done are in NAME.partial.csv until the output is complete. After
Ctrl-C, a kill or a full disk, the same command goes on after them.

Several runs, such as folds or seeds, predict together, whatever their systems:
  emoq predict calls.csv -o emotions.csv --run runs/toy4 --run runs/probe-toy4

Recordings by pattern, and by a list on stdin:
  emoq predict 'calls/**/*.wav' --run runs/toy4
  find calls -name '*.mp3' | emoq predict - -o - --format jsonl --run runs/toy4

Example:
  emoq predict calls.csv -o emotions.csv --run runs/toy4`,
  run: predict,
});

async function predict(options: PredictOptions, ...inputs: string[]): Promise<void> {
  const { predictionFormatOf } = await import('../../evaluation/index.js');
  const inference = await import('../../inference/index.js');
  const { namedModels, refuseModelFiles } = await import('./predict-model.js');
  const { output, pathColumn, textColumn, speakerColumn, shard } = options;
  const { restart = false, windows = 'auto' } = options;
  const target = await rowTarget<JudgedRow>(options, async () => {
    const { rowTable } = await import('./predict-table.js');
    return rowTable(process.stdout.columns || 80, printResult);
  });
  const timeline = await timelineTarget(options, target);
  const format = options.format ?? predictionFormatOf(output ?? '-');
  const named = await namedModels(options);
  const reading = inference.readingOf(named.members);
  const { views } = reading;
  const recogniser = await recogniserOf(options, views.text);
  if (views.text && reading.text === 'recognised' && recogniser === undefined) {
    note('the model was trained on recognised texts; --transcribe MODEL gives rows without a transcript one');
  }
  const channel = await channelOfOption(options.channel);
  const columns = { pathColumn, textColumn, speakerColumn };
  const needs = { ...views, audio: views.audio || recogniser !== undefined, dialogues: reading.turns > 0 };
  const source = { ...columns, needs, target: typeof target === 'function' ? undefined : target };
  const running = { ...options, source, label: 'predicting' };
  const counts = await withRows(inputs, running, async ({ source, compute, settings, onProgress }) => {
    if (output !== undefined) await refuseModelFiles(output, named);
    if (recogniser !== undefined) await refuseRecogniserFiles(output, recogniser);
    const job = {
      ...{ ...columns, channel, windows, format, shard, recogniser, settings },
      model: named.identity,
    };
    reviewDialogues(reading.turns, source.columns, recogniser);
    const plan = inference.planPrediction(source, reading, job);
    if (typeof target !== 'function') await inference.checkUnfinished(plan, target, restart);
    const { models, close } = await named.open(compute);
    for (const text of source.notes) note(text);
    noteRenamed(plan.layout.renamed);
    try {
      const counts = await inference.predictRows(models, plan, target, {
        ...{ compute, restart, onProgress, onNote: note },
      });
      if (timeline !== undefined) {
        await inference.writeTimeline(plan, output!, reading.labels, timeline.path);
      }
      return {
        ...counts,
        limit: models.find(({ phase }) => phase.textLimit !== undefined)?.phase.textLimit,
        needsGender: models.some(({ phase }) => phase.readsGender),
      };
    } finally {
      await close();
    }
  });
  await reportCounts(counts, { needsText: needs.text, textColumn });
  // Nothing else is printed after rows on stdout.
  if (output !== undefined && typeof target !== 'function' && target.kind === 'file') printResult(output);
}

/**
 * Says that a model of dialogues is given none.
 * @throws InputError if it would have to recognise what was said before: the words of rows that were judged earlier, or
 *   in another shard, are not kept
 */
function reviewDialogues(
  turns: number,
  columns: readonly string[],
  recogniser: NamedRecogniser | undefined,
): void {
  if (turns === 0) return;
  if (!columns.includes('dialogue')) {
    warn(
      `the model was trained with up to ${turns} earlier turns of each utterance's dialogue; without a column "dialogue", each row is judged alone`,
    );
  } else if (recogniser !== undefined) {
    throw new InputError(
      'the model reads earlier rows of a dialogue, whose words --transcribe does not keep; write them first ("emoq transcribe INPUT -o TEXTS --model MODEL"), then predict TEXTS (with --text-column recognised if INPUT has a column text), or take out the column "dialogue"',
    );
  }
}

/** @throws InputError if the model is no recogniser, or what it would recognise is not read */
async function recogniserOf(
  { transcribe: model, language }: PredictOptions,
  readsText: boolean,
): Promise<NamedRecogniser | undefined> {
  refuseLoneLanguage({ transcribe: model, language });
  if (model === undefined) return undefined;
  if (!readsText) {
    throw new InputError('--transcribe is of no use: the model was trained on audio only; leave it out');
  }
  const { namedRecogniser } = await import('../../inference/index.js');
  return namedRecogniser(model, { beam: 1, language });
}

/** @throws InputError for a timeline without an output file, which it is drawn from, or that is no file of its own */
async function timelineTarget(
  { timeline, output }: PredictOptions,
  target: RowTarget<JudgedRow>,
): Promise<FileTarget | undefined> {
  if (timeline === undefined) return undefined;
  if (typeof target === 'function' || target.kind !== 'file') {
    throw new InputError('--timeline is drawn from the output; name an output file with -o');
  }
  const page = await userTarget(timeline, '--timeline');
  if (page.kind !== 'file') throw new InputError('--timeline needs the name of an HTML file');
  if (page.path === target.path || (await isSameFile(page.path, target.path))) {
    throw new InputError(`timeline ${timeline} is the output ${output}; name another file`);
  }
  return page;
}

interface CountedRows extends Counts {
  readonly limit: Phase['textLimit'];
  readonly needsGender: boolean;
}

async function reportCounts(
  { rows, failed, textless, genderless, cut_texts, notes, limit, needsGender }: CountedRows,
  { needsText, textColumn }: { readonly needsText: boolean; readonly textColumn: string },
): Promise<void> {
  const { describeKinds } = await import('../../data/audio/index.js');
  const { OPTIONAL_COLUMNS } = await import('../../inference/index.js');
  const { cutTo } = await import('../../training/index.js');
  if (failed > 0) warn(`${failed} of ${rows} rows could not be predicted; see the column "error"`);
  if (rows > 0 && failed === rows) process.exitCode = ExitCode.failed;
  if (!needsText && textColumn !== OPTIONAL_COLUMNS.text) {
    warn(`--text-column ${textColumn} is not used: the model was trained on audio only`);
  }
  if (needsText && textless > 0) {
    warn(`${textless} of ${rows} rows have no transcript, but the model was trained with transcripts`);
  }
  if (cut_texts > 0 && limit) {
    warn(`${cut_texts} of ${rows} transcripts were ${cutTo(limit)}, as in training`);
  }
  if (needsGender && genderless > 0) {
    warn(`${genderless} of ${rows} rows have no gender, but the model's prompt was trained with it`);
  }
  const noted = describeKinds(Object.entries(notes));
  if (noted !== '') warn(`audio of ${rows} rows: ${noted}; see the column "note"`);
}

/** Parser of `off`, `auto` or seconds. */
function parseWindows(value: string): WindowChoice {
  if (value === 'off' || value === 'auto') return value;
  if (/^\d+(?:\.\d+)?$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It must be auto, off or a number of seconds.');
}
