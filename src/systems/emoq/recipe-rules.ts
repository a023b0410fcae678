/** @file Rules between the keys of an EmoQ recipe, on values of which only those of the right type are looked at. */

import { didYouMean, InputError } from '../../base/index.js';
import type { RecipeProblem } from '../settings.js';
import { DEFAULT_LORA_TARGETS } from './settings.js';

type Values = Readonly<Record<string, unknown>>;

/** What is wrong with the values of a recipe together. */
export async function emoqProblems(values: Values): Promise<RecipeProblem[]> {
  const { stage1 } = values;
  const hasNoLoss = isObject(stage1) && stage1.scl_weight === 0 && stage1.focal_weight === 0;
  return [
    ...labelWordProblems(values),
    ...encoderProblems(values),
    ...(hasNoLoss
      ? [{ path: ['stage1', 'focal_weight'], what: 'with scl_weight 0 too, stage 1 has no loss' }]
      : []),
    ...(await promptProblems(values)),
    ...(await targetProblems(values)),
  ];
}

/** Every label has a word of its own. */
function labelWordProblems(values: Values): RecipeProblem[] {
  const problems: RecipeProblem[] = [];
  const labels = stringList(values.labels) ?? [];
  if (labels.length === 0) return [];
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
  return problems;
}

/** Audio has to be encoded by something. */
function encoderProblems({ backbones, inputs }: Values): RecipeProblem[] {
  if (!isObject(backbones) || inputs === 'text') return [];
  const { encoder, encoder_onnx: onnx } = backbones;
  if (encoder !== null || typeof onnx === 'string') return [];
  const what =
    'is null, and so is encoder_onnx; name a speech encoder or an exported one (inputs: text needs none)';
  return [{ path: ['backbones', 'encoder'], what }];
}

/** What is wrong with the parts of a prompt of one's own. */
async function promptProblems(values: Values): Promise<RecipeProblem[]> {
  const { prompt } = values;
  if (!isObject(prompt)) return [];
  const { checkPromptTemplate, DEFAULT_PROMPT } = await import('../../data/text/index.js');
  return Object.keys(DEFAULT_PROMPT).flatMap((part): RecipeProblem[] => {
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

/** LoRA targets that no family of language models has; whether the recipe's own has them is seen when it is opened. */
async function targetProblems({ lora }: Values): Promise<RecipeProblem[]> {
  const targets = isObject(lora) ? (stringList(lora.targets) ?? []) : [];
  if (targets.every((target) => target === '' || DEFAULT_LORA_TARGETS.includes(target))) return [];
  const { allLoraTargets } = await import('../../backbones/index.js');
  return targets.flatMap((target, index): RecipeProblem[] => {
    if (target === '' || allLoraTargets.some((known) => known === target)) return [];
    const hint = didYouMean(target, allLoraTargets);
    const what = `must be one of ${allLoraTargets.join(', ')}, not ${JSON.stringify(target)}${hint}`;
    return [{ path: ['lora', 'targets', index], what }];
  });
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
