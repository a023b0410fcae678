/** @file `emoq eval`: scores a run, a cross-validation or anybody's predictions file, or compares two of them. */

import { type Command, Option } from 'commander';
import { addCorpusOptions, addDeviceOption, addThreadsOption, wholeNumber } from '../options.js';
import {
  FORMATS,
  parseResamples,
  parseSeedsOrAll,
  parseStage,
  RESAMPLE_SEED,
  RESAMPLES,
  UNITS,
} from './eval-options.js';

export function declare(command: Command): void {
  addCorpusOptions(command)
    .addOption(
      new Option('--predictions <file>', 'score this CSV or JSONL file').conflicts([
        ...['run', 'manifest', 'labelMap', 'stage', 'fold', 'folds', 'seeds', 'device', 'threads'],
      ]),
    )
    .addOption(
      new Option('--compare <two...>', 'compare two runs, experiments or predictions files').conflicts([
        ...['predictions', 'run', 'manifest', 'labelMap'],
      ]),
    )
    .option('--run <folder>', 'the run or experiment to score (default: runs/<dataset>)')
    .option(
      '--label-map <pairs>',
      "with --manifest: that corpus's labels as the run's, label=label,... or a YAML file",
    )
    .addOption(
      new Option('--fold <n>', 'score this fold of a cross-validation')
        .argParser(wholeNumber(1))
        .conflicts('folds'),
    )
    .option('--folds <k>', 'score the k folds of a cross-validation together', wholeNumber(2))
    .option(
      '--seeds <list>',
      'score the runs of these seeds (1,2,3), or of all, with mean and deviation',
      parseSeedsOrAll,
    )
    .option('--stage <n>', 'score the model of this stage (default: 2)', parseStage)
    .option(
      '--resamples <n>',
      `draws of the bootstrap behind the intervals, 0 for none (default: ${RESAMPLES.usual})`,
      parseResamples,
    )
    .addOption(
      new Option('--resample-by <unit>', 'what is drawn with replacement (default: utterance)').choices(
        UNITS,
      ),
    )
    .option('--resample-seed <n>', `seed of the bootstrap (default: ${RESAMPLE_SEED})`, wholeNumber(0))
    .addOption(new Option('--format <format>', 'how to print (default: text)').choices(FORMATS))
    .addOption(new Option('--json', 'print one JSON object, as --format json').conflicts('format'));
  addThreadsOption(addDeviceOption(command)).addHelpText(
    'after',
    `
Where nothing is named, the one experiment in runs that fits is scored. A run is
scored as it was trained: --dataset or --recipe finds it by its name, and a --set
that it was not trained with is refused.

With --manifest of another corpus a run is scored on that corpus, over the classes
that both have: its test split where it has splits, else all of it. --label-map
says which of its labels is which of the run's. Results go to cross/<corpus> in
the run's folder.

A predictions file needs the columns reference and label. With --dataset it is
scored over that recipe's labels and shown beside the paper's row. The
predictions.csv of a run is one: other formats and intervals need no new run of
the model.

Intervals are 95 % percentile bootstrap intervals over the test set. Utterances
of one speaker are alike: --resample-by speaker draws all of them together.

--compare A B tests whether two systems differ on the same utterances. Each is a
predictions file, a run, or an experiment with all its folds and seeds.

Example:
  emoq eval --dataset toy4`,
  );
}
