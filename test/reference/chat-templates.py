"""Makes test/fixtures/text/chat-templates.json: chats as transformers writes them by each kind of template that emoq knows,
in the ids of tokenizers made on the spot: emoq's toy tokenizers, and ones that are trained here as SentencePiece's BPE is
converted, with a space before each part of a text (Llama 2) or before the first alone, and perhaps with tokens for
[INST] and [/INST] (Mistral 0.3). The templates are written here, as the published ones of these kinds write a system
turn, a user turn and the beginning of an answer.

Made with Python 3.11, tokenizers 0.23.3, transformers 5.23.0. Run from the repository root after `npm run build`:
    python test/reference/chat-templates.py
"""

import json
import subprocess
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

WORDS = ["happy", "sad", "Emotion", "the", "dance", "system", "user", "assistant", "Speaker", "Name"]
SYSTEM = "Name the emotion: happy, sad."
USERS = ["Speaker: Ana\nTranscript: I can dance!\nthe end", "Transcript: two  spaces, 10:45 -- naïve café 你好"]
ANSWER = "Emotion:"

LOOP = "{% for message in messages %}"
CHATML = LOOP + "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system + message['content']).strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
def mistral(before: str, after: str, answer: str) -> str:
    return (
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
        "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{{ bos_token }}"
        "{% for message in rest %}{% if message['role'] == 'user' %}"
        f"{{{{ '{before}' + system + message['content'] + '{after}' }}}}"
        f"{{% else %}}{{{{ {answer} + eos_token }}}}{{% endif %}}{{% endfor %}}"
    )


MISTRAL = {
    # The first ones take no system turn.
    "0.1": (
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('no such role') }}{% endif %}"
        "{% endfor %}"
    ),
    "0.2": mistral(" [INST] ", " [/INST]", "' ' + message['content']"),
    "0.3": mistral("[INST] ", "[/INST]", "' ' + message['content']|trim"),
    "Nemo": mistral("[INST]", "[/INST]", "message['content']"),
}
ZEPHYR = LOOP + "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}{% endfor %}"
# What emoq knows the kind by stands in these templates as it does in the published ones.
ZEPHYR += "{# <|user|>\n <|assistant|> #}"

BUILD = """
const { buildByteLevelTokenizer } = await import(process.cwd() + '/dist/data/text/index.js');
process.stdout.write(JSON.stringify(buildByteLevelTokenizer(JSON.parse(process.argv[1]))));
"""


def toy(kind: str) -> dict:
    options = json.dumps({"words": WORDS, "kind": kind})
    made = subprocess.run(["node", "--input-type=module", "-e", BUILD, options], check=True, capture_output=True)
    parts = json.loads(made.stdout)
    return {"tokenizerJson": parts["tokenizerJson"], "tokenizerConfig": parts["tokenizerConfig"]}


def sentencepiece_like(first_alone: bool, marks: list[str] = []) -> dict:
    """BPE over text with ▁ for spaces, bytes for what it has no token for."""
    special = ["<unk>", "<s>", "</s>", *marks]
    vocabulary = special + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    corpus = [SYSTEM, *USERS[:1], *WORDS, "[INST] [/INST] <<SYS>> <</SYS>> <|user|> <|assistant|> <|system|>"] * 5
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False)
    trained.train_from_iterator(corpus, trainer)
    learned = json.loads(trained.to_str())["model"]
    tokens = vocabulary + [token for token in learned["vocab"] if token != "<unk>"]
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer.model = models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges,
                                 unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    if first_alone:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": None,
              "clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast"}
    return {"tokenizerJson": json.loads(tokenizer.to_str()), "tokenizerConfig": config}


def case(name: str, family: str, made: dict, template: str | None, thinks: bool = False, folds: bool = False) -> dict:
    if template is not None:
        made = {**made, "tokenizerConfig": {**made["tokenizerConfig"], "chat_template": template}}
    config = made["tokenizerConfig"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(made["tokenizerJson"])),
        bos_token=config.get("bos_token"), eos_token=config.get("eos_token"), chat_template=config["chat_template"],
        clean_up_tokenization_spaces=False,
    )

    def ids(messages: list[dict], answer: str) -> list[int]:
        if thinks:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True,
                                                 enable_thinking=False) + answer
            return tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = [*messages, {"role": "assistant", "content": answer}]
        return tokenizer.apply_chat_template(whole, continue_final_message=True, return_dict=False)

    chats = []
    for user in USERS:
        for system in [SYSTEM, ""]:
            messages = [{"role": "system", "content": system}] if system else []
            if folds and system:
                messages = [{"role": "user", "content": f"{system}\n\n{user}"}]
            else:
                messages.append({"role": "user", "content": user})
            prompt = ids(messages, ANSWER)
            words = {}
            for word in ["happy", "sad"]:
                answered = ids(messages, f"{ANSWER} {word}")
                assert answered[: len(prompt)] == prompt, name
                words[word] = answered[len(prompt) :]
            chats.append({"system": system, "user": user, "ids": prompt, "words": words})
    return {"name": name, "family": family, **made, "chats": chats}


cases = [
    case("ChatML", "qwen2", toy("qwen2"), CHATML),
    case("ChatML of a Llama", "llama", toy("qwen2"), CHATML),
    case("ChatML without thinking", "qwen3", toy("qwen3"), None, thinks=True),
    case("Llama 3", "llama", toy("llama3"), None),
    case("Llama 2", "llama", sentencepiece_like(False), LLAMA2),
    case("Llama 2, a space before the first part alone", "llama", sentencepiece_like(True), LLAMA2),
    case("Zephyr", "llama", sentencepiece_like(False), ZEPHYR),
    case("Mistral 0.1", "mistral", sentencepiece_like(False), MISTRAL["0.1"], folds=True),
    case("Mistral 0.2", "mistral", sentencepiece_like(False), MISTRAL["0.2"]),
    case("Mistral 0.3", "mistral", sentencepiece_like(True, ["[INST]", "[/INST]"]), MISTRAL["0.3"]),
    case("Mistral Nemo", "mistral", sentencepiece_like(True, ["[INST]", "[/INST]"]), MISTRAL["Nemo"]),
]
path = Path("test/fixtures/text/chat-templates.json")
path.write_text(json.dumps({"answer": ANSWER, "cases": cases}, ensure_ascii=True, separators=(",", ":")) + "\n")
