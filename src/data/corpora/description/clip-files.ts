/** @file Clips of a release that are found by their names: every file is a clip, ignored, or a difference. */

import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, extname, join, posix } from 'node:path';
import { InputError, mapConcurrently } from '../../../base/index.js';
import type { DescribedClip, FoundClips } from './described-clip.js';
import {
  clipPattern,
  codedPart,
  fillTemplate,
  groupsOf,
  isAllowed,
  type ReleaseLayout,
  type UtteranceSpec,
  type ValueSpec,
} from './release-layout.js';

/** Which values a part of a name may have. */
type Constraint = readonly [part: string, allowed: readonly string[]];

/** A pattern, ready to read names. */
export interface NameReader {
  readonly pattern: RegExp;
  readonly example: string;
  /** In the order of the pattern's groups. */
  readonly constraints: readonly Constraint[];
  readonly id: string | undefined;
}

/** In the order of the file, which JavaScript does not keep for numbers. */
function codesOf({ codes = {} }: ValueSpec): string[] {
  const given = Object.keys(codes);
  return given.every((code) => /^\d+$/.test(code)) ? given.sort() : given;
}

/** How the names of a layout are read. */
export function nameReader(
  clips: NonNullable<ReleaseLayout['clips']>,
  parts: ReleaseLayout['parts'] = {},
  utterance: UtteranceSpec,
): NameReader {
  const coded = new Map(
    Object.values(utterance).flatMap((spec): [string, string[]][] => {
      const part = typeof spec === 'object' ? codedPart(spec) : undefined;
      return part === undefined ? [] : [[part, codesOf(spec as ValueSpec)]];
    }),
  );
  const constraints = groupsOf(clips.pattern).flatMap((part): Constraint[] => {
    const allowed = parts[part] ?? coded.get(part);
    return allowed ? [[part, allowed]] : [];
  });
  return { pattern: clipPattern(clips.pattern), example: clips.example, constraints, id: utterance.id };
}

/**
 * Reads the name of a file.
 * @param path with `/`, relative to the folder of the clips
 * @returns the parts and the id; a line that says what is wrong with a name; undefined for one that is no clip's at all
 */
export function readClipName(
  path: string,
  { pattern, constraints, id }: NameReader,
): { fields: Record<string, string>; id: string; base: string } | string | undefined {
  const groups = pattern.exec(path)?.groups;
  if (groups === undefined) return undefined;
  const { _base: base = '', ...named } = groups;
  for (const [part, allowed] of constraints) {
    const given = named[part];
    if (given === undefined || isAllowed(given, allowed)) continue;
    const what = allowed.length === 1 && / to /.test(allowed[0]!) ? allowed[0] : allowed.join(', ');
    return `${path}: ${part} ${given} is not one of ${what}; restore its name in the release`;
  }
  const stem = basename(path, extname(path));
  const fields: Record<string, string> = { stem };
  for (const [name, given] of Object.entries(named)) fields[name] = given ?? '';
  const made = id === undefined ? stem : fillTemplate(id, (name) => fields[name] ?? '');
  return { fields: { ...fields, id: made }, id: made, base };
}

/**
 * The clips of a release, sorted by id.
 * @param bad ids of clips that count as there even if they are not
 * @param out folder of the prepared corpus, whose clips have the same names
 * @throws InputError when there is no folder, or not one clip
 */
export async function findClipFiles(
  root: string,
  what: string,
  { clips, parts, utterance }: ReleaseLayout,
  bad: Iterable<string>,
  out: string,
): Promise<FoundClips> {
  const { folder = '', ignore } = clips!;
  const reader = nameReader(clips!, parts, utterance!);
  const at = join(root, folder);
  const ignored = ignore === undefined ? undefined : new RegExp(ignore, 'u');
  const files = (await filesIn(root, folder, what, out)).filter((path) => !ignored?.test(path));
  const found: DescribedClip[] = [];
  const differences: string[] = [];
  const strangers: string[] = [];
  const pathOf = new Map<string, string>();
  const inRelease = (path: string): string => posix.join(folder, path);
  for (const path of files) {
    const name = readClipName(path, reader);
    if (name === undefined) strangers.push(path);
    else if (typeof name === 'string') differences.push(inRelease(name));
    else if (pathOf.has(name.id)) {
      differences.push(`${name.id} is there as ${pathOf.get(name.id)} and as ${inRelease(path)}; remove one`);
    } else {
      pathOf.set(name.id, inRelease(path));
      found.push(
        describedClip(name, join(at, path), inRelease(path), folder === '' ? join(root, name.base) : root),
      );
    }
  }
  const extensions = new Set(found.map(({ name }) => extname(name)));
  for (const path of strangers) {
    // In a folder of clips only, anything else is a mistake; in a whole release there are other files too.
    if (folder === '' && !extensions.has(extname(path))) continue;
    differences.push(
      `${inRelease(path)} is not named like a clip (${reader.example}); remove it from the folder`,
    );
  }
  if (found.length === 0) {
    const reason = differences.length === 0 ? '' : ` (${differences[0]})`;
    throw new InputError(
      `${at} has no clip with a name like ${reader.example}${reason}: is it ${folder === '' ? what : 'the folder of the release'}?`,
    );
  }
  const pointers = await findPointers(found);
  const [pointer] = pointers;
  if (pointer !== undefined) {
    differences.push(
      `${pointers.size} of ${found.length} files in ${folder || basename(root)} are Git LFS pointers, not audio (one is ${basename(pointer)}): run git lfs pull in the clone`,
    );
  }
  for (const id of bad) {
    const path = `${id}${extname(reader.example)}`;
    const name = pathOf.has(id) ? undefined : readClipName(path, reader);
    if (typeof name === 'object') found.push(describedClip(name, join(at, path), inRelease(path), root));
  }
  found.sort((a, b) => (a.id < b.id ? -1 : 1));
  const clipsWithFaults = found.map((clip) =>
    pointers.has(clip.name) ? { ...clip, fault: 'a Git LFS pointer, not audio' } : clip,
  );
  return { clips: clipsWithFaults, differences, remarks: [] };
}

function describedClip(
  { fields, id }: { fields: Record<string, string>; id: string },
  source: string,
  name: string,
  base: string,
): DescribedClip {
  const refuse = (problem: string): Error => new InputError(`${source}: ${problem}`);
  return { id, fields, base, name, source, refuse };
}

/** Paths of files below a folder, sorted. @throws InputError when there is no such folder */
async function filesIn(root: string, folder: string, what: string, out: string): Promise<string[]> {
  const whole = await stat(root).catch(() => undefined);
  if (whole === undefined) throw new InputError(`${root} does not exist: --root must be ${what}`);
  if (whole.isFile()) {
    throw new InputError(`${root} is a file: --root must be ${what}; unpack it if it is an archive`);
  }
  const top = join(root, folder);
  if (!(await stat(top).catch(() => undefined))?.isDirectory()) {
    throw new InputError(`${root} has no folder ${folder}: --root must be ${what}`);
  }
  const prepared = await realpath(out).catch(() => '');
  return (await filesBelow(top, '', prepared === '' ? [] : [prepared])).sort();
}

/**
 * Without hidden files and those of other systems (`.DS_Store`, `__MACOSX`). Links to folders are followed, except to a
 * folder that the link is in.
 * @param closed real paths of folders that are not entered: those above, and that of the prepared corpus
 */
async function filesBelow(folder: string, prefix: string, closed: readonly string[]): Promise<string[]> {
  const place = await realpath(folder);
  if (closed.includes(place)) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry): Promise<string[]> => {
      const { name } = entry;
      if (name.startsWith('.') || name === '__MACOSX') return [];
      const path = join(folder, name);
      const isFolder = entry.isSymbolicLink()
        ? ((await stat(path).catch(() => undefined))?.isDirectory() ?? false)
        : entry.isDirectory();
      return isFolder ? filesBelow(path, `${prefix}${name}/`, [...closed, place]) : [`${prefix}${name}`];
    }),
  );
  return found.flat();
}

/** A pointer has about 130 bytes; every clip is larger than this. */
const POINTER_BYTES = 1024;

/** Names of clips that are Git LFS pointers, as in a clone without Git LFS. */
async function findPointers(clips: readonly DescribedClip[]): Promise<Set<string>> {
  const found = await mapConcurrently(clips, 32, async ({ source, name }) => {
    if (typeof source !== 'string') return [];
    const entry = await stat(source).catch(() => undefined);
    if (!entry?.isFile() || entry.size > POINTER_BYTES) return [];
    const text = await readFile(source, 'latin1').catch(() => '');
    return text.startsWith('version https://git-lfs.github.com/') ? [name] : [];
  });
  return new Set(found.flat());
}
