/** @file White space in values of prompts. */

/** A value on one line: white space becomes single spaces. '' for undefined. */
export function flat(value: string | undefined): string {
  return (value ?? '').replace(/\s+/g, ' ').trim();
}
