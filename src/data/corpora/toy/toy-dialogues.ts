/**
 * @file A toy corpus of dialogues, in which an utterance's emotion answers what was said before it: good words make the
 * other speaker happy, bad ones sad. Its own words and voice tell nothing.
 */

import { InputError } from '../../../base/index.js';
import { seededRandom } from '../../../engine/tensor/index.js';
import { SESSIONS, sentenceSource, type ToySpeaker, type Valence } from './sentences.js';
import { planToyCorpus, type ToyOptions, type ToyPlan, type ToyUtterance } from './toy-corpus.js';

/** Turns of a dialogue, by two speakers in turn. */
const TURNS = 4;

/**
 * Plans dialogues between pairs of speakers of one session, of four turns each. The first turn answers nothing and is
 * neutral; the others are happy or sad.
 * @throws InputError as for other toy corpora, and for speakers that do not make pairs in each session
 */
export function planToyDialogues(options: ToyOptions): ToyPlan {
  const { seed, utterancesPerSpeaker } = options;
  const { speakers } = planToyCorpus(options);
  if (speakers.length % (2 * SESSIONS) !== 0) {
    throw new InputError(
      `--speakers ${speakers.length}: dialogues need pairs of speakers in each of ${SESSIONS} sessions; give a multiple of ${2 * SESSIONS}`,
    );
  }
  const random = seededRandom(seed, 'toy dialogues');
  const sentence = sentenceSource(random);
  const perPair = utterancesPerSpeaker / (TURNS / 2);
  const pairs = random.shuffle(
    pairsOf(speakers).flatMap((pair) => Array.from({ length: perPair }, () => pair)),
  );
  const utterances = pairs.flatMap((pair, dialogue) => {
    let before: Valence | undefined;
    return Array.from({ length: TURNS }, (_, turn): Omit<ToyUtterance, 'id'> => {
      const label = before === undefined ? 'neutral' : before === 'positive' ? 'happy' : 'sad';
      const valence = random.pick(['positive', 'negative'] as const);
      before = valence;
      return {
        ...{ speaker: pair[turn % 2]!, label, arousal: random.pick(['high', 'low'] as const) },
        ...{ text: sentence(valence), stretch: random.uniform() },
        ...{ dialogue: `dialogue${dialogue + 1}`, turn },
      };
    });
  });
  const named = utterances.map((utterance, index) => ({
    id: `toy_${String(index + 1).padStart(5, '0')}`,
    ...utterance,
  }));
  return { options, speakers, utterances: named };
}

/** Two speakers of a session each. */
function pairsOf(speakers: readonly ToySpeaker[]): (readonly [ToySpeaker, ToySpeaker])[] {
  return Array.from({ length: SESSIONS }, (_, index) => {
    const own = speakers.filter(({ session }) => session === index + 1);
    return own.flatMap((speaker, at) => (at % 2 === 0 ? [[speaker, own[at + 1]!] as const] : []));
  }).flat();
}
