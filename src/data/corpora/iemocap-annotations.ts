/** @file IEMOCAP's text files: EmoEvaluation (labels) and transcriptions, read strictly, with file and line. */

import { lineError } from '../../base/index.js';

/** One labelled utterance of IEMOCAP. */
export interface IemocapLabel {
  line: number;
  id: string;
  /** The three-letter code: neu, ang, xxx ... */
  code: string;
  startSec: number;
  endSec: number;
}

/** The parts of an id like `Ses03F_impro05a_M012`. */
export interface IemocapId {
  /** '3' */
  session: string;
  /** `Ses03F_impro05a`: F or M says who wore the markers, not who speaks. */
  dialog: string;
  /** `Ses03M`: the session with the gender of the id's LAST part. */
  speaker: string;
  gender: 'F' | 'M';
}

/** Takes an id apart; undefined when it is not one. */
export function parseIemocapId(id: string): IemocapId | undefined {
  const parts = /^((Ses0([1-5]))[FM]_[A-Za-z0-9_]+)_([FM])\d+$/.exec(id);
  if (!parts) return undefined;
  const [, dialog, prefix, session, gender] = parts;
  return { session: session!, dialog: dialog!, speaker: `${prefix}${gender}`, gender: gender as 'F' | 'M' };
}

/**
 * Labels of one dialog from `dialog/EmoEvaluation/<dialog>.txt`. Understood are: the `%` header, blank lines, label
 * lines (`[6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5000, 2.5000, 2.5000]`) and the raters' own
 * lines (`C-E2:`, `A-F1:` ...) after them.
 * @param codes label codes that the corpus knows.
 * @throws InputError with file and line for any other line, an unknown code, an id of another dialog, a doubled id.
 */
export function parseIemocapLabels(
  path: string,
  text: string,
  dialog: string,
  codes: Readonly<Record<string, string>>,
): IemocapLabel[] {
  const labels: IemocapLabel[] = [];
  const lineOf = new Map<string, number>();
  for (const { line, content } of linesOf(text)) {
    if (content === '' || content.startsWith('%') || /^[CA]-\w+:/.test(content)) continue;
    const refuse = (what: string): never => {
      throw lineError(path, line, what);
    };
    const match =
      /^\[(\d+\.?\d*) - (\d+\.?\d*)\]\t(\S+)\t(\S+)\t\[(-?[\d.]+), (-?[\d.]+), (-?[\d.]+)\]$/.exec(content);
    if (!match) return refuse(`"${content.slice(0, 60)}" is not a label line, a rater's line or a header`);
    const [, start, end, id, code] = match as unknown as [string, string, string, string, string];
    if (parseIemocapId(id)?.dialog !== dialog) return refuse(`"${id}" is not an utterance of ${dialog}`);
    if (!Object.hasOwn(codes, code)) {
      return refuse(`label "${code}" is not one of ${Object.keys(codes).join(', ')}`);
    }
    if (Number(end) <= Number(start)) return refuse(`${id} ends at ${end} s, before it begins`);
    const earlier = lineOf.get(id);
    if (earlier !== undefined) return refuse(`${id} is on line ${earlier} already`);
    lineOf.set(id, line);
    labels.push({ line, id, code, startSec: Number(start), endSec: Number(end) });
  }
  return labels;
}

/**
 * Transcripts of one dialog from `dialog/transcriptions/<dialog>.txt`, by id:
 * `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.` Ids with XX for digits belong to speech that was never cut
 * out or labelled, as do lines of a speaker without an id (`M: Yeah.`); the first are returned, the second dropped.
 * @throws InputError with file and line for a line of another form, or an id with two transcripts.
 */
export function parseIemocapTranscripts(path: string, text: string): Map<string, string> {
  const transcripts = new Map<string, string>();
  for (const { line, content } of linesOf(text)) {
    if (content === '' || /^[FM]:/.test(content)) continue;
    const match = /^(Ses0[1-5]\w+) \[-?[\d.]+\s*-\s*-?[\d.]+\]:(.*)$/.exec(content);
    if (!match) {
      throw lineError(path, line, `"${content.slice(0, 60)}" is not a transcript line`);
    }
    const [, id, spoken] = match as unknown as [string, string, string];
    if (transcripts.has(id)) throw lineError(path, line, `${id} has a transcript already`);
    transcripts.set(id, spoken.trim());
  }
  return transcripts;
}

function linesOf(text: string): { line: number; content: string }[] {
  return text.split(/\r?\n/).map((content, index) => ({ line: index + 1, content: content.trim() }));
}
