/** @file The attention behind the answer for one utterance, as one HTML file that needs no network. */

import { percent } from '../evaluation/index.js';
import {
  type Block,
  type Cell,
  figure,
  folded,
  paragraph,
  type Section,
  section,
  table,
  userText,
} from './blocks.js';
import type { ExplainedAudio, ExplainedText, Explanation } from './explanation-data.js';
import { blocksHtml, sectionHtml } from './html.js';
import { renderPage } from './page.js';
import { attentionMapPlot, attentionWavePlot, sharesOver } from './plots/index.js';

/** Steps of the colours of words, which are those of the plots. */
const STEPS = 10;
const STEP_NUMBERS = [...Array(STEPS).keys()];
/** Parts of the recording in texts and tables. */
const PARTS = 10;

const styles = `.words{line-height:2;max-width:46rem}
.words span,.legend span{padding:.15rem .25rem;border-radius:.25rem;overflow-wrap:anywhere;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.words .cut{border:1px dashed var(--muted);color:var(--muted)}
${STEP_NUMBERS.map((step) => `.w${step}{background:var(--ramp${step});color:var(--onRamp${step})}`).join('\n')}
.legend{display:flex;gap:.3rem;align-items:center;font-size:.85rem}
.legend span{width:.9rem;height:.8rem;padding:0}
.share{width:8rem;max-width:28vw;height:.8rem;margin-right:.4rem;vertical-align:middle}
#answer p:first-of-type{font-size:1.1rem}
`;

/** The page: the answer, the voice and the words coloured by attention, the map of the queries, and what it means. */
export function renderExplanation(data: Explanation): string {
  const { run, phase, id, part, text, audio, queries } = data;
  const of = { train: 'training', dev: 'validation', test: 'test' }[part];
  const seen = part === 'test' ? '' : ' The run has seen it before.';
  const sections = [
    answerSection(data),
    ...(audio ? [voiceSection(audio)] : []),
    ...(text ? [wordsSection(text)] : []),
    ...(audio ? [querySection(audio, queries)] : []),
    meaningSection(data),
  ];
  return renderPage({
    title: id,
    kind: 'emoq explanation',
    skip: 'Skip to the answer',
    lead: blocksHtml([
      paragraph(`Attention of the ${phase} run in ${run} for an utterance of its ${of} set.${seen}`),
    ]),
    content: sections.map(sectionHtml).join('\n'),
    scripts: ['page-script'],
    styles,
  });
}

function screen(html: string): Block {
  return { kind: 'screen', html };
}

function answerSection({ labels, probabilities, label, reference, transcript }: Explanation): Section {
  const verdict =
    label === reference
      ? `Predicted ${label}, as it is labelled.`
      : `Predicted ${label}, but it is labelled ${reference}.`;
  const rows = labels
    .map((each, i) => ({ each, probability: probabilities[i]! }))
    .sort((a, b) => b.probability - a.probability)
    .map(({ each, probability }): Cell[] => {
      const marks = [...(each === label ? ['predicted'] : []), ...(each === reference ? ['labelled'] : [])];
      const mark = marks.length === 0 ? '' : ` (${marks.join(', ')})`;
      const bar = `<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="fill-grid" width="100" height="10"/><rect class="fill-series1" width="${(100 * probability).toFixed(2)}" height="10"/></svg>`;
      const figures = percent(probability);
      return [
        { html: `${userText(each)}<small>${mark}</small>`, text: each + mark },
        // Padded with spaces as wide as a digit, so that the bars begin below each other.
        { html: `${bar}${figures.padStart(5, '\u2007')}`, text: figures },
      ];
    });
  return section(
    'answer',
    'Answer',
    { width: 'all' },
    paragraph(verdict),
    transcript.trim() === '' ? null : screen(`<p>${userText(transcript)}</p>`),
    table('Probabilities of the classes', [{ name: 'class' }, { name: '%', figures: true }], rows),
  );
}

function voiceSection({ samples, sampleRateHz, frameSec, weights, ...audio }: ExplainedAudio): Section {
  const durationSec = samples.length / sampleRateHz;
  const shares = sharesOver(weights, frameSec, durationSec, PARTS);
  const times = shares.map((_, i) => spanText(i, durationSec));
  const best = shares.indexOf(Math.max(...shares));
  const heading = {
    name: 'attention-wave',
    title: 'Attention over the recording',
    description: `The waveform, stronger in colour where the queries attend more, and below it the attention as a curve; the dashed line is attention that is the same everywhere. Most is given to ${times[best]}. The table below has the same figures.`,
  };
  const svg = attentionWavePlot(heading, { samples, durationSec, frameSec }, weights);
  const notes = [
    'The waveform, stronger in colour where there is more attention; below it, the attention as a curve. Dashed: the same everywhere.',
    ...(audio.isCut ? ['The recording goes on after what the model reads.'] : []),
    ...(audio.isFrameSecEstimated
      ? ['The time of a frame is an estimate: no config of the encoder says it.']
      : []),
  ];
  return section(
    'voice',
    'Voice',
    {},
    paragraph(
      `Of ten parts of equal length, ${times[best]} gets most: ${percent(shares[best]!)} % of the attention to the recording. The same everywhere would be 10 %.`,
    ),
    figure({ ...heading, svg }, notes.join(' ')),
    folded(
      'Attention over the recording as a table',
      table(
        'Share of the attention to each tenth of the recording',
        [{ name: 'time' }, { name: '%', figures: true }],
        shares.map((share, i) => [times[i]!, percent(share)]),
      ),
    ),
  );
}

/** The n-th part of a recording. */
function spanText(part: number, durationSec: number): string {
  const at = (i: number): string => ((i * durationSec) / PARTS).toFixed(2);
  return `${at(part)} to ${at(part + 1)} s`;
}

function wordsSection({ words, elsewhere }: ExplainedText): Section {
  const most = Math.max(...words.map(({ weight }) => weight), Number.MIN_VALUE);
  const spans = words.map(({ word, tokens, weight }) => {
    if (tokens === 0) {
      return `<span class="cut" title="not read: beyond the model's limit">${userText(word)}</span>`;
    }
    const step = Math.min(STEPS - 1, Math.floor((weight / most) * STEPS));
    return `<span class="w${step}" title="${weight.toFixed(4)}">${userText(word)}</span>`;
  });
  const colours = STEP_NUMBERS.map((step) => `<span class="w${step}"></span>`).join('');
  const total = words.reduce((sum, { weight }) => sum + weight, 0);
  const shares = `The words get ${percent(total)} % of this attention, the queries themselves ${percent(elsewhere.queries)} %, and tokens of no word, such as the marks of beginning and end, ${percent(elsewhere.tokens)} %.`;
  return section(
    'words',
    'Words',
    {},
    words.length === 0
      ? paragraph('The utterance has no transcript.')
      : screen(`<p class="words" dir="auto">${spans.join(' ')}</p>
<p class="legend" aria-hidden="true">least ${colours} most attention</p>`),
    paragraph(words.length === 0 ? shares : `${shares} The word with most has ${percent(most)} %.`),
    folded(
      'Attention to the words as a table',
      table(
        'Share of the attention to each word, and elsewhere',
        [{ name: 'word' }, { name: '%', figures: true }, { name: 'tokens', figures: true }],
        [
          ...words.map(({ word, weight, tokens }) => [word, percent(weight), String(tokens)]),
          ['(the queries themselves)', percent(elsewhere.queries), '–'],
          ['(tokens of no word)', percent(elsewhere.tokens), '–'],
        ],
      ),
    ),
  );
}

function querySection(
  { samples, sampleRateHz, frameSec, map }: ExplainedAudio,
  queries: readonly number[],
): Section {
  const durationSec = samples.length / sampleRateHz;
  const heading = {
    name: 'attention-map',
    title: 'Attention of each query',
    description: `A map with a row for each of ${map.length} queries and a column for each moment of the recording, stronger in colour for more attention. Bars on the left are the queries' shares in the embedding. The table below has where each query attends most.`,
  };
  const svg = attentionMapPlot(heading, { durationSec, frameSec }, map, queries);
  const rows = map.map((weights, i) => {
    const shares = sharesOver(weights, frameSec, durationSec, PARTS);
    const best = shares.indexOf(Math.max(...shares));
    return [String(i + 1), percent(queries[i]!), spanText(best, durationSec), percent(shares[best]!)];
  });
  return section(
    'queries',
    'Queries',
    {},
    figure(
      { ...heading, svg },
      'A row for each query, a column for each moment, stronger in colour for more attention. Bars on the left: how much of each query is in the embedding.',
    ),
    folded(
      'The queries as a table',
      table(
        'Each query: its share in the embedding, and the tenth of the recording to which it attends most',
        [
          { name: 'query' },
          { name: 'in the embedding %', figures: true },
          { name: 'most at' },
          { name: '%', figures: true },
        ],
        rows,
      ),
    ),
  );
}

function meaningSection({ audio, text, hasPrompt }: Explanation): Section {
  const over = [
    ...(audio ? [`over the frames, of the cross-attention in ${audio.layers} layers`] : []),
    ...(text ? [`over the words, of the self-attention in ${text.layers} layers`] : []),
  ];
  return section(
    'meaning',
    'What this shows, and what it does not',
    {},
    paragraph(
      `The weights are those of the queries of the EmoQ-Former: means over heads and layers (${over.join('; ')}), with each query counted by its share in the embedding. They say from where the queries took values.`,
    ),
    paragraph(
      'Attention is not a cause. It does not say that a moment or a word made the model give this answer, or that it would give another one without it. What a query takes passes through further layers, and a frame of the speech encoder already holds something of the whole recording; with former.residual: mean, the mean of all frames also passes the queries by. Jain and Wallace (“Attention is not Explanation”, 2019) found models in which quite different weights give nearly the same answer, and in which weights agree little with other measures of importance. Wiegreffe and Pinter (“Attention is not not Explanation”, 2019) reply that this does not make the weights of a trained model arbitrary: they can be one plausible account among several, but whether an account is faithful has to be tested for each model. No such test was made here.',
    ),
    text && hasPrompt
      ? paragraph(
          'The language model reads the transcript a second time, in its prompt. What it attends to there is not shown.',
        )
      : null,
    paragraph(
      'To see whether something matters, predict again without it: another transcript, or a cut recording.',
    ),
  );
}
