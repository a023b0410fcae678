/**
 * @file An independent JSON reader, by RFC 8259 and without recursion: objects are lists of [key, value], so that
 * duplicate keys are visible.
 */

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/sy;
const SPACE = /[ \t\r\n]*/y;
const LITERALS = { true: true, false: false, null: null };

/** An object's members, in order. */
export class Members extends Array {}

/** The value of JSON text; undefined if it is not valid JSON. */
export function strictJson(text) {
  let at = 0;
  const match = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found) at = pattern.lastIndex;
    return found?.[0];
  };
  const string = () => {
    try {
      return JSON.parse(match(STRING) ?? '');
    } catch {
      return undefined; // a control character, or an invalid escape
    }
  };
  /** Open containers, innermost last, each with the key that waits for its value. */
  const open = [];
  for (;;) {
    match(SPACE);
    let value;
    const container = open.at(-1);
    const closes = container?.values instanceof Members ? '}' : ']';
    if (container?.fresh && text[at] === closes) {
      at++;
      value = open.pop().values;
    } else {
      if (container) {
        container.fresh = false;
        if (container.values instanceof Members) {
          container.key = string();
          match(SPACE);
          if (container.key === undefined || text[at++] !== ':') return undefined;
          match(SPACE);
        }
      }
      const char = text[at];
      if (char === '{' || char === '[') {
        at++;
        open.push({ values: char === '{' ? new Members() : [], fresh: true });
        continue;
      }
      const literal = Object.keys(LITERALS).find((name) => text.startsWith(name, at));
      if (literal !== undefined) {
        at += literal.length;
        value = LITERALS[literal];
      } else if (char === '"') value = string();
      else {
        const number = match(NUMBER);
        value = number === undefined ? undefined : Number(number);
      }
      if (value === undefined) return undefined;
    }
    // The value is complete: add it to the innermost container, which may end with it.
    for (;;) {
      const outer = open.at(-1);
      match(SPACE);
      if (!outer) return at === text.length ? value : undefined;
      outer.values.push(outer.values instanceof Members ? [outer.key, value] : value);
      const next = text[at++];
      if (next === ',') break;
      if (next !== (outer.values instanceof Members ? '}' : ']')) return undefined;
      value = open.pop().values;
    }
  }
}

/** True if any nested object has a duplicate key. */
export function hasDoubledKey(value) {
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (!Array.isArray(next)) continue;
    if (next instanceof Members) {
      if (new Set(next.map(([key]) => key)).size < next.length) return true;
      for (const [, inner] of next) waiting.push(inner);
    } else for (const inner of next) waiting.push(inner);
  }
  return false;
}
