/**
 * @file The layout of a raw release as data: where the clips are, and what their names or a table say about each. The
 * schema of these keys of a description, and what must fit together in them.
 */

import { extname } from 'node:path';
import { z } from 'zod';

const text = z.string({ error: 'must be a text; put a number in quotes' });
const filled = text.min(1, { error: 'is empty' });
const codes = z.record(text, text);
const pattern = filled.superRefine((source, context) => {
  const problem = patternProblem(source);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

/** What says how a value is looked up; a value has one of these, or is a template alone. */
const LOOKUPS = ['codes', 'table', 'lines', 'file', 'highest'] as const;

const lookupSchema = z.strictObject(
  {
    /** A template, such as `{actor}`: the value itself if there is no lookup, otherwise what is looked up. */
    from: filled.optional(),
    /** Value -> name; '' is unknown. After `table`, for the values of the table. */
    codes: codes.optional(),
    /** `keep`: a value that is not among the codes stays as it is. Otherwise it is refused. */
    others: z.enum(['keep'], { error: 'must be keep, or be left out' }).optional(),
    /** A CSV of the release with a line for each `from`. */
    table: z.strictObject({ file: filled, key: filled, value: filled }).optional(),
    /** A text file (its name is a template) with a line for each `from`; the pattern has the groups key and text. */
    lines: z.strictObject({ file: filled, pattern }).optional(),
    /** A text file for each clip, which is the value; its name is a template. */
    file: filled.optional(),
    /** Clips without their line or file are no difference, only without this value. */
    optional: z.boolean().optional(),
    /** Column of a number -> name: the name of the highest. */
    highest: codes.optional(),
    /** With `highest`: the names where all are zero, and where several are the highest. */
    none: filled.optional(),
    tie: filled.optional(),
  },
  {
    error: ({ code }) =>
      code === 'invalid_type'
        ? 'must be a text such as "{actor}", or keys such as from and codes'
        : undefined,
  },
);

const value = z.preprocess(
  (given) => (typeof given === 'string' ? { from: given } : given),
  lookupSchema.superRefine((spec, context) => {
    const refuse = (message: string): void => context.addIssue({ code: 'custom', message });
    const used = LOOKUPS.filter((kind) => spec[kind] !== undefined && !(kind === 'codes' && spec.table));
    if (used.length > 1) refuse(`has both ${used[0]} and ${used[1]}; leave one out`);
    const [kind] = used;
    if (kind !== 'file' && kind !== 'highest' && spec.from === undefined) {
      refuse('needs from, such as "{actor}"');
    }
    if ((kind === 'file' || kind === 'highest') && spec.from !== undefined) refuse(`${kind} needs no from`);
    if (kind === 'lines') {
      const groups = groupsOf(spec.lines!.pattern);
      if (!groups.includes('key') || !groups.includes('text'))
        refuse('the pattern of lines needs the groups (?<key>...) and (?<text>...)');
    }
    const isScored = spec.none !== undefined && spec.tie !== undefined;
    if (kind === 'highest' && !isScored) refuse('highest needs none and tie: names for no and for several');
    if (kind !== 'highest' && (spec.none ?? spec.tie) !== undefined) refuse('none and tie belong to highest');
    if (spec.others && !spec.codes) refuse('others belongs to codes');
    if (spec.optional && kind !== 'lines' && kind !== 'file' && kind !== 'table')
      refuse('optional belongs to lines, file and table');
  }),
);

/** How a value of an utterance is found. */
export type ValueSpec = z.output<typeof lookupSchema>;

/** Allowed values of a part: texts, or ranges of numbers such as `1001 to 1091`. */
const parts = z.record(text, z.array(filled).min(1));

/** The keys of a description that say how a release is read. */
export const layoutSchema = {
  /** What `--root` must be: the usual name of the folder, and a phrase for messages. */
  root: z.strictObject({ name: filled, what: filled }).optional(),
  /** Clips that are found by their names. */
  clips: z
    .strictObject({
      /** Regular expression for a path with `/`; its named groups are parts of the name. */
      pattern,
      /** A path that the pattern matches, for messages. */
      example: filled,
      /** The folder with the clips and nothing else, in the root; without it, they are looked for in the whole root. */
      folder: filled.optional(),
      /** Regular expression for paths that are left out without a word. */
      ignore: pattern.optional(),
    })
    .optional(),
  /** Clips that are named in a CSV; its columns are the parts. */
  table: z
    .strictObject({
      file: filled,
      /** A template for the path of a clip, which may be in an archive `FOLDER.tar.gz` as well. */
      clip: filled,
      /** Templates for the part of the clip in seconds. */
      start: filled.optional(),
      end: filled.optional(),
      /** Column -> values whose lines are left out. */
      leave_out: z.record(text, z.array(text).min(1)).optional(),
    })
    .optional(),
  /** Part -> its allowed values, as far as no codes say so. */
  parts: parts.optional(),
  /** The columns of the manifest. */
  utterance: z
    .strictObject({
      id: filled.optional(),
      label: value,
      text: value.optional(),
      speaker: value.optional(),
      gender: value.optional(),
      session: value.optional(),
      split: value.optional(),
    })
    .optional(),
};

const layout = z.strictObject(layoutSchema);
export type ReleaseLayout = z.output<typeof layout>;
export type UtteranceSpec = NonNullable<ReleaseLayout['utterance']>;

/** Fields that every clip has besides its parts: its file name without extension, and its id. */
export const OWN_FIELDS: readonly string[] = ['stem', 'id'];

const NAME = /\{([^{}]*)\}/g;

/** The names in a template: `{actor}` has one. */
export function namesIn(template: string): string[] {
  return [...template.matchAll(NAME)].map(([, name]) => name!);
}

/** A template with its names replaced. */
export function fillTemplate(template: string, fill: (name: string) => string): string {
  return template.replace(NAME, (_, name: string) => fill(name));
}

/** The named groups of a pattern, in order. */
export function groupsOf(source: string): string[] {
  return [...source.matchAll(/\(\?<([A-Za-z]\w*)>/g)].map(([, name]) => name!);
}

/** The part whose values are exactly the codes of a lookup, if it is one. */
export function codedPart(spec: ValueSpec): string | undefined {
  if (spec.codes === undefined || spec.table !== undefined || spec.others !== undefined) return undefined;
  return /^\{([^{}]+)\}$/.exec(spec.from ?? '')?.[1];
}

/** The names that a value can have, if it is a matter of codes. */
export function namesOf({ codes: known, others, highest, none, tie }: ValueSpec): string[] | undefined {
  if (highest) return [...Object.values(highest), none!, tie!];
  return known && others === undefined ? Object.values(known) : undefined;
}

/** A range such as `1001 to 1091`: [first, last]. */
export function rangeOf(allowed: string): [string, string] | undefined {
  const [, first, last] = /^(\d+) to (\d+)$/.exec(allowed) ?? [];
  return first === undefined || last === undefined ? undefined : [first, last];
}

/** Whether a value is among those allowed. A number in a range has as many digits as the range's ends. */
export function isAllowed(given: string, allowed: readonly string[]): boolean {
  return allowed.some((each) => {
    const range = rangeOf(each);
    if (range === undefined) return given === each;
    return /^\d+$/.test(given) && given.length === range[0].length && given >= range[0] && given <= range[1];
  });
}

export interface LayoutProblem {
  readonly path: string[];
  readonly message: string;
}

/**
 * What does not fit together in a description that is right key by key.
 * @param labels of the corpus
 */
export function layoutProblems(
  { clips, table, parts: allowed = {}, utterance }: ReleaseLayout,
  labels: readonly string[],
  badIds: readonly string[],
): LayoutProblem[] {
  if (!clips && !table && !utterance) return []; // a corpus with a reader of its own
  if (!utterance) return [{ path: ['utterance'], message: 'is missing: it says where labels come from' }];
  if (Boolean(clips) === Boolean(table)) {
    const message = clips ? 'there is clips as well; leave one out' : 'is missing: clips or table';
    return [{ path: [clips ? 'table' : 'clips'], message }];
  }
  const problems: LayoutProblem[] = [];
  const refuse = (path: string, message: string): void => {
    problems.push({ path: path.split('.'), message });
  };
  if (clips) {
    const all = [...groupsOf(clips.pattern), ...OWN_FIELDS];
    for (const [path, template] of templatesOf(utterance)) {
      const known = path === 'utterance.id' ? all.filter((name) => name !== 'id') : all;
      const unknown = namesIn(template).find((name) => !known.includes(name));
      if (unknown !== undefined)
        refuse(path, `{${unknown}} is not one of ${known.map((name) => `{${name}}`).join(', ')}`);
    }
    const missing = Object.keys(allowed).find((part) => !all.includes(part));
    if (missing !== undefined) refuse(`parts.${missing}`, 'clips.pattern has no group of this name');
    const matches = (path: string): boolean => clipPattern(clips.pattern).test(path);
    if (!matches(clips.example)) refuse('clips.example', `"${clips.example}" does not match clips.pattern`);
    const bad = badIds.find((id) => !matches(`${id}${extname(clips.example)}`));
    if (bad !== undefined)
      refuse('known_bad', `${bad}${extname(clips.example)} does not match clips.pattern`);
  }
  for (const [part, values] of Object.entries(allowed)) {
    const wrong = values.map(rangeOf).find((range) => range && range[0].length !== range[1].length);
    if (wrong) refuse(`parts.${part}`, `${wrong.join(' to ')}: write both numbers with as many digits`);
  }
  const named = namesOf(utterance.label);
  if (named === undefined) refuse('utterance.label', 'needs codes or highest, to name the labels');
  const extra = named?.find((name) => !labels.includes(name));
  if (extra !== undefined) refuse('utterance.label', `"${extra}" is not one of labels`);
  const unused = labels.find((label) => named && !named.includes(label));
  if (unused !== undefined) refuse('labels', `no code of utterance.label is "${unused}"`);
  const splits = utterance.split && (namesOf(utterance.split) ?? []);
  const odd = splits?.find((name) => !['train', 'dev', 'test', ''].includes(name));
  if (odd !== undefined) refuse('utterance.split', `"${odd}" is not train, dev or test`);
  return problems;
}

/** Paths to match: the whole path, after any leading folders, so that the root may be a folder above. */
export function clipPattern(source: string): RegExp {
  return new RegExp(`^(?<_base>(?:.*/)?)(?:${source})$`, 'u');
}

/** Templates of an utterance with their keys. */
function templatesOf({ id, ...values }: UtteranceSpec): [string, string][] {
  const found: [string, string][] = id === undefined ? [] : [['utterance.id', id]];
  for (const [column, spec] of Object.entries(values)) {
    if (spec?.from !== undefined) found.push([`utterance.${column}`, spec.from]);
    if (spec?.file !== undefined) found.push([`utterance.${column}.file`, spec.file]);
    if (spec?.lines) found.push([`utterance.${column}.lines.file`, spec.lines.file]);
    for (const name of Object.keys(spec?.highest ?? {}))
      found.push([`utterance.${column}.highest`, `{${name}}`]);
  }
  return found;
}

function patternProblem(source: string): string | undefined {
  try {
    new RegExp(source, 'u');
    return undefined;
  } catch (error) {
    return `is no regular expression: ${(error as Error).message}`;
  }
}
