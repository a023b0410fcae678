/** @file YAML files as people write them by hand: what is not plain maps, lists and values is refused with its place. */

import { isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { InputError, oneLine, plainValueOf, readTextFile } from '../../base/index.js';

export interface YamlFile {
  readonly text: string;
  readonly value: unknown;
}

/**
 * Reads a YAML file of one document: keys are texts, each there once, aliases stand for something, and there are no
 * merge keys or tags.
 * @param what the file is, for messages.
 * @param schema 'failsafe' leaves every value as the text that it is: 03 is a label, not a number.
 * @throws InputError, one line, naming file, line and column.
 */
export async function readYamlFile(
  path: string,
  what: string,
  schema: 'core' | 'failsafe' = 'core',
): Promise<YamlFile> {
  const text = await readTextFile(path, what);
  const lines = new LineCounter();
  const refuse = (offset: number | undefined, problem: string): never => {
    const { line, col } = lines.linePos(offset ?? 0);
    throw new InputError(`${path}, line ${line}, column ${col}: ${problem}`);
  };
  const odd = text.indexOf('\ufffd'); // what stands for bytes that are none of UTF-8
  if (odd >= 0) {
    const { length } = text.slice(0, odd).split('\n');
    throw new InputError(`${path}, line ${length}: not UTF-8 text; save it as UTF-8`);
  }
  const parsed = plainValueOf(text, () => parsedValue(text, lines, schema, refuse));
  if ('value' in parsed) return { text, value: parsed.value };
  throw new InputError(
    oneLine(parsed.problem.startsWith(path) ? parsed.problem : `${path}: ${parsed.problem}`),
  );
}

function parsedValue(
  text: string,
  lines: LineCounter,
  schema: 'core' | 'failsafe',
  refuse: (offset: number | undefined, problem: string) => never,
): unknown {
  const document = parseDocument(text, {
    ...{ prettyErrors: false, schema, lineCounter: lines, merge: false },
    logLevel: 'error', // else what it thinks odd would go to stderr beside what we say of it
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem) refuse(problem.pos[0], problem.message.split('\n')[0]!);
  const at = (node: Node): number | undefined => node.range?.[0];
  visit(document, {
    Alias(_, node) {
      const isKnown = node.resolve(document) !== undefined;
      if (!isKnown)
        refuse(at(node), `there is no &${node.source} before *${node.source}; write the value out`);
    },
    Pair(_, { key }) {
      if (!isScalar(key) || (typeof key.value === 'object' && key.value !== null)) {
        const node = key as Node | null;
        refuse(node?.range?.[0], 'a key must be a text, not a list or a map');
      } else if (key.value === '<<') refuse(at(key), '<< is a merge key of YAML; write the keys out');
      else if (key.value === '__proto__' && schema === 'core') {
        refuse(at(key), '__proto__ is no key of this file');
      }
    },
  });
  return document.toJS(); // aliases of aliases, a small file that stands for a huge one, are refused here
}
