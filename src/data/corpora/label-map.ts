/** @file Label maps as people write them, `angry=ang,happy=hap` or a YAML file, and labels that are mapped by one. */

import { InputError, oneLine } from '../../base/index.js';
import { canonicalSpelling, shownSpelling } from '../tables/index.js';
import { readYamlFile } from './corpus-metadata.js';

/** Of a map on the command line, in messages. */
const MOST_SHOWN = 200;

/**
 * Reads a map of labels from text like `angry=ang,happy=hap` or, where the text ends in .yaml or .yml, from that
 * file, which holds `label: other` lines. Labels that look like numbers stay as they are written.
 * @throws InputError naming the pair, or file, line and column.
 */
export async function readLabelMap(source: string): Promise<Record<string, string>> {
  return /\.ya?ml$/i.test(source) ? readMapFile(source) : parsePairs(source);
}

function parsePairs(text: string): Record<string, string> {
  const map = new Map<string, string>();
  for (const pair of text.split(',')) {
    const [from, to, more] = pair.split('=').map((part) => part.trim());
    if (!from || !to || more !== undefined) {
      throw refusal(
        `label map "${oneLine(text, MOST_SHOWN)}": "${oneLine(pair, MOST_SHOWN)}" is not a pair like angry=ang; give pairs with commas between, or a YAML file`,
      );
    }
    addPair(map, from, to, `label map "${oneLine(text, MOST_SHOWN)}"`);
  }
  return Object.fromEntries(map);
}

async function readMapFile(path: string): Promise<Record<string, string>> {
  // The failsafe schema leaves every value as the text that it is: 03 is a label, not a number.
  const { value: content } = await readYamlFile(path, 'label map', 'failsafe');
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new InputError(`${path}: a label map holds lines like "angry: ang"`);
  }
  const map = new Map<string, string>();
  for (const [from, to] of Object.entries(content)) {
    if (typeof to !== 'string' || to.trim() === '') {
      throw refusal(`${path}, key ${from}: must be another label`);
    }
    if (from.trim() === '') throw new InputError(`${path}: a label is empty`);
    addPair(map, from.trim(), to.trim(), path);
  }
  return Object.fromEntries(map);
}

function addPair(map: Map<string, string>, from: string, to: string, where: string): void {
  if (map.has(from)) throw refusal(`${where}: "${from}" is there twice`);
  map.set(from, to);
}

/** Labels may be anything that people have written. */
function refusal(text: string): InputError {
  return new InputError(oneLine(text));
}

/**
 * Maps labels; those that the map does not name stay.
 * @throws InputError when the map names a label that does not occur: it is misspelt, or of another corpus.
 */
export function mapLabels<T extends { label: string }>(
  items: readonly T[],
  labelMap: Readonly<Record<string, string>>,
): T[] {
  const map = new Map(Object.entries(labelMap));
  const labels = new Set(items.map(({ label }) => label));
  for (const from of map.keys()) {
    if (labels.has(from)) continue;
    const near = [...labels].find((label) => canonicalSpelling(label) === canonicalSpelling(from));
    const hint = near === undefined ? '' : ` (${shownSpelling(near)} differs in spelling alone)`;
    throw refusal(
      `label map: no row has the label "${from}"${hint}; the labels are ${[...labels].join(', ')}`,
    );
  }
  return items.map((item) => ({ ...item, label: map.get(item.label) ?? item.label }));
}
