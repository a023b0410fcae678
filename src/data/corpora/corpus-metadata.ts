/**
 * @file Metadata of published corpora (`data-manifests/*.yaml`): counts, labels and known faults, checks against them,
 * and a strict YAML reader.
 */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { InputError, oneLine, plainValueOf, readTextFile, sha256Of } from '../../base/index.js';
import { type LayoutProblem, layoutProblems, layoutSchema } from './description/release-layout.js';
import { languageTags } from './language-tags.js';
import { countLabels, type Utterance } from './manifest.js';
import type { LabelCounts } from './manifest-info.js';

const counts = z.record(z.string(), z.number().int().min(0));
const seconds = z.number().min(0);

const metadataSchema = z.strictObject({
  corpus: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u, {
    error: 'must be letters, digits, spaces, dots, dashes and underscores',
  }),
  title: z.string().min(1),
  source: z.string().default(''),
  licence: z.string().default(''),
  /** Languages of the speech, as BCP 47 tags. */
  language: languageTags.optional(),
  ...layoutSchema,
  /** The label codes of a release that is read by code. */
  codes: z.record(z.string(), z.string()).optional(),
  labels: z.array(z.string()).min(1),
  /** Keys are labels, or several joined by `+` and counted together. */
  counts: z
    .strictObject({
      total: counts.optional(),
      split: z.record(z.string(), counts).optional(),
      session: z.record(z.string(), counts).optional(),
    })
    .default({}),
  /** Label sets and parts used in published work, with the keys of recipes; counts per split or session. */
  views: z
    .record(
      z.string(),
      z.strictObject({
        labels: z.array(z.string()).min(1),
        label_map: z.record(z.string(), z.string()).optional(),
        id_pattern: z.string().optional(),
        counts,
      }),
    )
    .default({}),
  known_bad: z.array(z.strictObject({ id: z.string(), fault: z.string() })).default([]),
  clip_rule: z
    .strictObject({
      factor: z.number().min(1),
      slack_sec: seconds,
      longest_sec: seconds,
      shortest_annotation_sec: seconds,
    })
    .optional(),
  wrong_annotations: z
    .array(
      z.strictObject({
        id: z.string(),
        annotated_sec: seconds,
        first_sec: seconds.optional(),
        last_sec: seconds.optional(),
      }),
    )
    .optional(),
});

export type CorpusMetadata = z.infer<typeof metadataSchema> & {
  /** Of the metadata file: a new version makes a new preparation. */
  sha256: string;
};

/** The folder of the metadata that is shipped with emoq. */
export function corpusMetadataFolder(): string {
  return fileURLToPath(new URL('../../../data-manifests', import.meta.url));
}

/** The metadata file that is shipped with emoq for a corpus. */
export function corpusMetadataPath(corpus: string): string {
  return fileURLToPath(new URL(`../../../data-manifests/${corpus}.yaml`, import.meta.url));
}

/** Whether emoq has the metadata of a corpus of this name. */
export function isPublishedCorpus(name: string): boolean {
  return /^[\w-]+$/.test(name) && existsSync(corpusMetadataPath(name));
}

/** Reads a metadata file. @throws InputError naming file, line and column, or file and key */
export async function readCorpusMetadata(path: string): Promise<CorpusMetadata> {
  const { text, value } = await readYamlFile(path, 'corpus metadata');
  const parsed = metadataSchema.safeParse(value);
  const [problem] = parsed.success
    ? metadataProblems(parsed.data)
    : parsed.error.issues.map(({ path: key, message }) => ({ path: key.map(String), message }));
  if (problem !== undefined) {
    throw new InputError(oneLine(`${path}, key ${problem.path.join('.') || '(top)'}: ${problem.message}`));
  }
  return { ...(parsed.data as z.infer<typeof metadataSchema>), sha256: sha256Of(text) };
}

/** What does not fit together in metadata that are right key by key. */
function metadataProblems(metadata: z.infer<typeof metadataSchema>): LayoutProblem[] {
  const { labels, counts: expected, utterance, known_bad: bad } = metadata;
  const layout = layoutProblems(
    metadata,
    labels,
    bad.map(({ id }) => id),
  );
  const counted = [
    expected.total ?? {},
    ...Object.values(expected.split ?? {}),
    ...Object.values(expected.session ?? {}),
  ];
  const unknown = counted
    .flatMap((group) => Object.keys(group).flatMap((key) => key.split('+')))
    .find((label) => !labels.includes(label));
  if (utterance && unknown !== undefined) {
    layout.push({ path: ['counts'], message: `"${unknown}" is not one of labels` });
  }
  return layout;
}

/** Describes every count that differs from the metadata; empty if all agree. */
export function countDifferences(metadata: CorpusMetadata, utterances: readonly Utterance[]): string[] {
  const found = countLabels(utterances);
  const differences = compare('', metadata.counts.total, found.total);
  for (const kind of ['split', 'session'] as const) {
    for (const [name, expected] of Object.entries(metadata.counts[kind] ?? {})) {
      differences.push(...compare(`${kind} ${name}: `, expected, found[kind]?.[name] ?? {}));
    }
    for (const name of Object.keys(found[kind] ?? {})) {
      if (metadata.counts[kind] && !Object.hasOwn(metadata.counts[kind], name))
        differences.push(`${kind} ${name} is unknown`);
    }
  }
  return differences;
}

/**
 * One line for a list of differences. Long lists are shortened; the first ones show what is wrong.
 * @throws InputError always
 */
export function refuseDifferences(what: string, differences: readonly string[]): never {
  const shown = differences.slice(0, 20).join('; ');
  const more = differences.length > 20 ? `; and ${differences.length - 20} more` : '';
  throw new InputError(
    `${what} is not as expected: ${shown}${more}. Complete it, or pass --allow-incomplete to go on and record this in the manifest`,
  );
}

function compare(where: string, expected: LabelCounts | undefined, found: LabelCounts): string[] {
  return Object.entries(expected ?? {}).flatMap(([labels, count]) => {
    const have = labels
      .split('+')
      .reduce((sum, label) => sum + (Object.hasOwn(found, label) ? found[label]! : 0), 0);
    return have === count ? [] : [`${where}${labels} ${have} instead of ${count}`];
  });
}

export interface YamlFile {
  readonly text: string;
  readonly value: unknown;
}

/**
 * Reads a YAML file with one document. Keys must be unique strings, aliases must be defined, and merge keys and tags
 * are not allowed.
 * @param what name of the kind of file, for messages
 * @param schema 'failsafe' keeps every value as text: 03 is a label, not a number
 * @throws InputError, one line, naming file, line and column
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
  const odd = text.indexOf('\ufffd'); // the replacement character stands for invalid UTF-8
  if (odd >= 0) {
    const { length } = text.slice(0, odd).split('\n');
    throw new InputError(`${path}, line ${length}: not UTF-8 text; save it as UTF-8`);
  }
  const parsed = plainValueOf(text, () => parsedValue(text, lines, schema, refuse));
  if (parsed.kind === 'value') return { text, value: parsed.value };
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
    logLevel: 'error', // otherwise its warnings would also go to stderr
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
      // 03 is a code, not a number: a key is what is written.
      if (isScalar(key) && typeof key.value === 'number' && key.source !== undefined) key.value = key.source;
      if (!isScalar(key) || (typeof key.value === 'object' && key.value !== null)) {
        const node = key as Node | null;
        refuse(node?.range?.[0], 'a key must be a text, not a list or a map');
      } else if (key.value === '<<') refuse(at(key), '<< is a merge key of YAML; write the keys out');
      else if (key.value === '__proto__' && schema === 'core') {
        refuse(at(key), '__proto__ is not a key of this file');
      }
    },
  });
  return document.toJS(); // throws for aliases of aliases, by which a small file expands to a huge one
}
