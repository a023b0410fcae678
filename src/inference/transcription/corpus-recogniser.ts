/**
 * @file Recognises the clips of a corpus that is being prepared. What is done is kept in its folder, so that a
 * preparation that was stopped goes on, and one that is repeated recognises nothing again.
 */

import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  defaultJobs,
  InputError,
  InterruptedError,
  mapConcurrently,
  sha256OfFile,
  writeFileAtomic,
} from '../../base/index.js';
import type { CorpusRecogniser } from '../../data/corpora/index.js';
import { fileFinder } from '../../data/tables/index.js';
import type { ComputeOptions } from '../../training/index.js';
import { CUT_RECOGNITION, type PredictionSource } from '../prediction/index.js';
import { type NamedRecogniser, openRecogniser, type RecogniserIdentity } from '../speech-recogniser.js';
import { recognisedRows } from './transcribe.js';

/** The journal: a line with the recogniser, then one for each clip, by the SHA-256 of its file. */
const JOURNAL = 'recognition.jsonl';

const entrySchema = z.strictObject({
  clip: z.string(),
  text: z.string(),
  /** Only of a text that the recogniser did not get to the end of. */
  cut: z.literal(true).optional(),
});

type Recognised = Omit<z.infer<typeof entrySchema>, 'clip'>;

/**
 * @param onProgress clips with a text, of all
 * @param onWarning texts that are cut
 */
export function corpusRecogniser(
  named: NamedRecogniser,
  compute: ComputeOptions,
  onProgress: (done: number, total: number) => void,
  onWarning: (text: string) => void,
): CorpusRecogniser {
  const { identity } = named;
  return {
    identity,
    async recognise(clips, folder) {
      const { stop } = compute;
      const path = join(folder, JOURNAL);
      const texts = await readJournal(path, identity);
      const hashes = await mapConcurrently(clips, defaultJobs(), (clip) => sha256OfFile(clip.path), stop);
      // Clips of equal content are recognised once.
      const first = new Map(hashes.map((hash, index) => [hash, clips[index]!]));
      const missing = [...first].filter(([hash]) => !texts.has(hash));
      onProgress(first.size - missing.length, first.size);
      if (missing.length > 0) {
        if (texts.size === 0) await writeFileAtomic(path, headerOf(identity));
        const recogniser = openRecogniser(named, compute);
        try {
          const input = {
            source: clipSource(missing.map(([, clip]) => clip.path)),
            range: { first: 0, end: missing.length },
            job: { pathColumn: 'path', channel: undefined },
          };
          for await (const rows of recognisedRows(input, recogniser, 0, stop)) {
            const lines = rows.map((done) => {
              const [hash, { id }] = missing[done.row.index]!;
              if (done.kind === 'failed') {
                throw new InputError(`clip "${id}" cannot be recognised: ${done.error}`);
              }
              const heard: Recognised = {
                text: done.text,
                ...(done.notes.includes(CUT_RECOGNITION) && { cut: true }),
              };
              texts.set(hash, heard);
              return `${JSON.stringify({ clip: hash, ...heard })}\n`;
            });
            await appendFile(path, lines.join(''));
            onProgress([...first.keys()].filter((hash) => texts.has(hash)).length, first.size);
          }
        } catch (error) {
          if (stop?.aborted !== true) throw error;
          throw new InterruptedError(
            `interrupted with ${texts.size} clips recognised in ${path}; run the same command again to go on`,
          );
        } finally {
          await recogniser.encoder.close();
        }
      }
      const cut = [...first].filter(([hash]) => texts.get(hash)!.cut);
      if (cut.length > 0) {
        const count = `${cut.length.toLocaleString('en')} recognised ${cut.length === 1 ? 'text' : 'texts'}`;
        onWarning(
          `${count} reached the longest that the recogniser writes, where it stops (first ${cut[0]![1].id})`,
        );
      }
      return hashes.map((hash) => texts.get(hash)!.text);
    },
  };
}

function headerOf(identity: RecogniserIdentity): string {
  return `${JSON.stringify({ format: 'emoq-recognition', recogniser: identity })}\n`;
}

/** The texts of clips by hash; none if another recogniser wrote them. A last line that was cut off does not count. */
async function readJournal(path: string, identity: RecogniserIdentity): Promise<Map<string, Recognised>> {
  const texts = new Map<string, Recognised>();
  const content = await readFile(path, 'utf8').catch(() => '');
  if (!content.startsWith(headerOf(identity))) return texts;
  const lines = content.slice(headerOf(identity).length).split('\n');
  for (const line of lines.slice(0, -1)) {
    const entry = entrySchema.safeParse(parsed(line));
    if (!entry.success) continue;
    const { clip, ...heard } = entry.data;
    texts.set(clip, heard);
  }
  // What is appended must begin a line.
  if (lines.at(-1) !== '') await writeFileAtomic(path, content.slice(0, content.lastIndexOf('\n') + 1));
  return texts;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Clips as rows. */
function clipSource(paths: readonly string[]): PredictionSource {
  return {
    ...{ columns: ['path'], decimalComma: false, namesFiles: true, notes: [], files: fileFinder('.') },
    identity: { kind: 'recordings', sha256: '', rows: paths.length },
    async *read() {
      yield paths.map((path, index) => ({ index, line: undefined, fields: { path } }));
    },
  };
}
