/** @file Short names of the published models that emoq is made for, and parsing of model names on the command line. */

import { InputError } from '../../base/index.js';

export interface PublishedModel {
  /** Id on the hub, `owner/name`. */
  readonly id: string;
  /** The commit that `emoq pull` fetches, so that all users get the same weights. */
  readonly commit: string;
}

/**
 * Short names, each with the commit at its model's `main`. Sources: every commit appears with its model's id in several
 * independent public repositories, as a pinned revision or as refs/main of an author's cache.
 */
export const publishedModels: Readonly<Record<string, PublishedModel>> = {
  'hubert-base': {
    id: 'facebook/hubert-base-ls960',
    commit: 'dba3bb02fda4248b6e082697eee756de8fe8aa8a',
  },
  'hubert-large': {
    id: 'facebook/hubert-large-ll60k',
    commit: 'ff022d095678a2995f3c49bab18a96a9e553f782',
  },
  'hubert-large-ls960-ft': {
    id: 'facebook/hubert-large-ls960-ft',
    commit: 'ece5fabbf034c1073acae96d5401b25be96709d8',
  },
  'wav2vec2-base': {
    id: 'facebook/wav2vec2-base',
    commit: '0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8',
  },
  'wav2vec2-base-960h': {
    id: 'facebook/wav2vec2-base-960h',
    commit: '22aad52d435eb6dbaf354bdad9b0da84ce7d6156',
  },
  'wavlm-base': {
    id: 'microsoft/wavlm-base',
    commit: 'efa81aae7ff777e464159e0f877d54eac5b84f81',
  },
  'wavlm-base-plus': {
    id: 'microsoft/wavlm-base-plus',
    commit: '4c66d4806a428f2e922ccfa1a962776e232d487b',
  },
  'wavlm-large': {
    id: 'microsoft/wavlm-large',
    commit: 'c1423ed94bb01d80a3f5ce5bc39f6026a0f4828c',
  },
  'whisper-tiny': {
    id: 'openai/whisper-tiny',
    commit: '169d4a4341b33bc18d8881c4b69c2e104e1cc0af',
  },
  'whisper-base': {
    id: 'openai/whisper-base',
    commit: 'e37978b90ca9030d5170a5c07aadb050351a65bb',
  },
  'whisper-small': {
    id: 'openai/whisper-small',
    commit: '973afd24965f72e36ca33b3055d56a652f456b4d',
  },
  'whisper-medium': {
    id: 'openai/whisper-medium',
    commit: 'abdf7c39ab9d0397620ccaea8974cc764cd0953e',
  },
  'whisper-large-v3': {
    id: 'openai/whisper-large-v3',
    commit: '06f233fe06e710322aca913c1bc4249a0d71fce1',
  },
  'roberta-base': {
    id: 'FacebookAI/roberta-base',
    commit: 'e2da8e2f811d1448a5b465c236feacd80ffbac7b',
  },
  'qwen2.5-0.5b-instruct': {
    id: 'Qwen/Qwen2.5-0.5B-Instruct',
    commit: '7ae557604adf67be50417f59c2c2f167def9a775',
  },
  'qwen2.5-1.5b-instruct': {
    id: 'Qwen/Qwen2.5-1.5B-Instruct',
    commit: '989aa7980e4cf806f80c7fef2b1adb7bc71aa306',
  },
  'qwen2.5-3b-instruct': {
    id: 'Qwen/Qwen2.5-3B-Instruct',
    commit: 'aa8e72537993ba99e69dfaafa59ed015b17504d1',
  },
  'qwen2.5-7b-instruct': {
    id: 'Qwen/Qwen2.5-7B-Instruct',
    commit: 'a09a35458c702b33eeacc393d103063234e8bc28',
  },
  'qwen3-0.6b': {
    id: 'Qwen/Qwen3-0.6B',
    commit: 'c1899de289a04d12100db370d81485cdf75e47ca',
  },
  'tinyllama-1.1b-chat': {
    id: 'TinyLlama/TinyLlama-1.1B-Chat-v1.0',
    commit: 'fe8a4ea1ffedaf415f4da2f062534de366a451e6',
  },
  'llama-3.2-1b-instruct': {
    id: 'meta-llama/Llama-3.2-1B-Instruct',
    commit: '9213176726f574b556790deb65791e0c5aa438b6',
  },
};

/** A requested model and revision. */
export interface ModelRequest {
  /** `owner/name` */
  readonly id: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** True if the revision is the commit that emoq pins rather than the user's choice. */
  readonly isPinned: boolean;
}

/** The published model with a short name, case-insensitive. */
export function publishedModel(name: string): PublishedModel | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(publishedModels, key) ? publishedModels[key] : undefined;
}

/**
 * Parses `name` or `name@revision`, where the name is a short name or `owner/name`. undefined for an unknown short
 * name.
 * @throws InputError when it is not a valid name
 */
export function parseModelName(text: string): ModelRequest | undefined {
  const [name = '', ...rest] = text.split('@');
  const revision = rest.length === 0 ? undefined : rest.join('@');
  // Revisions become file names in the cache.
  if (revision !== undefined && !/^(?!.*(\.\.|\/\/|\/$))[\w][\w./+-]*$/.test(revision)) {
    throw new InputError(`"${text}": ${JSON.stringify(revision)} is not a branch, a tag or a commit`);
  }
  const published = publishedModel(name);
  if (published) return request(published.id, revision, published.commit);
  if (/^[\w.-]+$/.test(name)) return undefined;
  if (!/^(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*\/[A-Za-z0-9_][\w.-]*$/.test(name)) {
    throw new InputError(
      `"${text}" is not the name of a model; give owner/name, such as Qwen/Qwen2.5-0.5B-Instruct`,
    );
  }
  return request(name, revision);
}

function request(id: string, revision: string | undefined, pinned?: string): ModelRequest {
  return {
    id,
    revision: revision ?? pinned ?? 'main',
    isPinned: revision === undefined && pinned !== undefined,
  };
}
