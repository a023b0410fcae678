/** @file How YAML of recipes is parsed, in files, on command lines and in runs: keys are texts, and values are values. */

import {
  type Document,
  isScalar,
  type LineCounter,
  type Node,
  parseDocument,
  visit,
  YAMLParseError,
} from 'yaml';

/** The document of a text, with what is wrong with it in `errors`. */
export function recipeDocument(text: string, lineCounter?: LineCounter): Document.Parsed {
  const document = parseDocument(text, {
    prettyErrors: false,
    logLevel: 'error', // else what it thinks odd would go to stderr beside what we say of it
    ...(lineCounter !== undefined && { lineCounter }),
  });
  // A list for a key would become a text: of aliases of aliases one without end.
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && (typeof key.value !== 'object' || key.value === null)) return undefined;
      const [start, end = start] = (key as Node | null)?.range ?? [0];
      document.errors.push(
        new YAMLParseError([start, end], 'BAD_COLLECTION_TYPE', 'a key must be a text, not a list or a map'),
      );
      return visit.BREAK;
    },
  });
  return document;
}
