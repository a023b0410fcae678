/** @file What people call their splits, as train, dev and test. */

/** In small letters. */
const NAMES: Readonly<Record<'train' | 'dev' | 'test', readonly string[]>> = {
  train: ['train', 'training', 'trn', 'train_set', 'trainset'],
  dev: ['dev', 'devel', 'development', 'val', 'valid', 'validation', 'validate', 'dev_set', 'val_set'],
  test: ['test', 'testing', 'tst', 'test_set', 'testset'],
};

/** Of validation where the table has a test split too, of testing where it has another one for validation. */
const EVALUATION = ['eval', 'evaluation'];

/** As messages list them. */
export const SPLIT_NAMES_TEXT =
  'train, dev or test (or training, val, valid, validation, development, eval, testing)';

export interface SplitReading {
  /** train, dev or test; '' for ''; undefined for a name that is none of theirs. */
  of(name: string): string | undefined;
  /** One line for those under other names; undefined where there are none. */
  readonly note: string | undefined;
}

/** How to read the split names of one table, whatever their capitals. @param names without outer spaces, '' for none */
export function readSplitNames(names: Iterable<string>): SplitReading {
  const given = new Set([...names].filter((name) => name !== ''));
  const plain = (name: string): string => name.toLowerCase().replace(/[\s-]+/g, '_');
  const splits = Object.entries(NAMES);
  const usual = (name: string): string | undefined =>
    splits.find(([, others]) => others.includes(plain(name)))?.[0];
  const found = new Set([...given].map(usual));
  const evaluation = found.has('dev') && !found.has('test') ? 'test' : 'dev';
  const of = (name: string): string | undefined => {
    if (name === '') return '';
    return EVALUATION.includes(plain(name)) ? evaluation : usual(name);
  };
  const renamed = [...given].filter((name) => of(name) !== undefined && of(name) !== name);
  const readings = renamed.map((name) => `"${name}" as ${of(name)}`);
  return { of, note: renamed.length === 0 ? undefined : `splits are read so: ${readings.join(', ')}` };
}
