/** @file What the columns of a table of recordings are called, and what people call them instead. */

import { lineError } from '../../base/index.js';

/** Column -> other names for the same thing, in small letters and digits only. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  path: [
    'paths',
    'file',
    'filename',
    'filepath',
    'audio',
    'audiofile',
    'audiopath',
    'wav',
    'wavfile',
    'wavpath',
  ],
  label: ['labels', 'emotion', 'emotions', 'emotionlabel', 'class', 'category'],
  text: ['texts', 'transcript', 'transcripts', 'transcription', 'sentence'],
  speaker: ['speakers', 'speakerid', 'speakername', 'spk', 'spkid', 'actor', 'actorid'],
  split: ['splits', 'subset', 'partition'],
  session: ['sessions', 'sessionid', 'fold'],
  start: ['startsec', 'startseconds'],
  end: ['endsec', 'endseconds'],
  channel: ['channels', 'channelid', 'channelnumber', 'chan'],
};

/** The column that seems to hold `wanted` under another name: `Emotion` for label, `Speaker ID` for speaker. */
export function lookAlike(wanted: string, columns: readonly string[]): string | undefined {
  const names = [plain(wanted), ...(OTHER_NAMES[wanted] ?? [])];
  return columns.find((column) => column !== wanted && names.includes(plain(column)));
}

/**
 * Optional columns under a name that would go unread: speakers that nobody sees would be shared between splits.
 * @param optional columns that may be there; one that is there has no look-alike.
 * @param otherwise what else than renaming helps, for the message.
 * @throws InputError naming file, column and the name that it should have.
 */
export function refuseLookAlikes(
  path: string,
  columns: readonly string[],
  optional: readonly string[],
  otherwise: (wanted: string, found: string) => string = () => '',
): void {
  for (const wanted of optional) {
    const found = columns.includes(wanted) ? undefined : lookAlike(wanted, columns);
    if (found === undefined) continue;
    throw lineError(
      path,
      1,
      `column "${found}" would not be read: rename it to "${wanted}", or to something else if it is not that${otherwise(wanted, found)}`,
    );
  }
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}
