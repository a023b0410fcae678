/**
 * @file What was said before an utterance: earlier turns of its dialogue, as speakers and words. A history has no
 * labels, and leaves neither its dialogue nor the split and session of its utterance.
 */

import { InputError, lineError } from '../../base/index.js';
import type { HistoryTurn, Manifest, Utterance } from './manifest.js';
import { withoutTags } from './passages.js';

/** MELD's `test_dia12_utt3` (or `dia12_utt3`, as released), and IEMOCAP's `Ses01F_script01_1_M002`. */
const FORMS = [/^(.*dia\d+)_utt\d+$/, /^(Ses\d\d[FM]_(?:impro|script)\w+)_[FM][^_]+$/];

/**
 * The dialogue of an utterance by its id: MELD's `test_dia12`, IEMOCAP's `Ses01F_script01_1`. MELD numbers dialogues
 * separately in each split, so the split is kept in the name.
 * @returns undefined for ids of any other form: most corpora are not conversations
 */
export function dialogueOf(id: string): string | undefined {
  for (const form of FORMS) {
    const dialogue = form.exec(id)?.[1];
    if (dialogue !== undefined) return dialogue;
  }
  return undefined;
}

/** The dialogue of an utterance, as its manifest says or its id; '' if it is in none. */
export function dialogueOfUtterance({ id, dialogue }: Pick<Utterance, 'id' | 'dialogue'>): string {
  return dialogue || (dialogueOf(id) ?? '');
}

/** Which turns an utterance's history has, and how their words are read. */
export interface HistoryView {
  /** The most turns. */
  readonly history: number;
  readonly stripTags?: boolean | undefined;
  /** `recognised`: turns without a clip, whose words only the release knows, are left out. */
  readonly text?: 'given' | 'recognised' | undefined;
}

/** Whether a manifest says of any utterances which dialogue they are turns of. */
export function hasDialogues({ utterances }: Pick<Manifest, 'utterances'>): boolean {
  return utterances.some(({ dialogue = '' }) => dialogue !== '');
}

interface Placed extends Omit<HistoryTurn, 'id'> {
  readonly id: string | undefined;
  readonly turn: number;
}

/**
 * The history of each utterance of a manifest, by id: the last turns before it that have words, oldest first.
 * @param utterances all of the manifest, whatever their labels, with the texts that are read
 * @throws InputError if the manifest does not say which utterances are turns of one dialogue, or gives two of them one
 *   place
 */
export function historiesOf(
  manifest: Pick<Manifest, 'csvPath' | 'lineOf' | 'info' | 'utterances'>,
  utterances: readonly Utterance[],
  { history: most, stripTags = false, text: origin }: HistoryView,
): ReadonlyMap<string, readonly HistoryTurn[]> {
  if (!hasDialogues(manifest)) {
    throw new InputError(
      `${manifest.csvPath} names no dialogues in a column "dialogue", which prompt.history reads; prepare the corpus again with this emoq (of a table of your own, with the columns dialogue and turn), or set prompt.history to 0`,
    );
  }
  const dialogues = new Map<string, Placed[]>();
  const place = (
    { dialogue = '', split, session }: Pick<Utterance, 'dialogue' | 'split' | 'session'>,
    turn: Placed,
  ): void => {
    if (dialogue === '') return;
    const key = JSON.stringify([split, session, dialogue]);
    const members = dialogues.get(key) ?? [];
    members.push(turn);
    dialogues.set(key, members);
  };
  const wordsOf = (text: string): string => (stripTags ? withoutTags(text) : text);
  for (const utterance of utterances) {
    const { id, turn = 0, speaker, gender } = utterance;
    place(utterance, { id, turn, speaker, gender, text: wordsOf(utterance.text) });
  }
  if (origin !== 'recognised') {
    for (const other of manifest.info.other_turns ?? []) {
      const { turn, speaker, gender } = other;
      place(other, { id: undefined, turn, speaker, gender, text: wordsOf(other.text) });
    }
  }
  const histories = new Map<string, readonly HistoryTurn[]>(utterances.map(({ id }) => [id, []]));
  for (const members of dialogues.values()) {
    members.sort((a, b) => a.turn - b.turn);
    const spoken: HistoryTurn[] = [];
    for (const [index, { id, turn, ...said }] of members.entries()) {
      const before = members[index - 1];
      if (before?.turn === turn) refuseSharedPlace(manifest, [before, members[index]!]);
      if (id !== undefined) histories.set(id, spoken.slice(-most));
      if (said.text.trim() !== '') spoken.push({ ...said, ...(id !== undefined && { id }) });
    }
  }
  return histories;
}

/** Two turns with one number have no order. */
function refuseSharedPlace(
  { csvPath, lineOf }: Pick<Manifest, 'csvPath' | 'lineOf'>,
  [first, second]: readonly [Placed, Placed],
): never {
  const [a, b] = first.id === undefined ? [second, first] : [first, second];
  const other = b.id === undefined ? 'a turn without a clip' : b.id;
  throw lineError(
    csvPath,
    lineOf.get(a.id ?? ''),
    `${a.id} and ${other} are both turn ${a.turn} of their dialogue; number the turns in their order`,
  );
}
