/** @file How much room text takes, near enough to place it without a font at hand. */

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Width of text in a sans-serif font, in user units: on the generous side for the common fonts. */
export function textWidth(text: string, fontSize = 12): number {
  let ems = 0;
  for (const { segment } of graphemes.segment(text)) ems += widthInEms(segment);
  return ems * fontSize;
}

/** The text, or as much of its start as fits into the width, with an ellipsis behind it. Emoji are kept whole. */
export function fitText(text: string, width: number, fontSize = 12): string {
  const line = text.replace(/\s+/g, ' ');
  if (textWidth(line, fontSize) <= width) return line;
  let kept = '';
  let left = width / fontSize - widthInEms('…');
  for (const { segment } of graphemes.segment(line)) {
    left -= widthInEms(segment);
    if (left < 0) break;
    kept += segment;
  }
  return `${kept}…`;
}

function widthInEms(grapheme: string): number {
  if (/^[ijlft.,:;'|!()[\] ]$/.test(grapheme)) return 0.36;
  if (/^[mwMW%@…]$/.test(grapheme)) return 0.95;
  if (/^[A-Z]$/.test(grapheme)) return 0.7;
  // Beyond Latin, Greek, Cyrillic, Hebrew and Arabic: scripts and emoji that are as wide as they are high.
  return grapheme.codePointAt(0)! < 0x1100 ? 0.6 : 1.1;
}
