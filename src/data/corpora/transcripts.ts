/** @file Transcripts as words: without tags, repaired, and as what two of them must have in common to say the same. */

/** `Okay. [LAUGHTER] Bye.` -> `Okay. Bye.`: what stands in brackets is somebody's note, not speech. */
export function withoutTags(text: string): string {
  return text
    .replace(/\[[^[\]]*\]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The words alone: no tags, capitals or punctuation. Equal for transcripts that say the same. */
export function spokenWords(text: string): string {
  return withoutTags(text)
    .normalize('NFKC')
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();
}

/** Words of what `spokenWords` returns. */
export function wordCount(words: string): number {
  return words === '' ? 0 : words.split(' ').length;
}

/** Windows-1252 from 0x80 to 0x9F; its five free places stay controls. (Node 20 decodes this label as Latin-1.) */
const WINDOWS_1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/**
 * Text of a corpus file. Older copies were converted from Windows-1252 by halves: some hold its bytes as they are,
 * some its codes 0x80 to 0x9F as control characters. Both become the marks that were meant (… ‘ ’ “ ” – —), and
 * no-break spaces become spaces. Lines that are UTF-8 stay as they are.
 */
export function repairText(bytes: Uint8Array): string {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  const decodeLine = (line: Uint8Array): string => {
    try {
      return utf8.decode(line);
    } catch {
      return Buffer.from(line).toString('latin1'); // 0x80 to 0x9F become controls, and are repaired below
    }
  };
  const lines: string[] = [];
  for (let start = 0; start <= bytes.length; ) {
    const end = bytes.indexOf(10, start);
    const stop = end < 0 ? bytes.length : end;
    lines.push(decodeLine(bytes.subarray(start, stop)));
    start = stop + 1;
  }
  return lines
    .join('\n')
    .replace(/[\u0080-\u009f]/g, (control) => WINDOWS_1252[control.charCodeAt(0) - 0x80]!)
    .replaceAll('\u00a0', ' ');
}
