/** @file Says what is wrong with a recipe's values: the schema's findings and the rules between keys, in words. */

import type { z } from 'zod';
import { InputError, oneLine } from '../base/index.js';
import { DEFAULT_LORA_TARGETS, recipeKeys, sectionKeys } from './schema.js';
import type { KeyPath, Place } from './source.js';
import { didYouMean, nearNames } from './suggestion.js';

/** One finding: which key, and what is wrong with it. */
export interface Problem {
  readonly path: KeyPath;
  readonly what: string;
}

type Issue = z.core.$ZodIssue;

/** The line for a finding: `place: key: what`, the key left out where the place is the `--set` that names it. */
export function problemLine({ path, what, place }: Problem & { readonly place: Place }): string {
  return oneLine(place.isOverride ? `${place.text}: ${what}` : `${place.text}: ${path.join('.')}: ${what}`);
}

/** Findings of the schema, one per key. */
export function schemaProblems(issues: readonly Issue[], values: unknown): Problem[] {
  return issues.flatMap((issue): Problem[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        path: [...issue.path, key],
        what: `unknown key${keyHint(issue.path, key)}`,
      }));
    }
    return [{ path: issue.path, what: explain(issue, valueAt(values, issue.path)) }];
  });
}

/** Rules between keys, on values of which only those of the right type are looked at. */
export function ruleProblems(values: Record<string, unknown>): Problem[] {
  const problems: Problem[] = [];
  const labels = stringList(values.labels);
  if (labels) {
    labels.forEach((label, i) => {
      if (labels.indexOf(label) < i)
        problems.push({ path: ['labels', i], what: `"${label}" is there twice` });
    });
    for (const [from, to] of stringEntries(values.label_map)) {
      if (labels.includes(to)) continue;
      problems.push({
        path: ['label_map', from],
        what: `"${to}" is not one of the labels${didYouMean(to, labels)}`,
      });
    }
    const words = new Map<string, string>(labels.map((label) => [label, label]));
    for (const [label, word] of stringEntries(values.label_words)) {
      if (labels.includes(label)) words.set(label, word);
      else
        problems.push({
          path: ['label_words', label],
          what: `is not one of the labels${didYouMean(label, labels)}`,
        });
    }
    const taken = new Map<string, string>();
    for (const [label, word] of words) {
      const other = taken.get(word);
      if (other !== undefined) {
        const path = [
          'label_words',
          isObject(values.label_words) && label in values.label_words ? label : other,
        ];
        problems.push({ path, what: `"${word}" is the word of both ${other} and ${label}` });
      }
      taken.set(word, label);
    }
  }
  for (const section of ['stage1', 'stage2']) {
    const stage = values[section];
    if (isObject(stage) && stage.batches === 'balanced' && stage.batch_size === 1) {
      problems.push({
        path: [section, 'batches'],
        what: 'balanced draws pairs: batch_size must be at least 2',
      });
    }
  }
  problems.push(...encoderProblems(values));
  const { stage1 } = values;
  if (isObject(stage1) && stage1.scl_weight === 0 && stage1.focal_weight === 0) {
    problems.push({ path: ['stage1', 'focal_weight'], what: 'with scl_weight 0 too, stage 1 has no loss' });
  }
  return problems;
}

/** Audio has to be encoded by something. */
function encoderProblems({ backbones, inputs }: Record<string, unknown>): Problem[] {
  if (!isObject(backbones) || inputs === 'text') return [];
  const { encoder, encoder_onnx: onnx } = backbones;
  if (encoder !== null || typeof onnx === 'string') return [];
  const what =
    'is null, and so is encoder_onnx; name a HuBERT or an exported encoder (inputs: text needs none)';
  return [{ path: ['backbones', 'encoder'], what }];
}

/** What is wrong with the parts of a prompt of one's own. */
export async function promptProblems(values: Record<string, unknown>): Promise<Problem[]> {
  const { prompt } = values;
  if (!isObject(prompt)) return [];
  const { checkPromptTemplate, DEFAULT_PROMPT } = await import('../data/text/index.js');
  return Object.keys(DEFAULT_PROMPT).flatMap((part): Problem[] => {
    const text = prompt[part];
    if (typeof text !== 'string' || text === DEFAULT_PROMPT[part as keyof typeof DEFAULT_PROMPT]) return [];
    try {
      checkPromptTemplate({ ...DEFAULT_PROMPT, [part]: text }, values.inputs !== 'text');
      return [];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return [{ path: ['prompt', part], what: error.message.replace(/^the prompt's \w+ part /, '') }];
    }
  });
}

/** LoRA targets that no family of language models has; which of them the recipe's own has is seen when it is opened. */
export async function targetProblems({ lora }: Record<string, unknown>): Promise<Problem[]> {
  const targets = isObject(lora) ? (stringList(lora.targets) ?? []) : [];
  if (targets.every((target) => target === '' || DEFAULT_LORA_TARGETS.includes(target))) return [];
  const { allLoraTargets } = await import('../backbones/index.js');
  return targets.flatMap((target, index): Problem[] => {
    if (target === '' || allLoraTargets.some((known) => known === target)) return [];
    const hint = didYouMean(target, allLoraTargets);
    const what = `must be one of ${allLoraTargets.join(', ')}, not ${JSON.stringify(target)}${hint}`;
    return [{ path: ['lora', 'targets', index], what }];
  });
}

function keyHint(section: KeyPath, key: string): string {
  const near = nearNames(key, sectionKeys(section) ?? [])[0];
  if (near !== undefined) return `; did you mean ${[...section, near].join('.')}?`;
  const elsewhere = recipeKeys()
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

/** A bare number, `true` or `a: b` where text belongs wants quotes; a quoted number wants none. */
function quoteHint(expected: string, value: unknown): string {
  if (expected === 'string' && value !== null) return '; put text in quotes';
  if (
    expected === 'number' &&
    typeof value === 'string' &&
    value.trim() !== '' &&
    Number.isFinite(Number(value))
  ) {
    return '; take off the quotes';
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function stringList(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
}

function stringEntries(value: unknown): [string, string][] {
  if (!isObject(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
}
