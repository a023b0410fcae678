/** @file MELD's annotation CSVs: taken out of an archive, columns checked, text repaired, times read. */

import { readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, lineError, makeOutputFolder, temporaryName, writeFileAtomic } from '../../base/index.js';
import { parseCsvTable, readTableBytes } from '../tables/index.js';
import { readArchive } from './clips/index.js';
import { repairText } from './transcripts.js';

/** One annotated utterance of MELD. */
export interface MeldAnnotation {
  line: number;
  dialogue: number;
  utterance: number;
  text: string;
  speaker: string;
  emotion: string;
  /** StartTime to EndTime; 0 where they are equal or the wrong way round. */
  annotatedSec: number;
  /** `s08e21`; '' where the CSV does not say. */
  episode: string;
}

const COLUMNS = [
  'Utterance',
  'Speaker',
  'Emotion',
  'Dialogue_ID',
  'Utterance_ID',
  'StartTime',
  'EndTime',
] as const;

const USE = { what: 'CSV file', columns: COLUMNS };

/**
 * Reads one `*_sent_emo.csv`.
 * @param labels the emotions that the corpus knows.
 * @throws InputError with file, line and column: a missing column, an unknown emotion, an id that is not a number or
 *   comes twice, a time that is not HH:MM:SS,mmm.
 */
export async function readMeldAnnotations(
  path: string,
  labels: readonly string[],
): Promise<MeldAnnotation[]> {
  const { rows } = parseCsvTable(path, repairText(await readTableBytes(path, USE)), COLUMNS);
  const lineOf = new Map<string, number>();
  return rows.map(({ line, fields }) => {
    const refuse = (column: string, what: string): never => {
      throw new InputError(`${path}, line ${line}, column ${column}: "${fields[column]}" ${what}`);
    };
    const whole = (column: string): number => {
      const text = fields[column]!.trim();
      return /^\d+$/.test(text) ? Number(text) : refuse(column, 'is not a whole number');
    };
    const clockSec = (column: string): number => {
      const clock = /^(\d{1,2}):(\d\d):(\d\d)[,.](\d{1,3})$/.exec(fields[column]!.trim());
      if (!clock) return refuse(column, 'is not a time like 00:16:16,059');
      const [, hours, minutes, seconds, fraction] = clock;
      return Number(hours) * 3600 + Number(minutes) * 60 + Number(`${seconds}.${fraction}`);
    };
    const emotion = fields.Emotion!.trim();
    if (!labels.includes(emotion)) refuse('Emotion', `is not one of ${labels.join(', ')}`);
    const dialogue = whole('Dialogue_ID');
    const utterance = whole('Utterance_ID');
    const key = `dia${dialogue}_utt${utterance}`;
    const earlier = lineOf.get(key);
    if (earlier !== undefined) {
      throw lineError(path, line, `${key} is on line ${earlier} already`);
    }
    lineOf.set(key, line);
    return {
      line,
      dialogue,
      utterance,
      text: fields.Utterance!.trim(),
      speaker: fields.Speaker!.trim(),
      emotion,
      episode: episodeName(fields.Season, fields.Episode),
      // Clock times carry milliseconds; their difference should too, not 2.9399999999998272.
      annotatedSec: Math.max(0, Math.round((clockSec('EndTime') - clockSec('StartTime')) * 1000) / 1000),
    };
  });
}

/** Not every copy of the CSVs has the columns, and nothing depends on them. */
function episodeName(season = '', episode = ''): string {
  const [first, second] = [season.trim(), episode.trim()];
  const known = /^\d+$/.test(first) && /^\d+$/.test(second);
  return known ? `s${first.padStart(2, '0')}e${second.padStart(2, '0')}` : '';
}

/**
 * A CSV out of an archive, at `<out>/<name>`. The copy bears the archive's time of change: while they agree, the
 * archive is not read again.
 * @returns its path; undefined where the archive has none.
 * @throws InputError when the archive is damaged and the CSV does not come before that.
 */
export async function unpackAnnotations(
  archive: string,
  name: string,
  out: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const path = join(out, name);
  const modifiedSec = await changedAtSec(archive);
  if ((await changedAtSec(path)) === modifiedSec) return path;
  await makeOutputFolder(out);
  const unpacked = temporaryName(path);
  let isThere = false;
  try {
    const damage = await readArchive(
      archive,
      async (file, save) => {
        if (file.name !== name) return true;
        await save(unpacked);
        isThere = true;
        return false;
      },
      signal,
    );
    if (damage !== undefined)
      throw new InputError(`${archive} has no whole ${name}: ${damage}; get it again`);
    if (!isThere) return undefined;
    await writeFileAtomic(path, await readFile(unpacked));
  } finally {
    await rm(unpacked, { force: true });
  }
  if (modifiedSec !== undefined) await utimes(path, modifiedSec, modifiedSec);
  return path;
}

/** Whole seconds; undefined where there is no file. */
async function changedAtSec(path: string): Promise<number | undefined> {
  const file = await stat(path).catch(() => undefined);
  return file && Math.floor(file.mtimeMs / 1000);
}
