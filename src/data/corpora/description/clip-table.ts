/** @file Clips of a release that are named in a CSV, in a folder or in an archive of the same name. */

import { readdir } from 'node:fs/promises';
import { basename, extname, join, posix } from 'node:path';
import { InputError, lineError, pathExists } from '../../../base/index.js';
import { type CsvRow, numberOf, readCsvTable } from '../../tables/index.js';
import type { ClipTask, Segment } from '../clips/index.js';
import type { DescribedClip, FoundClips } from './described-clip.js';
import { fillTemplate, isAllowed, namesIn, type ReleaseLayout } from './release-layout.js';

type TableLayout = NonNullable<ReleaseLayout['table']>;

/** Where the clips of a table are. */
type ClipPlace =
  | { kind: 'folder'; names: ReadonlySet<string> }
  | { kind: 'archive'; archive: string }
  | { kind: 'missing' };

/**
 * The clips of the table, in its order.
 * @throws InputError when the table is missing or cannot be read; with file and line for a value of a part that is not
 *   allowed, a time that is none, and an id that has a line already
 */
export async function findTableClips(
  root: string,
  what: string,
  { table: given, parts = {}, utterance }: ReleaseLayout,
): Promise<FoundClips> {
  const table = given!;
  const path = join(root, table.file);
  if (!(await pathExists(path))) {
    throw new InputError(`${root} has no file ${table.file}: --root must be ${what}`);
  }
  const { rows } = await readCsvTable(path, { what: 'CSV file', columns: columnsOf(table, utterance!) });
  const folder = folderOf(table.clip);
  const place = await findPlace(root, folder);
  const leftOut = new Map<string, number>();
  const lineOf = new Map<string, number>();
  const clips: DescribedClip[] = [];
  for (const row of rows) {
    const reason = leaveOutReason(row, table);
    if (reason !== undefined) {
      leftOut.set(reason, (leftOut.get(reason) ?? 0) + 1);
      continue;
    }
    for (const [part, allowed] of Object.entries(parts)) {
      const value = row.fields[part]?.trim() ?? '';
      if (isAllowed(value, allowed)) continue;
      throw lineError(path, row.line, `column ${part}: "${value}" is not one of ${allowed.join(', ')}`);
    }
    const clip = clipOf(row, path, root, table, utterance!.id, place);
    const earlier = lineOf.get(clip.id);
    if (earlier !== undefined) throw lineError(path, row.line, `${clip.id} is on line ${earlier} already`);
    lineOf.set(clip.id, row.line);
    clips.push(clip);
  }
  if (clips.length === 0) throw new InputError(`${path} has no line for a clip that is not left out`);
  return {
    clips,
    differences: place.kind === 'missing' ? [`folder ${folder} is missing, and so is ${folder}.tar.gz`] : [],
    remarks: [...leftOut].map(
      ([reason, count]) => `left out as described: ${count.toLocaleString('en')} with ${reason}`,
    ),
  };
}

function clipOf(
  row: CsvRow,
  path: string,
  root: string,
  table: TableLayout,
  id: string | undefined,
  place: ClipPlace,
): DescribedClip {
  const cells = row.fields;
  const refuse = (problem: string): Error => lineError(path, row.line, problem);
  const fill = (template: string): string => fillTemplate(template, (name) => cells[name]?.trim() ?? '');
  const name = posix.normalize(fill(table.clip));
  if (name.startsWith('../') || posix.isAbsolute(name)) throw refuse(`clip "${name}" is outside the release`);
  const seconds = (template: string | undefined, what: string): number | undefined => {
    if (template === undefined) return undefined;
    const sec = numberOf(fill(template), false);
    if (sec === undefined) throw refuse(`${what} "${fill(template)}" is not a number of seconds`);
    return Math.max(0, sec); // some releases begin a little before their recording
  };
  const [startSec, endSec] = [seconds(table.start, 'start'), seconds(table.end, 'end')];
  if (endSec !== undefined && endSec <= (startSec ?? 0)) throw refuse(`end ${endSec} is not after its start`);
  const segment: Segment | undefined =
    startSec === undefined && endSec === undefined ? undefined : { startSec: startSec ?? 0, endSec };
  const stem = basename(name, extname(name));
  const ownId =
    id === undefined ? stem : fillTemplate(id, (part) => (part === 'stem' ? stem : fill(`{${part}}`)));
  const isThere = place.kind !== 'folder' || place.names.has(name);
  return {
    id: ownId,
    fields: { ...cells, stem, id: ownId },
    base: root,
    name,
    source: sourceOf(root, name, place),
    segment,
    absent: place.kind === 'missing' ? 'split' : isThere ? undefined : 'clip',
    refuse,
  };
}

function sourceOf(root: string, name: string, place: ClipPlace): ClipTask['source'] {
  return place.kind === 'archive' ? { archive: place.archive, names: [basename(name)] } : join(root, name);
}

/** Columns that the description names. */
function columnsOf(table: TableLayout, { id, ...values }: NonNullable<ReleaseLayout['utterance']>): string[] {
  const templates = [table.clip, table.start, table.end, id];
  for (const spec of Object.values(values)) {
    templates.push(spec?.from, spec?.file, spec?.lines?.file);
    templates.push(...Object.keys(spec?.highest ?? {}).map((column) => `{${column}}`));
  }
  const named = templates.flatMap((template) => (template === undefined ? [] : namesIn(template)));
  const columns = [...named, ...Object.keys(table.leave_out ?? {})];
  return [...new Set(columns)].filter((column) => column !== 'stem' && column !== 'id');
}

function leaveOutReason({ fields }: CsvRow, { leave_out: rules = {} }: TableLayout): string | undefined {
  for (const [column, values] of Object.entries(rules)) {
    const value = fields[column]?.trim() ?? '';
    if (values.includes(value)) return `${column} ${value}`;
  }
  return undefined;
}

/** The folder that all clips are in: what comes before the first name in the template. */
function folderOf(template: string): string {
  const start = template.slice(0, template.indexOf('{') < 0 ? undefined : template.indexOf('{'));
  return start.slice(0, Math.max(0, start.lastIndexOf('/')));
}

async function findPlace(root: string, folder: string): Promise<ClipPlace> {
  const files = await readdir(join(root, folder), { recursive: true }).catch(() => undefined);
  if (files) {
    return {
      kind: 'folder',
      names: new Set(files.map((file) => posix.join(folder, file.replaceAll('\\', '/')))),
    };
  }
  for (const ending of ['.tar.gz', '.tgz']) {
    const archive = join(root, `${folder}${ending}`);
    if (folder !== '' && (await pathExists(archive))) return { kind: 'archive', archive };
  }
  return { kind: 'missing' };
}
