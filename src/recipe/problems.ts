/** @file Describes problems in a recipe's values: schema errors and violated rules between keys. */

import type { z } from 'zod';
import { didYouMean, nearNames, oneLine } from '../base/index.js';
import type { RecipeProblem } from '../systems/index.js';
import { isSection, stringEntries, stringList } from '../systems/index.js';
import { recipeKeys, sectionKeys } from './schema.js';
import type { KeyPath, SourcePosition } from './source.js';

type Issue = z.core.$ZodIssue;

/** The line for a problem: `position: key: what`, without the key if the position is the `--set` that names it. */
export function problemLine({
  path,
  what,
  position,
}: RecipeProblem & { readonly position: SourcePosition }): string {
  return oneLine(
    position.isOverride ? `${position.text}: ${what}` : `${position.text}: ${path.join('.')}: ${what}`,
  );
}

/** Problems found by the schema, one per key. */
export function schemaProblems(issues: readonly Issue[], values: unknown): RecipeProblem[] {
  return issues.flatMap((issue): RecipeProblem[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        path: [...issue.path, key],
        what: `unknown key${keyHint(values, issue.path, key)}`,
      }));
    }
    return [{ path: issue.path, what: explain(issue, valueAt(values, issue.path)) }];
  });
}

/** Checks rules between keys; only values of the right type are checked. */
export function ruleProblems(values: Record<string, unknown>): RecipeProblem[] {
  const problems: RecipeProblem[] = [];
  const labels = stringList(values.labels);
  if (labels) {
    labels.forEach((label, i) => {
      if (labels.indexOf(label) < i) problems.push({ path: ['labels', i], what: `"${label}" occurs twice` });
    });
    for (const [from, to] of stringEntries(values.label_map)) {
      if (labels.includes(to)) continue;
      problems.push({
        path: ['label_map', from],
        what: `"${to}" is not one of the labels${didYouMean(to, labels)}`,
      });
    }
  }
  const { augment } = values;
  if (isSection(augment) && Number(augment.copies) > 0 && isWithoutEffect(augment)) {
    problems.push({
      path: ['augment', 'copies'],
      what: 'would be copies of the same clips; set augment.speed, noise, reverb or gain, or copies to 0',
    });
  }
  for (const [section, stage] of Object.entries(values)) {
    if (isSection(stage) && stage.batches === 'balanced' && stage.batch_size === 1) {
      problems.push({
        path: [section, 'batches'],
        what: 'balanced draws pairs, so batch_size must be at least 2',
      });
    }
  }
  return problems;
}

/** Effects that are not mentioned have their defaults, which change a clip. */
function isWithoutEffect({ speed, noise, reverb = null, gain }: Readonly<Record<string, unknown>>): boolean {
  return (speed === null || speed === 1) && noise === null && reverb === null && gain === null;
}

function keyHint(values: unknown, section: KeyPath, key: string): string {
  const system = isSection(values) ? values.system : undefined;
  const near = nearNames(key, sectionKeys(system, section) ?? [])[0];
  if (near !== undefined) return `; did you mean ${[...section, near].join('.')}?`;
  const elsewhere = recipeKeys(system)
    .map(({ path }) => path)
    .filter((path) => path.split('.').at(-1) === key);
  return elsewhere.length > 0 ? `; did you mean ${elsewhere.join(' or ')}?` : '';
}

function explain(issue: Issue, value: unknown): string {
  if (value === undefined) return 'is missing';
  const shown = JSON.stringify(value);
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${kinds[issue.expected] ?? issue.expected}, not ${shown}${quoteHint(issue.expected, value)}`;
    case 'invalid_value': {
      const hint = typeof value === 'string' ? didYouMean(value, issue.values.map(String)) : '';
      return `must be one of ${issue.values.join(', ')}, not ${shown}${hint}`;
    }
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty';
      if (issue.origin === 'array')
        return `needs at least ${issue.minimum} ${plural('entry', 'entries', issue.minimum)}`;
      return `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}, not ${shown}`;
    case 'too_big':
      return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}, not ${shown}`;
    case 'invalid_format':
      return `must be letters, digits, "_", "-" and ".", and begin with a letter or digit, not ${shown}`;
    default:
      return issue.message;
  }
}

const kinds: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys with values',
  record: 'keys with values',
};

/** A bare number, `true` or `a: b` in place of text needs quotes; a quoted number needs none. */
function quoteHint(expected: string, value: unknown): string {
  if (expected === 'string' && value !== null) return '; put text in quotes';
  if (
    expected === 'number' &&
    typeof value === 'string' &&
    value.trim() !== '' &&
    Number.isFinite(Number(value))
  ) {
    return '; remove the quotes';
  }
  return '';
}

function plural(one: string, many: string, count: number | bigint): string {
  return Number(count) === 1 ? one : many;
}

function valueAt(values: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    values,
  );
}
