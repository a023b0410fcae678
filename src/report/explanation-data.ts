/** @file What is known of one judged utterance and of the attention behind it, and its form as JSON. */

/** A word of a transcript and its share. */
export interface ExplainedWord {
  readonly word: string;
  /** Tokens that the model reads of it; 0 for a word beyond its limit. */
  readonly tokens: number;
  /** The sum over its tokens. */
  readonly weight: number;
}

/** An utterance as a run judges it. All weights are shares of attention. */
export interface Explanation {
  /** Folder of the run, and the display name of its phase. */
  readonly run: string;
  readonly phase: string;
  /** Whether a language model reads the utterance too, in a prompt. */
  readonly hasPrompt: boolean;
  readonly id: string;
  /** The part of the run's corpus that it is from. */
  readonly part: 'train' | 'dev' | 'test';
  readonly transcript: string;
  readonly labels: readonly string[];
  /** [C], in the order of the labels. */
  readonly probabilities: readonly number[];
  readonly label: string;
  readonly reference: string;
  /** How much of each query is in e'_q [N_q]: the mean over the heads of the pooling. They add up to 1. */
  readonly queries: readonly number[];
  /** Undefined for a model that reads no audio. */
  readonly audio?: ExplainedAudio;
  /** Undefined for a model that reads no text. */
  readonly text?: ExplainedText;
}

export interface ExplainedAudio {
  /** Mono samples, as far as the model reads them. */
  readonly samples: Float32Array;
  readonly sampleRateHz: number;
  /** The recording goes on after what the model reads. */
  readonly isCut: boolean;
  /** From the start of a frame to that of the next. */
  readonly frameSec: number;
  /** No config says how long a frame is: it is the duration divided by the number of frames. */
  readonly isFrameSecEstimated: boolean;
  /** Layers with cross-attention that the weights are means over. */
  readonly layers: number;
  /** [L_a]: the map's rows, weighted by `queries`. They add up to 1. */
  readonly weights: readonly number[];
  /** [N_q][L_a]: cross-attention, mean over heads and layers. Each row adds up to 1. */
  readonly map: readonly (readonly number[])[];
}

export interface ExplainedText {
  /** Layers that the weights are means over. */
  readonly layers: number;
  /** With `elsewhere`, their weights add up to 1. */
  readonly words: readonly ExplainedWord[];
  /** What the queries' self-attention gives to the queries themselves, and to tokens of no word. */
  readonly elsewhere: { readonly queries: number; readonly tokens: number };
}

/** Everything but the samples, as one JSON object. Times are in seconds from the start of the clip. */
export function explanationJson({ audio, text, ...explanation }: Explanation): string {
  const { run, phase, id, part, transcript, labels, probabilities, label, reference, queries } = explanation;
  const value = {
    ...{ run, phase, id, part, transcript, reference, label },
    probabilities: Object.fromEntries(labels.map((each, i) => [each, probabilities[i]])),
    attention: {
      queries,
      ...(audio && {
        frames: {
          layers: audio.layers,
          frame_sec: audio.frameSec,
          frame_sec_estimated: audio.isFrameSecEstimated,
          cut: audio.isCut,
          start_sec: audio.weights.map((_, frame) => frame * audio.frameSec),
          weights: audio.weights,
          by_query: audio.map,
        },
      }),
      ...(text && { words: { layers: text.layers, weights: text.words, elsewhere: text.elsewhere } }),
    },
  };
  // float32 has no more than seven digits.
  const short = (_: string, each: unknown): unknown =>
    typeof each === 'number' ? Number(each.toPrecision(7)) : each;
  return `${JSON.stringify(value, short)}\n`;
}
