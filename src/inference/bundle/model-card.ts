/** @file The model card of a bundle: README.md with the front matter of the Hugging Face hub. */

import { stringify } from 'yaml';
import { pathExists } from '../../base/index.js';
import {
  corpusMetadataPath,
  isPublishedCorpus,
  readCorpusMetadata,
  readManifest,
} from '../../data/corpora/index.js';
import type { TrainedRun } from '../trained-run.js';
import type { BundleDescription } from './bundle-format.js';

const METRICS = { wa: 'WA (accuracy)', ua: 'UA (mean recall)', wf1: 'weighted F1' } as const;

/** Figures of a test set: shares, and the ends of their intervals. */
export interface CardResults extends Readonly<Record<keyof typeof METRICS, number>> {
  readonly n: number;
  readonly intervals?:
    | Readonly<Record<keyof typeof METRICS, { readonly low: number; readonly high: number }>>
    | null
    | undefined;
}

export interface ModelCardInput {
  readonly description: Omit<BundleDescription, 'files'>;
  readonly run: TrainedRun;
  /** Absent if it has not been scored. */
  readonly results: CardResults | undefined;
}

/** Markdown with YAML front matter: https://huggingface.co/docs/hub/model-cards. */
export async function modelCard({ description, run, results }: ModelCardInput): Promise<string> {
  const { name, labels, system, phase, models, precision } = description;
  const corpus = await corpusOf(run);
  const frontMatter = {
    library_name: 'emoq',
    pipeline_tag: 'audio-classification',
    tags: ['speech-emotion-recognition', 'onnx', system],
    ...(corpus.languages.length > 0 && { language: corpus.languages }),
    ...(results && {
      'model-index': [
        {
          name,
          results: [
            {
              task: { type: 'audio-classification', name: 'speech emotion recognition' },
              dataset: { type: corpus.id, name: `${corpus.title}, test set` },
              metrics: Object.entries(METRICS).map(([key, title]) => ({
                type: key,
                name: title,
                value: results[key as keyof typeof METRICS],
              })),
            },
          ],
        },
      ],
    }),
  };
  const title = models.length > 1 ? 'an EmoQ-Former and a language model' : `the ${phase} of ${system}`;
  const reads = [
    ...(description.encoder === null ? [] : ['a recording of speech']),
    ...(readsText(description) ? ['its transcript'] : []),
  ].join(' and ');
  return `---
${stringify(frontMatter).trimEnd()}
---

# ${name}

A model of speech emotion: ${title} that reads ${reads} and gives probabilities of ${labels.join(', ')}. It was trained
with emoq ${description.versions.emoq}, and computes in ${precision}.

\`\`\`sh
emoq predict calls.csv -o emotions.csv --bundle .
\`\`\`

\`bundle.json\` describes the ONNX files, which any runtime of ONNX can run.

## Figures

${results === undefined ? 'It had not been scored when this was written.' : table(results, corpus.title)}

${quantizationText(description)}## Training

Corpus: ${corpus.title}${corpus.source === undefined ? '' : ` (${corpus.source})`}. ${corpus.licence}
${run.metadata.utterances.train.toLocaleString('en')} utterances were trained on, seed ${run.metadata.seed}. \`recipe.yaml\` has every setting.

## Use and limits

For research, and for products whose users know of it. The labels are what the annotators of ${corpus.title} heard,
in its language${languageNames(corpus.languages)}, recordings and situations. In others, and for other groups of speakers, expect worse figures than these,
and measure them first. A probability is not certainty; what a person feels
cannot be read from a recording. Do not decide about people by it: emotion recognition of people at work or in education
is prohibited in the European Union (Regulation (EU) 2024/1689, article 5), and restricted elsewhere.

The licences of the pretrained backbones apply too; they are in the folders beside this file where they came with them.
`;
}

/** A paragraph on what integers have changed; '' without them. */
function quantizationText({ quantization }: ModelCardInput['description']): string {
  if (quantization === undefined) return '';
  const { type, compared } = quantization;
  const change =
    compared === null
      ? 'How much this changes was not measured: the corpus was not there.'
      : `Of ${compared.utterances} utterances, ${compared.same_labels} have the label that they have in float32; a probability differs by ${compared.largest_difference.toFixed(3)} at most, and by ${compared.mean_difference.toFixed(4)} on average. The figures above are those of the model in float32.`;
  const what =
    type === 'int8'
      ? 'The products with weights are computed in 8-bit integers'
      : 'The weights of the language model are in 4 bits, and products with weights are computed in 8-bit integers';
  return `${what}, for CPUs. ${change}\n\n`;
}

function readsText({ views }: ModelCardInput['description']): boolean {
  return views.text;
}

/** `| WA (accuracy) | 74.4 % | 72.1 to 76.5 % |` */
function table(results: CardResults, corpus: string): string {
  const percent = (share: number): string => (100 * share).toFixed(1);
  const { intervals } = results;
  const rows = Object.entries(METRICS).map(([key, title]) => {
    const metric = key as keyof typeof METRICS;
    const { low, high } = intervals?.[metric] ?? {};
    const range = low === undefined || high === undefined ? '' : `${percent(low)} to ${percent(high)} %`;
    return `| ${title} | ${percent(results[metric])} % | ${range} |`;
  });
  return `Test set of ${corpus}, ${results.n.toLocaleString('en')} utterances:

| | | 95 % bootstrap interval |
|---|---|---|
${rows.join('\n')}`;
}

interface CorpusNotes {
  readonly id: string;
  readonly title: string;
  readonly source: string | undefined;
  /** BCP 47 tags; empty if unknown. */
  readonly languages: readonly string[];
  /** A sentence. */
  readonly licence: string;
}

/** ` (German)`, ` (Chinese, English)`; '' for none. */
function languageNames(tags: readonly string[]): string {
  const names = new Intl.DisplayNames(['en'], { type: 'language' });
  return tags.length === 0 ? '' : ` (${tags.map((tag) => names.of(tag)).join(', ')})`;
}

/** The corpus of a run, as far as its manifest is still there. */
async function corpusOf({ recipe, metadata }: TrainedRun): Promise<CorpusNotes> {
  const { path } = metadata.manifest;
  const manifest = (await pathExists(path)) ? await readManifest(path) : undefined;
  const name = manifest?.name ?? recipe.name;
  const languages = manifest?.info.languages ?? [];
  if (!isPublishedCorpus(name)) {
    return {
      id: name,
      title: name,
      source: undefined,
      languages,
      licence: 'Its licence is not known to emoq.',
    };
  }
  const { title, source, licence } = await readCorpusMetadata(corpusMetadataPath(name));
  return { id: name, title, source, languages, licence: `Its licence: ${licence}.` };
}
