/** @file The dialogue that an utterance is part of, by its id. */

/** MELD's `test_dia12_utt3` (or `dia12_utt3`, as released), and IEMOCAP's `Ses01F_script01_1_M002`. */
const FORMS = [/^(.*dia\d+)_utt\d+$/, /^(Ses\d\d[FM]_(?:impro|script)\w+)_[FM][^_]+$/];

/**
 * The dialogue of an utterance: MELD's `test_dia12`, IEMOCAP's `Ses01F_script01_1`. MELD counts dialogues anew in each
 * split, so its split stays in the name.
 * @returns undefined for ids of any other form: most corpora are no conversations
 */
export function dialogueOf(id: string): string | undefined {
  for (const form of FORMS) {
    const dialogue = form.exec(id)?.[1];
    if (dialogue !== undefined) return dialogue;
  }
  return undefined;
}
