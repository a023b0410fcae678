/**
 * @file Makes small byte-level BPE tokenizers (Sennrich et al., 2016; Radford et al., 2019) in the Hugging Face file
 * formats of Qwen2 and RoBERTa: every byte has a symbol, and merges make each given word one token.
 */

/** Models whose formats are supported. */
export type ByteLevelKind = 'qwen2' | 'qwen3' | 'llama3' | 'roberta';

/** Options of the tokenizer. */
export interface ByteLevelOptions {
  /** Words of letters only; each becomes one token, with and without a leading space. */
  words: readonly string[];
  /** Additional special tokens, after those of the kind. */
  specialTokens?: readonly string[];
  kind: ByteLevelKind;
}

/** Contents of tokenizer.json and tokenizer_config.json. */
export interface ByteLevelTokenizer {
  tokenizerJson: Record<string, unknown>;
  tokenizerConfig: Record<string, unknown>;
}

const QWEN2_SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const SPECIAL: Readonly<Record<ByteLevelKind, readonly string[]>> = {
  qwen2: QWEN2_SPECIAL,
  qwen3: [...QWEN2_SPECIAL, '<think>', '</think>'],
  llama3: ['<|begin_of_text|>', '<|end_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
  roberta: ['<s>', '<pad>', '</s>', '<unk>', '<mask>'],
};

/** Qwen2's pre-tokenization: contractions, words with one preceding mark, single digits, the rest. */
const QWEN2_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * Builds the tokenizer; the same options give the same ids. Order of ids: bytes, merged tokens, special tokens; for
 * `roberta`: <s>, <pad>, </s>, <unk>, <mask> (0-4), bytes, merged tokens, further special tokens.
 * @throws RangeError on a word with other characters than letters, which the pre-tokenizers would split
 */
export function buildByteLevelTokenizer({
  words,
  specialTokens = [],
  kind,
}: ByteLevelOptions): ByteLevelTokenizer {
  const merges = mergesFor(words.flatMap((word) => [` ${checkedWord(word)}`, checkedWord(word)]));
  const learned = new Set([...byteSymbols.values(), ...merges.map(([left, right]) => left + right)]);
  const ofKind = SPECIAL[kind];
  const isRoberta = kind === 'roberta';
  const special = [...new Set([...ofKind, ...specialTokens])];
  const order = isRoberta
    ? [...ofKind, ...learned, ...special.slice(ofKind.length)]
    : [...learned, ...special];
  const ids = new Map(order.map((token, id) => [token, id]));
  // RoBERTa keeps special tokens in the model's vocabulary, the others outside it.
  const vocabulary = isRoberta ? order : [...learned];
  const addedTokens = special.map((content) => ({
    id: ids.get(content)!,
    content,
    single_word: false,
    lstrip: content === '<mask>',
    rstrip: false,
    normalized: false,
    special: true,
  }));
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens,
      ...(isRoberta ? robertaStages(ids) : qwen2Stages()),
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(vocabulary.map((token) => [token, ids.get(token)!])),
        merges: merges.map(([left, right]) => `${left} ${right}`),
      },
    },
    tokenizerConfig: CONFIGS[kind](special),
  };
}

/**
 * Merges that join each text into one token. A new merge ranks after all earlier ones, so it applies only when those
 * are exhausted, and texts that are already joined stay so.
 */
function mergesFor(texts: readonly string[]): [string, string][] {
  const merges: [string, string][] = [];
  const rankOf = new Map<string, number>();
  for (const text of texts) {
    let symbols = Array.from(new TextEncoder().encode(text), (byte) => byteSymbols.get(byte)!);
    for (;;) {
      symbols = merged(symbols, rankOf);
      if (symbols.length === 1) break;
      const pair: [string, string] = [symbols[0]!, symbols[1]!];
      rankOf.set(pair.join(' '), merges.length);
      merges.push(pair);
    }
  }
  return merges;
}

/** Byte-pair encoding: joins the adjacent pair of lowest rank, leftmost first, until no pair has a rank. */
function merged(given: readonly string[], rankOf: ReadonlyMap<string, number>): string[] {
  const symbols = [...given];
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = rankOf.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Number.POSITIVE_INFINITY;
      if (rank < bestRank) [best, bestRank] = [i, rank];
    }
    if (best < 0) return symbols;
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
  }
}

function checkedWord(word: string): string {
  const normal = word.normalize('NFC'); // Qwen2's normalisation
  if (!/^\p{L}+$/u.test(normal)) throw new RangeError(`"${word}" is not a word of letters only`);
  return normal;
}

/**
 * GPT-2's printable symbol for each byte: the byte itself if printable in Latin-1, otherwise the next character from
 * U+0100 on.
 */
const byteSymbols: ReadonlyMap<number, string> = (() => {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const hidden = bytes.filter((byte) => !printable(byte));
  return new Map([
    ...bytes.filter(printable).map((byte): [number, string] => [byte, String.fromCharCode(byte)]),
    ...hidden.map((byte, index): [number, string] => [byte, String.fromCharCode(0x100 + index)]),
  ]);
})();

function qwen2Stages(): object {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  const split = { type: 'Split', pattern: { Regex: QWEN2_PATTERN }, behavior: 'Isolated', invert: false };
  return {
    normalizer: { type: 'NFC' },
    pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
    post_processor: byteLevel,
    decoder: byteLevel,
  };
}

function robertaStages(ids: ReadonlyMap<string, number>): object {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: {
      type: 'RobertaProcessing',
      sep: ['</s>', ids.get('</s>')],
      cls: ['<s>', ids.get('<s>')],
      trim_offsets: true,
      add_prefix_space: false,
    },
    decoder: { ...byteLevel, add_prefix_space: true },
  };
}

const CONFIGS: Readonly<Record<ByteLevelKind, (special: readonly string[]) => Record<string, unknown>>> = {
  qwen2: qwen2Config,
  qwen3: (special) => ({ ...qwen2Config(special), chat_template: QWEN3_CHAT }),
  llama3: llama3Config,
  roberta: robertaConfig,
};

/** ChatML, with an empty thinking block before an immediate answer. */
const QWEN3_CHAT = [
  "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}",
  '{% if add_generation_prompt %}<|im_start|>assistant\n',
  '{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}',
].join('');

const LLAMA3_CHAT = [
  '{{ bos_token }}{% for message in messages %}',
  "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] | trim }}<|eot_id|>{% endfor %}",
  '{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}',
].join('');

function llama3Config(): Record<string, unknown> {
  return {
    bos_token: '<|begin_of_text|>',
    chat_template: LLAMA3_CHAT,
    clean_up_tokenization_spaces: false,
    eos_token: '<|eot_id|>',
    model_max_length: 2048,
    pad_token: '<|end_of_text|>',
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}

function qwen2Config(special: readonly string[]): Record<string, unknown> {
  return {
    add_bos_token: false,
    add_prefix_space: false,
    additional_special_tokens: special.slice(1),
    bos_token: null,
    clean_up_tokenization_spaces: false,
    eos_token: '<|im_end|>',
    errors: 'replace',
    model_max_length: 32768,
    pad_token: '<|endoftext|>',
    split_special_tokens: false,
    tokenizer_class: 'Qwen2Tokenizer',
    unk_token: null,
  };
}

function robertaConfig(special: readonly string[]): Record<string, unknown> {
  const furtherSpecial = special.slice(SPECIAL.roberta.length);
  return {
    add_prefix_space: false,
    ...(furtherSpecial.length > 0 ? { additional_special_tokens: furtherSpecial } : {}),
    bos_token: '<s>',
    clean_up_tokenization_spaces: false,
    cls_token: '<s>',
    eos_token: '</s>',
    errors: 'replace',
    mask_token: '<mask>',
    model_max_length: 512,
    pad_token: '<pad>',
    sep_token: '</s>',
    tokenizer_class: 'RobertaTokenizer',
    trim_offsets: true,
    unk_token: '<unk>',
  };
}
