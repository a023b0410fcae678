/** @file The corpora that `emoq prepare` knows by name, and descriptions that users bring. */

import { readdir } from 'node:fs/promises';
import { extname } from 'node:path';
import { didYouMean, InputError, pathExists } from '../../base/index.js';
import { corpusMetadataFolder, corpusMetadataPath, readCorpusMetadata } from './corpus-metadata.js';
import { prepareDescribed } from './description/described-corpus.js';
import { prepareIemocap } from './iemocap.js';
import { prepareMeld } from './meld.js';
import type { PreparationSummary, ReleaseOptions } from './preparation.js';

type Prepare = (options: Omit<ReleaseOptions, 'metadataPath'>) => Promise<PreparationSummary>;

/** A corpus that can be prepared from its raw release. */
export interface Release {
  /** Name of the corpus; the folder that it is prepared into by default has this name too. */
  readonly name: string;
  readonly title: string;
  /** BCP 47 tags; empty if unknown. */
  readonly languages: readonly string[];
  /** Usual name of the folder that holds the release, and what it is. */
  readonly root: { readonly name: string; readonly what: string };
  readonly prepare: Prepare;
}

/** Corpora whose releases need code. */
const READERS: Readonly<Record<string, Prepare>> = { iemocap: prepareIemocap, meld: prepareMeld };

/** Names of the descriptions that come with emoq, sorted. */
export async function releaseNames(): Promise<string[]> {
  const files = await readdir(corpusMetadataFolder());
  return files.flatMap((file) => (file.endsWith('.yaml') ? [file.slice(0, -'.yaml'.length)] : [])).sort();
}

/**
 * A corpus by its name, or by the file of its description (a path, or a name that ends in .yaml).
 * @throws InputError for a name that there is not, and for an invalid description
 */
export async function openRelease(nameOrFile: string): Promise<Release> {
  const isFile = /[/\\]/.test(nameOrFile) || ['.yaml', '.yml'].includes(extname(nameOrFile).toLowerCase());
  const names = await releaseNames();
  if (!isFile && !names.includes(nameOrFile)) {
    const file = `${nameOrFile}.yaml`;
    const advice = (await pathExists(file))
      ? `; to prepare what ${file} describes, write emoq prepare ./${file}`
      : didYouMean(nameOrFile, names) || '; emoq prepare --list lists them';
    throw new InputError(`there is no corpus ${nameOrFile}${advice}`);
  }
  const path = isFile ? nameOrFile : corpusMetadataPath(nameOrFile);
  const { corpus: name, title, language = [], root, utterance } = await readCorpusMetadata(path);
  const reader = isFile ? undefined : READERS[nameOrFile];
  if (reader === undefined && utterance === undefined) {
    throw new InputError(`${path}, key utterance: is missing: it says where labels come from`);
  }
  return {
    name,
    title,
    languages: language,
    root: root ?? { name: 'FOLDER', what: 'the folder that the description is of' },
    prepare: reader ?? ((options) => prepareDescribed({ ...options, metadataPath: path })),
  };
}
