/** @file SVG as text: escaping, elements, and the document around a plot. */

import { type Paint, palette } from './palette.js';

/** Attributes of an element. `fill` and `stroke` name a colour of the palette; undefined ones are left out. */
export interface Attributes {
  readonly fill?: Paint | undefined;
  readonly stroke?: Paint | undefined;
  readonly [name: string]: string | number | undefined;
}

/** What a plot is called. */
export interface PlotHeading {
  /** Name of its file, and the start of the ids inside it: lower case, digits and hyphens. */
  readonly name: string;
  readonly title: string;
  /** What a reader who does not see the plot must know. */
  readonly description: string;
}

const FONT_SIZE = 12;

/**
 * Text that is safe as content and as an attribute's value, in XML and in HTML. Characters that XML 1.0 does not have
 * (most controls, lone surrogates) become U+FFFD.
 */
export function escapeText(text: string): string {
  return text.replace(NOT_XML, '\ufffd').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\p{Surrogate}]/gu;

/** An element around children that are already XML. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const { fill, stroke, ...others } = attributes;
  const classes = [
    ...(fill && fill !== 'none' ? [`fill-${fill}`] : []),
    ...(stroke && stroke !== 'none' ? [`stroke-${stroke}`] : []),
  ];
  const all: Record<string, string | number | undefined> = {
    ...(classes.length > 0 ? { class: classes.join(' ') } : {}),
    fill: fill && lightColour(fill),
    stroke: stroke && lightColour(stroke),
    ...others,
  };
  const written = Object.entries(all)
    .filter((entry): entry is [string, string | number] => entry[1] !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? short(value) : escapeText(value)}"`);
  const open = `<${name}${written.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${name}>`;
}

/** A line of text; what stands in it is escaped. `title` is the whole text where `text` is a shortened one. */
export function textElement(text: string, attributes: Attributes, title?: string): string {
  const whole = title !== undefined && title !== text ? [element('title', {}, escapeText(title))] : [];
  return element('text', { fill: 'ink', ...attributes }, ...whole, escapeText(text));
}

/** A title that a pointer over the parent shows. */
export function tooltip(text: string): string {
  return element('title', {}, escapeText(text));
}

/** A number with at most two decimals, as short as it goes. */
export function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A whole plot as a document of its own, on a white ground. Sizes in user units, which are pixels on a screen. */
export function svgDocument(heading: PlotHeading, width: number, height: number, body: string): string {
  const { name, title, description } = heading;
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      width,
      height,
      viewBox: `0 0 ${short(width)} ${short(height)}`,
      role: 'img',
      'aria-labelledby': `${name}-title`,
      'aria-describedby': `${name}-desc`,
      'font-family': 'sans-serif',
      'font-size': FONT_SIZE,
    },
    element('title', { id: `${name}-title` }, escapeText(title)),
    element('desc', { id: `${name}-desc` }, escapeText(description)),
    element('rect', { fill: 'page', width, height }),
    body,
  );
}

function lightColour(paint: Paint): string {
  return paint === 'none' ? 'none' : palette[paint].light;
}

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
