/** @file The built-in prompts: the same frame around what is true of each case, of inputs, Former and transcript. */

import type { PromptTemplate } from './prompt.js';

const [SPEAKER, TRANSCRIPT, QUESTION] = [
  'Speaker: {speaker}',
  'Transcript: {transcript}',
  'Which emotion does the speaker express?',
];
/** Stands for the transcript line of an utterance that has none where others have one. */
const NO_TRANSCRIPT = 'Transcript: (none)';

/** The slot, by what is in it: Former over both inputs, Former over the voice alone, projected frames of the voice. */
const FUSION = "A learned representation that fuses the speaker's voice with the words: <AUDIO>";
const VOICE = "A learned representation of the speaker's voice: <AUDIO>";
const FRAMES = "The speaker's voice: <AUDIO>";

/** Our wording; the paper prints none. It is for the system of the paper, and utterances that have a transcript. */
export const DEFAULT_PROMPT: PromptTemplate = {
  system: [
    'You are an emotion recognition system. You are told what is known about one utterance of a conversation and decide which emotion its speaker expresses.',
    'Answer with exactly one of these words: {labels}.',
  ].join('\n'),
  user: [SPEAKER, TRANSCRIPT, FUSION, QUESTION].join('\n'),
  answer: 'Emotion:',
};

/** What the language model is given, as recipes say it. */
export interface PromptCase {
  readonly inputs: 'both' | 'audio' | 'text';
  /** `none`: frames of the voice are in the slot, and nothing has been fused. */
  readonly fusion: 'former' | 'none';
}

/** The built-in user part of a case. */
export interface UserPart {
  readonly user: string;
  /** Of an utterance without a transcript; absent where no transcript is shown at all. */
  readonly withoutText?: string;
}

/** The built-in user part: it speaks of a voice where there is one, and of words where there are some. */
export function builtInUserPart({ inputs, fusion }: PromptCase): UserPart {
  const part = (...lines: readonly string[]): string => [SPEAKER, ...lines, QUESTION].join('\n');
  const voice = fusion === 'none' ? FRAMES : VOICE;
  if (inputs === 'audio') return { user: part(voice) };
  if (inputs === 'text') return { user: part(TRANSCRIPT), withoutText: part(NO_TRANSCRIPT) };
  const fused = fusion === 'none' ? FRAMES : FUSION;
  return { user: part(TRANSCRIPT, fused), withoutText: part(NO_TRANSCRIPT, voice) };
}
