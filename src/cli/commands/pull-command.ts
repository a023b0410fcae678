/** @file `emoq pull`: the published backbones into the Hugging Face cache. */

import { defineCommand, flag, option } from '../command-definition.js';

export const pullCommand = defineCommand({
  argument: {
    name: '<names...>',
    description: 'short names, or ids such as owner/name, each with @revision where wanted',
  },
  options: {
    revision: option('<revision>', 'a branch, a tag or a commit of the one model named'),
    dryRun: flag('list the files and their sizes, and fetch nothing'),
    json: flag('print one JSON object'),
  },
  help: `
Short names: hubert-base, hubert-large, wav2vec2-base, roberta-base,
qwen2.5-0.5b-instruct, qwen2.5-1.5b-instruct, qwen2.5-3b-instruct,
qwen2.5-7b-instruct, qwen3-0.6b, tinyllama-1.1b-chat, llama-3.2-1b-instruct
(which needs a token: its licence must be accepted on the hub). They are
fetched at a fixed commit, other names at main, and each file is checked
against its hash. Interrupted, the same command goes on where it stopped.

Models lie where huggingface_hub and transformers keep them: HF_HUB_CACHE,
HF_HOME/hub or ~/.cache/huggingface/hub. HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE
and HTTPS_PROXY are honoured. Prints the folder of each model.

Example:
  emoq pull hubert-large roberta-base qwen2.5-0.5b-instruct`,
  run: async ({ revision, dryRun = false, json = false }, ...names) => {
    const { pullModels } = await import('./pull-models.js');
    await pullModels(names, { revision, dryRun, json });
  },
});
