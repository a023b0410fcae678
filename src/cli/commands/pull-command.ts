/** @file `emoq pull`: downloads the published backbones to the Hugging Face cache. */

import { defineCommand, flag, option } from '../command-definition.js';

export const pullCommand = defineCommand({
  argument: {
    name: '<names...>',
    description: 'short names, or ids such as owner/name, optionally with @revision',
  },
  options: {
    revision: option('<revision>', 'a branch, tag or commit, if only one model is named'),
    dryRun: flag('list the files and their sizes without downloading'),
    json: flag('print one JSON object'),
  },
  help: `
Short names: hubert-base, hubert-large, wav2vec2-base, wavlm-base,
wavlm-base-plus, wavlm-large, whisper-tiny, whisper-base, whisper-small,
whisper-medium, whisper-large-v3, roberta-base,
qwen2.5-0.5b-instruct, qwen2.5-1.5b-instruct, qwen2.5-3b-instruct,
qwen2.5-7b-instruct, qwen3-0.6b, tinyllama-1.1b-chat, llama-3.2-1b-instruct
(needs a token: its licence must be accepted on the hub). Short names are pinned
to a commit, other ids use main, and each file is verified against its hash.
After an interruption, the same command resumes the download.

Models go to the cache of huggingface_hub and transformers: HF_HUB_CACHE,
HF_HOME/hub or ~/.cache/huggingface/hub. Respects HF_TOKEN, HF_ENDPOINT,
HF_HUB_OFFLINE and HTTPS_PROXY. Prints the folder of each model.

Example:
  emoq pull hubert-large roberta-base qwen2.5-0.5b-instruct`,
  run: async ({ revision, dryRun = false, json = false }, ...names) => {
    const { pullModels } = await import('./pull-models.js');
    await pullModels(names, { revision, dryRun, json });
  },
});
