/** @file Sections on single utterances: the map of their embeddings, and the worst mistakes. */

import { marginOf, overallOf, percent } from '../evaluation/index.js';
import {
  type AbsentSection,
  absent,
  type Cell,
  figure,
  paragraph,
  type Section,
  section,
  table,
  userText,
} from './blocks.js';
import { countText, escapeText } from './plots/index.js';
import type { Mistake, ReportData, ReportUtterance } from './report-data.js';
import type { PlotsBySection } from './report-plots.js';

/**
 * Data of the map's points for the page's script: columns of equal length, one entry per point. Positions are in units
 * of the plot; probabilities are in per mille, -1 if there are none.
 */
export interface MapPoints {
  readonly labels: readonly string[];
  readonly speakers: readonly string[];
  readonly parts: readonly string[];
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly id: readonly string[];
  readonly text: readonly string[];
  /** Index into `speakers`, -1 if unknown. */
  readonly speaker: readonly number[];
  /** Index into `parts` (folds and seeds), -1 if there are none. */
  readonly part: readonly number[];
  readonly reference: readonly number[];
  /** -1 if there is no answer. */
  readonly predicted: readonly number[];
  readonly probability: readonly number[];
}

export function mapSection(data: ReportData, { map }: PlotsBySection): Section | AbsentSection {
  const title = 'Map of the embeddings';
  if (map === null || data.map.kind === 'missing') {
    return absent('map', title, data.map.kind === 'missing' ? data.map.reason : '');
  }
  const { width, height } = map.layout;
  const unplaced = map.layout.positions.filter((position) => position === null).length;
  return section(
    'map',
    title,
    {},
    paragraph(
      `Each point is an utterance, placed by its embedding e'_q with UMAP (${data.map.settings}). Only nearness is meaningful; the axes have no meaning.${unplaced === 0 ? '' : ` ${countText(unplaced)} utterances have no embedding and are not shown.`}`,
      'note',
    ),
    {
      kind: 'screen',
      html: `<p id="map-keys" class="note screen-only">Hover over a point to see its utterance. With the keyboard, arrow keys move to the next point in that direction, Page Down and Page Up to the next and previous utterance of the file, Home and End to the first and last.</p>`,
    },
    {
      kind: 'views',
      group: 'map',
      label: 'Points show',
      views: [
        { name: 'labels', choice: 'Reference label', blocks: [figure(map.labels)] },
        { name: 'correctness', choice: 'Right or wrong', blocks: [figure(map.correctness)] },
      ],
    },
    {
      kind: 'screen',
      html: `<div id="map-text" class="screen-only" role="status" aria-live="polite" aria-atomic="true"><p>No point is selected.</p></div>
<script type="application/json" id="map-points" data-width="${width}" data-height="${height}">${scriptJson(mapPoints(data, map.layout.positions))}</script>`,
    },
  );
}

/** JSON that is safe inside a script element: nothing in it can end the element. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replace(/</g, '\\u003c');
}

export function mistakeSection(data: ReportData): Section | AbsentSection {
  const { mistakes, utterances, labels } = data;
  const title = 'Worst mistakes';
  if (mistakes.length === 0) return absent('mistakes', title, whyNoMistakes(data));
  const columns = [
    { name: 'utterance' },
    { name: 'transcript' },
    { name: 'reference' },
    { name: 'predicted' },
    { name: 'probability %', figures: true },
    { name: 'of the reference %', figures: true },
    { name: 'margin %', figures: true },
    { name: 'recording', screenOnly: true },
  ];
  return section(
    'mistakes',
    title,
    { width: 'all', isPrinted: false },
    table(
      'The worst mistakes, sorted by how far the probability of the predicted class exceeds that of the reference. The margin is the difference between the largest and the second largest probability.',
      columns,
      mistakes.map((mistake) => mistakeRow(mistake, utterances[mistake.utterance]!, labels)),
    ),
  );
}

function whyNoMistakes({ scores, utterances }: ReportData): string {
  if (overallOf(scores).wa === 1) return 'There are none: every utterance was predicted correctly.';
  const wrong = utterances.filter(
    ({ predicted, reference }) => predicted !== null && predicted !== reference,
  );
  if (wrong.length === 0) return 'There are none: every answered utterance was predicted correctly.';
  return wrong.some(({ probabilities }) => probabilities !== null)
    ? 'There is no list, because none was requested.'
    : 'There is no list, because the predictions have no probabilities to rank the mistakes by.';
}

function mistakeRow(mistake: Mistake, utterance: ReportUtterance, labels: readonly string[]): Cell[] {
  const { id, speaker, text, reference, predicted, probabilities } = utterance;
  const about = [...(speaker === null ? [] : [speaker]), ...partOf(utterance)];
  const [given, right] = [
    predicted === null ? undefined : probabilities?.[predicted],
    probabilities?.[reference],
  ];
  const share = (value: number | undefined): string => (value === undefined ? '–' : percent(value));
  return [
    {
      html: `${userText(id)}${about.length === 0 ? '' : `<br><small>${about.map(userText).join(', ')}</small>`}`,
      text: [id, ...about].join(', '),
    },
    text === '' ? '–' : text,
    labels[reference]!,
    predicted === null ? 'no answer' : labels[predicted]!,
    share(given),
    share(right),
    share(probabilities ? marginOf(probabilities) : undefined),
    { html: player(mistake, id), text: mistake.audioMissing ?? '' },
  ];
}

function player({ audio, audioMissing }: Mistake, id: string): string {
  if (audio === null) return `<small>${userText(audioMissing ?? 'no recording')}</small>`;
  return `<audio controls preload="none" aria-label="Recording of ${escapeText(id)}" src="${escapeText(audio)}"></audio>`;
}

function mapPoints(
  { utterances, labels }: ReportData,
  positions: readonly (readonly [number, number] | null)[],
): MapPoints {
  const shown = utterances.flatMap((utterance, i) => {
    const position = positions[i];
    return position ? [{ ...utterance, position }] : [];
  });
  const speakers = indexOf(shown.map(({ speaker }) => speaker));
  const parts = indexOf(shown.map((utterance) => partOf(utterance).join(', ') || null));
  return {
    labels,
    speakers: speakers.names,
    parts: parts.names,
    x: shown.map(({ position }) => position[0]),
    y: shown.map(({ position }) => position[1]),
    id: shown.map(({ id }) => id),
    text: shown.map(({ text }) => text),
    speaker: speakers.indices,
    part: parts.indices,
    reference: shown.map(({ reference }) => reference),
    predicted: shown.map(({ predicted }) => predicted ?? -1),
    probability: shown.map(({ predicted, probabilities }) => {
      const given = predicted === null ? undefined : probabilities?.[predicted];
      return given === undefined ? -1 : Math.round(1000 * given);
    }),
  };
}

/** Distinct names, and the index of each item among them; -1 for null. */
function indexOf(items: readonly (string | null)[]): { names: string[]; indices: number[] } {
  const indexOfName = new Map<string, number>();
  const indices = items.map((item) => {
    if (item === null) return -1;
    if (!indexOfName.has(item)) indexOfName.set(item, indexOfName.size);
    return indexOfName.get(item)!;
  });
  return { names: [...indexOfName.keys()], indices };
}

function partOf({ fold, seed }: ReportUtterance): string[] {
  return [...(fold === null ? [] : [`fold ${fold}`]), ...(seed === null ? [] : [`seed ${seed}`])];
}
