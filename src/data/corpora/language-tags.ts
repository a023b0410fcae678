/** @file Languages of speech, as BCP 47 tags. */

import { z } from 'zod';

/** The tags of a corpus. */
export const languageTags = z.array(
  z.string().refine(isLanguageTag, { error: 'must be a BCP 47 tag such as en or zh' }),
);

/** Of a language with a code of ISO 639: a name such as "english" would be a tag that is not registered. */
function isLanguageTag(tag: string): boolean {
  try {
    return /^[a-z]{2,3}(?:-|$)/.test(tag) && Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}
