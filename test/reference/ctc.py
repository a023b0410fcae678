"""Writes test/fixtures/ctc: tiny random recognisers with CTC heads and what transformers computes with them, in the way
of hubert.py, whose clips and sizes are the same, and what its tokenizer makes of sequences of ids.

Made with torch 2.14.1, transformers 5.24.0 and safetensors 0.8:

    python test/reference/ctc.py

hubert         HubertForCTC, base-odd (group norm), 29 symbols
wav2vec2       Wav2Vec2ForCTC, large-odd (layer norm, pre-norm layers), float16 on disk, 32 symbols
unispeech-sat  UniSpeechSatForCTC, layer-post (layer norm, post-norm layers), bfloat16 on disk, 5 symbols
wavlm          WavLMForCTC, base-odd, 11 symbols, of which the vocabulary has 9

`<name>.<i>`: the logits of clip i alone; `<name>.padded`, those of all clips as one zero-padded batch at every position.

decoding.json: for each tokenizer its files as written by hand and as transformers saves them, and for sequences of ids
the text, and the words with their offsets. The tokenizers are constructed, not loaded from their files: from_pretrained
of this version takes "|" for the word delimiter, whatever tokenizer_config.json says.
"""

import json
import pathlib
import random
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import (HubertConfig, HubertForCTC, UniSpeechSatConfig, UniSpeechSatForCTC, Wav2Vec2Config,
                          Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC, WavLMConfig, WavLMForCTC)

from hubert import CLIP_SAMPLES, VARIANTS

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "ctc"
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "|"]
LETTERS = list("ETAONIHSRDLUMWCFGYPBVK'XJQZ")
# Class, config, sizes of hubert.py, symbols of the head, type on disk.
RECOGNISERS = {
    "hubert": (HubertForCTC, HubertConfig, "base-odd", 29, torch.float32),
    "wav2vec2": (Wav2Vec2ForCTC, Wav2Vec2Config, "large-odd", 32, torch.float16),
    "unispeech-sat": (UniSpeechSatForCTC, UniSpeechSatConfig, "layer-post", 5, torch.bfloat16),
    "wavlm": (WavLMForCTC, WavLMConfig, "base-odd", 11, torch.float32),
}


def random_model(name):
    architecture, config_of, variant, size, stored = RECOGNISERS[name]
    torch.manual_seed(500 + len(name))
    sizes = {key: value for key, value in VARIANTS[variant].items()
             if key != "feat_proj_layer_norm" or name == "hubert"}
    if name == "wavlm":
        sizes |= dict(num_buckets=7, max_bucket_distance=9)
    model = architecture(config_of(**sizes, vocab_size=size, pad_token_id=0)).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            # Every weight must matter: no norm at 1, no bias at 0, no g that is just the length of v.
            if "norm" in key and key.endswith("weight") or key.endswith(("original0", "rel_pos_const")):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif key.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif key.endswith("rel_attn_embed.weight"):
                parameter.normal_(0, 1)
            elif parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
            parameter.copy_(parameter.to(stored).float())
    return model


def save(model, name):
    folder = OUT / name
    *_, size, stored = RECOGNISERS[name]
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = {key: value.to(stored) for key, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    symbols = (SPECIAL + LETTERS)[:9 if name == "wavlm" else size]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(dict(do_normalize=False)) + "\n")


def logits(model, clips):
    length = max(len(clip) for clip in clips)
    values = torch.stack([torch.nn.functional.pad(clip, (0, length - len(clip))) for clip in clips])
    mask = torch.stack([(torch.arange(length) < len(clip)).long() for clip in clips])
    with torch.inference_mode():
        found = {str(i): model(clip[None], attention_mask=torch.ones(1, len(clip)).long()).logits[0].contiguous()
                 for i, clip in enumerate(clips)}
        return found | {"padded": model(values, attention_mask=mask).logits.contiguous()}


TOKENIZERS = {
    "published": dict(vocabulary=SPECIAL + LETTERS),
    "lower case": dict(vocabulary=SPECIAL + LETTERS, config=dict(do_lower_case=True)),
    "other special tokens": dict(
        vocabulary=["[PAD]", "_", "[UNK]", "ä", "ß", "İ", "."],
        config=dict(pad_token="[PAD]", unk_token="[UNK]", word_delimiter_token="_", do_lower_case=True,
                    clean_up_tokenization_spaces=True)),
    "no spaces": dict(vocabulary=["a", "|", "<unk>", "<pad>", "b"], config=dict(replace_word_delimiter_char="")),
    "other delimiter": dict(vocabulary=["a", "|", "<unk>", "<pad>", "b", "-"],
                            config=dict(replace_word_delimiter_char="-")),
}


def sequences(symbols, generator):
    """Ids of frames: runs of symbols, blanks between them and at the edges, delimiters at the edges and in runs."""
    ids = {symbol: index for index, symbol in enumerate(symbols)}
    made = [[], [ids[symbols[0]]] * 3]
    for _ in range(30):
        frames = []
        for _ in range(generator.randrange(1, 25)):
            frames += [generator.randrange(len(symbols))] * generator.choice([1, 1, 2, 3])
        made.append(frames)
    return made


def decoded(name, vocabulary, config):
    with tempfile.TemporaryDirectory() as folder:
        files = {"vocab.json": {symbol: index for index, symbol in enumerate(vocabulary)}, "tokenizer_config.json": config}
        for file, content in files.items():
            (pathlib.Path(folder) / file).write_text(json.dumps(content))
        tokenizer = Wav2Vec2CTCTokenizer(pathlib.Path(folder) / "vocab.json", **config)
        saved = pathlib.Path(folder) / "saved"
        tokenizer.save_pretrained(saved)
        again = {path.name: json.loads(path.read_text()) for path in sorted(saved.iterdir())}
        size = len(vocabulary) + 2  # ids without a symbol too
        generator = random.Random(name)
        cases = []
        for ids in sequences([*vocabulary, "", ""], generator):
            found = tokenizer.decode(ids, output_word_offsets=True) if ids else None
            words = [] if found is None else [[word["word"], int(word["start_offset"]), int(word["end_offset"])]
                                              for word in found.word_offsets]
            cases.append(dict(ids=ids, text="" if found is None else found.text, words=words))
    return dict(name=name, size=size, written=files, saved=again, cases=cases)


def main():
    stored = load_file(FIXTURES / "hubert" / "reference.safetensors")
    waves = [stored[f"clip.{i}"].float() for i in range(3)]
    tensors = {}
    for name, (_, _, variant, _, _) in RECOGNISERS.items():
        model = random_model(name)
        save(model, name)
        clips = [wave[:samples] for wave, samples in zip(waves, CLIP_SAMPLES[variant])]
        tensors |= {f"{name}.{key}": value for key, value in logits(model, clips).items()}
    path = OUT / "reference.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)
    tokenizers = [decoded(name, entry["vocabulary"], entry.get("config", {})) for name, entry in TOKENIZERS.items()]
    (OUT / "decoding.json").write_text(json.dumps(tokenizers, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
