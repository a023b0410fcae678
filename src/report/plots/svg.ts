/**
 * @file Generates SVG as text (escaping, elements, the document around a plot), and defines the colours of all plots
 * for light and dark pages. Series colours are close to the hues of Okabe and Ito's palette (Color Universal Design,
 * 2008), adjusted so that each has a contrast of 3:1 to its page (WCAG 2.2, 1.4.11) and any two are distinguishable
 * under simulated protanopia, deuteranopia and tritanopia (Machado et al., 2009). Some of the original eight, including
 * yellow and sky blue, have less than 3:1 on white.
 */

/** Attributes of an element. `fill` and `stroke` name a palette colour; undefined ones are omitted. */
export interface Attributes {
  readonly fill?: Paint | undefined;
  readonly stroke?: Paint | undefined;
  readonly [name: string]: string | number | undefined;
}

/** Name and description of a plot. */
export interface PlotHeading {
  /** File name, and prefix of the ids in the file: lower case, digits and hyphens. */
  readonly name: string;
  readonly title: string;
  /** Alternative text for readers who cannot see the plot. */
  readonly description: string;
}

/** Width of a plot in user units: about the pixels that a phone has for it, so that text is legible there. */
export const PLOT_WIDTH = 400;

const FONT_SIZE = 12;

/**
 * Text escaped for content and attribute values, in XML and in HTML. Characters not allowed in XML 1.0 (most controls,
 * lone surrogates) become U+FFFD.
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

/**
 * A line of text, escaped. `title` is the full text if `text` is shortened. A `font-size` is in user units at the size of
 * the document, and scales with it: a page shows the text of wide plots smaller than their other parts.
 */
export function textElement(text: string, attributes: Attributes, title?: string): string {
  const whole = title !== undefined && title !== text ? [element('title', {}, escapeText(title))] : [];
  const { 'font-size': size, ...others } = attributes;
  const relative = typeof size === 'number' ? { 'font-size': `${short(size / FONT_SIZE)}em` } : {};
  return element('text', { fill: 'ink', ...others, ...relative }, ...whole, escapeText(text));
}

/** Lets text stand on lines and other marks: its letters have a rim in the colour of the page. */
export const RIMMED: Attributes = { stroke: 'page', 'stroke-width': 3, 'paint-order': 'stroke' };

/** A tooltip of the parent element. */
export function tooltip(text: string): string {
  return element('title', {}, escapeText(text));
}

/** A number with at most two decimals, as short as possible. */
export function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A plot as a standalone document on a white background. Sizes are in user units; a page scales it to its container. */
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

/** Width of text in a sans-serif font, in user units; a slight overestimate for common fonts. */
export function textWidth(text: string, fontSize = 12): number {
  let ems = 0;
  for (const { segment } of graphemes.segment(text)) ems += widthInEms(segment);
  return ems * fontSize;
}

/** The text, truncated with an ellipsis if it exceeds the width. Emoji are kept whole. */
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

/** A colour on a light and on a dark page, as #rrggbb. */
export interface Colour {
  readonly light: string;
  readonly dark: string;
}

const pages = {
  page: { light: '#ffffff', dark: '#15181c' },
  /** Text and axes. */
  ink: { light: '#1b1f24', dark: '#e6e8eb' },
  /** Secondary text, still 4.5:1. */
  muted: { light: '#5b636e', dark: '#a0a8b3' },
  /** Decorative lines. */
  grid: { light: '#dde1e6', dark: '#343a42' },
  /** What is shown of the whole run. No class has this colour, because each class has its own on the whole page. */
  accent: { light: '#33507f', dark: '#9fb6e3' },
} as const;

const series = {
  series1: { light: '#1a59cb', dark: '#587cd2' },
  series2: { light: '#dc6215', dark: '#d7631a' },
  series3: { light: '#00875a', dark: '#14d077' },
  series4: { light: '#ad5486', dark: '#c3739f' },
  series5: { light: '#51521a', dark: '#f6ce29' },
  series6: { light: '#2191ea', dark: '#b3cfff' },
  series7: { light: '#2a160c', dark: '#fff3eb' },
} as const;

export const seriesNames = Object.keys(series) as readonly (keyof typeof series)[];

/** Steps of the sequential colour ramp. */
export const RAMP_STEPS = 10;

const rampEnds = {
  light: ['#f2f5fa', '#123f83'],
  dark: ['#1e242c', '#a9cbff'],
} as const;

type RampStep = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;

/** A colour by its role. */
export type Paint =
  | keyof typeof pages
  | keyof typeof series
  | `ramp${RampStep}`
  | `onRamp${RampStep}`
  | 'none';

/** The n-th series' colour, from 0. Colours repeat after the last one, so shapes or dashes must differ too. */
export function seriesPaint(index: number): Paint {
  return seriesNames[index % seriesNames.length]!;
}

/** The fill for a share in [0, 1], and a readable text colour on it. */
export function rampPaint(share: number): { readonly fill: Paint; readonly text: Paint } {
  const step = Math.max(0, Math.min(RAMP_STEPS - 1, Math.floor(share * RAMP_STEPS))) as RampStep;
  return { fill: `ramp${step}`, text: `onRamp${step}` };
}

/** Every colour by role. */
export const palette: Readonly<Record<Exclude<Paint, 'none'>, Colour>> = {
  ...pages,
  ...series,
  ...rampColours(),
};

/** Contrast ratio of two colours as #rrggbb, 1 to 21 (WCAG 2.2, relative luminance). */
export function contrastRatio(first: string, second: string): number {
  const [high, low] = [luminance(first), luminance(second)].sort((a, b) => b - a) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/**
 * Style rules that apply the page's theme to plots in it. A plot's own attributes are its colours on white; these rules
 * override them.
 */
export function plotStyles(): string {
  const names = Object.keys(palette) as (keyof typeof palette)[];
  const properties = names.map(
    (name) => `--${name}:light-dark(${palette[name].light},${palette[name].dark})`,
  );
  const rules = names.flatMap((name) => [
    `.fill-${name}{fill:var(--${name})}`,
    `.stroke-${name}{stroke:var(--${name})}`,
  ]);
  return `:root{${properties.join(';')}}\n${rules.join('\n')}\n`;
}

function rampColours(): Record<`ramp${RampStep}` | `onRamp${RampStep}`, Colour> {
  const colours: Record<string, Colour> = {};
  for (let step = 0; step < RAMP_STEPS; step++) {
    const at = step / (RAMP_STEPS - 1);
    const fill = { light: mix(...rampEnds.light, at), dark: mix(...rampEnds.dark, at) };
    colours[`ramp${step}`] = fill;
    // Black or white: one of them has a contrast of at least 4.58:1, the square root of 21.
    colours[`onRamp${step}`] = { light: readableOn(fill.light), dark: readableOn(fill.dark) };
  }
  return colours;
}

function readableOn(fill: string): string {
  return contrastRatio(fill, '#000000') > contrastRatio(fill, '#ffffff') ? '#000000' : '#ffffff';
}

function mix(from: string, to: string, at: number): string {
  const [start, end] = [channels(from), channels(to)];
  const mixed = start.map((value, i) => Math.round(value + at * (end[i]! - value)));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

function luminance(colour: string): number {
  const [red, green, blue] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function channels(colour: string): number[] {
  return [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));
}
