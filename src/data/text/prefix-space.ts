/**
 * @file The space that some tokenizers put before a text: SentencePiece's of Llama 2, and byte-level ones on demand. Where
 * a text goes on from another, the space would be one that nobody wrote.
 */

/** What a text stands behind: a token that was placed by id, or other text. */
export type Preceding = 'token' | 'text';

/**
 * The normalizer and the pre-tokenizer of a tokenizer.json for a text behind something, as the original library has it:
 * behind a token the space is left out where it is for the first part of a text alone, behind text everywhere.
 */
export function withoutPrefixSpace(
  tokenizerJson: Readonly<Record<string, unknown>>,
  preceding: Preceding,
): Record<string, unknown> {
  return {
    ...tokenizerJson,
    normalizer: adapted(tokenizerJson.normalizer, preceding) ?? null,
    pre_tokenizer: adapted(tokenizerJson.pre_tokenizer, preceding) ?? null,
  };
}

/** undefined for a step that falls away. */
function adapted(step: unknown, preceding: Preceding): unknown {
  if (!isStep(step)) return step;
  const isText = preceding === 'text';
  if (step.type === 'Prepend') return isText ? undefined : step;
  if (step.type === 'ByteLevel') return isText ? { ...step, add_prefix_space: false } : step;
  if (step.type === 'Metaspace') {
    const isLeftOut = isText || step.prepend_scheme === 'first';
    return isLeftOut ? { ...step, add_prefix_space: false, prepend_scheme: 'never' } : step;
  }
  const inner = (steps: unknown): unknown =>
    Array.isArray(steps)
      ? steps.map((each) => adapted(each, preceding)).filter((each) => each !== undefined)
      : steps;
  if (step.type !== 'Sequence') return step;
  return {
    ...step,
    ...(step.normalizers !== undefined && { normalizers: inner(step.normalizers) }),
    ...(step.pretokenizers !== undefined && { pretokenizers: inner(step.pretokenizers) }),
  };
}

function isStep(step: unknown): step is Readonly<Record<string, unknown>> {
  return typeof step === 'object' && step !== null && !Array.isArray(step);
}
