/** @file The prepared corpora below data/: whether manifest and counts are as preparation left them. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorMessage, pathExists } from '../../../base/index.js';
import { type Manifest, readManifest } from '../../../data/corpora/index.js';
import { type Check, checked } from './check.js';

const ROOT = 'data';

export async function corpusChecks(): Promise<Check[]> {
  const folders = (await readdir(ROOT, { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => join(ROOT, name))
    .sort();
  const checks: Check[] = [];
  for (const folder of folders) {
    const check = await folderCheck(folder);
    if (check) checks.push(check);
  }
  if (checks.length > 0) return checks;
  return [checked('corpus', 'missing', `there is none in ${ROOT}/`, { mend: 'emoq prepare-toy' })];
}

/** undefined where the folder holds no corpus, not even one on its way. */
async function folderCheck(folder: string): Promise<Check | undefined> {
  const csvPath = join(folder, 'manifest.csv');
  const isStarted = await Promise.all(
    ['manifest.csv', 'manifest.json', 'preparation.jsonl'].map((name) => pathExists(join(folder, name))),
  );
  if (!isStarted.some(Boolean)) return undefined;
  if (!isStarted[0]) {
    return checked('corpus', 'warning', `${folder}: preparation has not finished`, {
      mend: preparationCommand(csvPath),
      facts: { manifest: csvPath },
    });
  }
  return manifestCheck(csvPath, false);
}

/** Whether a manifest is whole and as preparation wrote it. */
export async function manifestCheck(csvPath: string, needed: boolean): Promise<Check> {
  const mend = preparationCommand(csvPath);
  if (!(await pathExists(csvPath))) {
    const facts = { manifest: csvPath };
    return checked('corpus', 'missing', `${csvPath}: does not exist`, { needed, mend, facts });
  }
  let manifest: Manifest;
  try {
    manifest = await readManifest(csvPath);
  } catch (error) {
    const status = needed ? 'missing' : 'warning';
    return checked('corpus', status, errorMessage(error), { needed, mend, facts: { manifest: csvPath } });
  }
  const { info, utterances, sha256, prepared } = manifest;
  const facts = {
    manifest: csvPath,
    name: info.name,
    utterances: utterances.length,
    counts: info.counts.total,
    sha256,
    sha256_right: sha256 === info.sha256,
  };
  const counts = Object.entries(info.counts.total).map(([label, count]) => `${label} ${count}`);
  const found = `${csvPath}: ${utterances.length.toLocaleString('en')} ${utterances.length === 1 ? 'utterance' : 'utterances'} (${counts.join(', ')})`;
  if (!prepared) {
    return checked('corpus', 'warning', `${found}; written by hand, without manifest.json`, {
      needed,
      facts,
    });
  }
  if (sha256 === info.sha256 && utterances.length === info.utterances) {
    return checked('corpus', 'ok', `${found}, checksum right`, { needed, facts });
  }
  const edited = `${csvPath}: is not as it was prepared: ${utterances.length} utterances of ${info.utterances}, ${sha256 === info.sha256 ? 'the same' : 'another'} checksum`;
  return checked('corpus', 'warning', edited, { needed, mend, facts });
}

/** How a corpus of this place is prepared. */
export function preparationCommand(csvPath: string): string {
  const name = basename(dirname(csvPath));
  if (name === 'toy4') return 'emoq prepare-toy';
  if (name === 'meld') return 'emoq prepare-meld --root MELD.Raw';
  if (name === 'iemocap') return 'emoq prepare-iemocap --root IEMOCAP_full_release';
  return `emoq prepare-csv FILE.csv --name ${name}`;
}
