"""Writes test/fixtures/whisper-decoder: tiny random Whisper recognisers, and what transformers makes of clips with them.
The clips are those of hubert.py.

Made with torch 2.14.1, transformers 5.24.0, tokenizers 0.23.3, safetensors 0.8 and numpy 2.4.6:

    python test/reference/whisper_decoder.py

multilingual  float32; width 24 in 4 heads (encoder) and 3 (decoder); three languages, whose detection is the default
english       float16 on disk; width 30; no languages, forced_decoder_ids; saved as WhisperForConditionalGeneration
plain         bfloat16 on disk; no generation_config.json, so that the older keys of config.json count

Windows are of 1 s. Each folder has reference.json, of `model.generate(features, do_sample=False, num_beams=1,
return_timestamps=False)` over all clips at once: `start` (the tokens before the text, for each clip), `ids` (those after
them, without the padding; the last is the end of the text unless the longest length came first), `texts`, by
`batch_decode(skip_special_tokens=True)`, and `probabilities` of these tokens (softmax of the scores that generate gives,
which leave out suppressed tokens). `forced` has the same with `language="de"`. Each clip alone has the same ids.
reference.safetensors has `<name>.logits` [clips, vocabulary], those after the start tokens, and `clip.long`, a clip of
two windows, each of which is decoded alone (`long`).
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration,
                          WhisperTokenizer)

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "whisper-decoder"
RATE = 16_000
LANGUAGES = ["en", "de", "fr"]
TEXTS = ["the children are talking by the door", "the dogs are sitting by the door", "Über den Türen, naïve café",
         "it's what they said: 1, 2 and 3!", "高兴 говорить"]


def make_tokenizer(languages):
    """A byte-level BPE as Whisper's, with its special tokens; timestamps are added tokens that are not special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    names = ["endoftext", "startoftranscript", *languages, "translate", "transcribe", "startoflm", "startofprev",
             "nospeech", "notimestamps"]
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in names])
    tokenizer.add_tokens([AddedToken(f"<|{0.5 * i:.2f}|>", special=False, normalized=False) for i in range(3)])
    return tokenizer


def ids_of(tokenizer):
    return lambda name: tokenizer.token_to_id(f"<|{name}|>")


VARIANTS = {
    "multilingual": dict(d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                         decoder_attention_heads=3, encoder_ffn_dim=22, decoder_ffn_dim=37, max_target_positions=30,
                         num_mel_bins=80),
    "english": dict(d_model=30, encoder_layers=1, decoder_layers=3, encoder_attention_heads=3,
                    decoder_attention_heads=5, encoder_ffn_dim=16, decoder_ffn_dim=40, max_target_positions=17,
                    num_mel_bins=80),
    "plain": dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                  decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_target_positions=24,
                  num_mel_bins=40),
}
STORED = {"english": torch.float16, "plain": torch.bfloat16}
END = 2.5
SEEDS = {"multilingual": 17, "english": 3, "plain": 5}


def make_model(variant, tokenizer):
    token = ids_of(tokenizer)
    torch.manual_seed(SEEDS[variant])
    special = dict(eos_token_id=token("endoftext"), bos_token_id=token("endoftext"), pad_token_id=token("endoftext"),
                   decoder_start_token_id=token("startoftranscript"))
    config = WhisperConfig(**VARIANTS[variant], **special, vocab_size=tokenizer.get_vocab_size() + 3,
                           max_source_positions=50, suppress_tokens=None, begin_suppress_tokens=None,
                           attn_implementation="eager")
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Every weight must matter: no norm at 1, no bias at 0, positions other than the sinusoids.
            if "norm" in name and name.endswith("weight"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif "embed_positions" in name:
                parameter.normal_(0, 0.6)
            elif "embed_tokens" in name:
                parameter.normal_(0, 0.5)
            elif parameter.dim() >= 2:
                scale = 3 if "encoder_attn" in name else 1  # so that texts differ from clip to clip
                parameter.normal_(0, scale * (parameter.numel() / parameter.shape[0]) ** -0.5)
        # The end comes now and then, not at once.
        model.model.decoder.embed_tokens.weight[token("endoftext")] *= END
        if variant in STORED:
            for parameter in model.parameters():
                parameter.copy_(parameter.to(STORED[variant]).float())
    return model


def rules_of(variant, tokenizer):
    """The keys of generation_config.json, or of config.json."""
    token = ids_of(tokenizer)
    common = dict(decoder_start_token_id=token("startoftranscript"), eos_token_id=token("endoftext"),
                  pad_token_id=token("endoftext"), bos_token_id=token("endoftext"))
    # Timestamps and what stands between the special tokens are suppressed, as in the published files.
    special = [token(name) for name in ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev",
                                        "nospeech", "notimestamps")]
    text = [3, 40, 77, 101, 250]
    common |= dict(suppress_tokens=[*text, *special], begin_suppress_tokens=[tokenizer.token_to_id("Ġ"), token("endoftext")])
    if variant == "multilingual":
        return common | dict(
            is_multilingual=True, lang_to_id={f"<|{name}|>": token(name) for name in LANGUAGES},
            task_to_id={name: token(name) for name in ("transcribe", "translate")},
            no_timestamps_token_id=token("notimestamps"), return_timestamps=False, max_length=14,
            forced_decoder_ids=[[1, None], [2, token("transcribe")]])
    if variant == "english":
        return common | dict(is_multilingual=False, no_timestamps_token_id=token("notimestamps"),
                             return_timestamps=False, max_length=448,
                             forced_decoder_ids=[[1, token("notimestamps")]])
    return common | dict(forced_decoder_ids=[[1, token("fr")], [2, token("transcribe")], [3, token("notimestamps")]],
                         max_length=20)


def generated(model, tokenizer, features, **options):
    """Tokens, texts and probabilities of a batch. @returns the entry of reference.json"""
    found = model.generate(features, do_sample=False, num_beams=1, return_timestamps=False,
                           return_dict_in_generate=True, output_scores=True, **options)
    first = found.sequences.shape[1] - len(found.scores)
    shares = torch.stack(found.scores, dim=1).softmax(dim=-1)
    end = model.generation_config.eos_token_id
    entry = dict(start=[], ids=[], texts=[], probabilities=[])
    for sequence, own in zip(found.sequences, shares):
        ids = sequence[first:].tolist()
        ids = ids[:ids.index(end) + 1] if end in ids else ids
        entry["start"].append(sequence[:first].tolist())
        entry["ids"].append(ids)
        entry["probabilities"].append([round(own[i, id].item(), 6) for i, id in enumerate(ids)])
    entry["texts"] = tokenizer.batch_decode([start + ids for start, ids in zip(entry["start"], entry["ids"])],
                                            skip_special_tokens=True)
    return entry


def save(model, tokenizer, extractor, rules, variant):
    folder = OUT / variant
    model.generation_config = GenerationConfig(**rules)
    model.save_pretrained(folder)
    if variant == "plain":
        (folder / "generation_config.json").unlink()
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | rules, indent=2) + "\n")
    path = folder / "model.safetensors"
    if variant in STORED:
        weights = {key: value.to(STORED[variant]) for key, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    extractor.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    stored = load_file(FIXTURES / "hubert" / "reference.safetensors")
    clips = [stored[f"clip.{i}"].float() for i in range(3)]
    long = torch.cat([clips[0], clips[1].flip(0), clips[2] * 0.5, clips[0].flip(0), clips[1]])
    tensors = {"clip.long": long}
    for variant in VARIANTS:
        own = make_tokenizer(LANGUAGES if variant != "english" else [])
        rules = rules_of(variant, own)
        model = make_model(variant, own)
        extractor = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins, chunk_length=1)
        save(model, own, extractor, rules, variant)
        tokenizer = WhisperTokenizer.from_pretrained(OUT / variant)
        model = WhisperForConditionalGeneration.from_pretrained(OUT / variant, dtype=torch.float32,
                                                                attn_implementation="eager").eval()
        features_of = lambda list: extractor([clip.numpy() for clip in list], sampling_rate=RATE,
                                             return_tensors="pt").input_features
        features = features_of(clips)
        with torch.inference_mode():
            reference = generated(model, tokenizer, features)
            for i in range(len(clips)):
                assert generated(model, tokenizer, features[i:i + 1])["ids"] == reference["ids"][i:i + 1]
            tensors[f"{variant}.logits"] = model(
                input_features=features, decoder_input_ids=torch.tensor(reference["start"])).logits[:, -1].contiguous()
            if variant == "multilingual":
                reference["forced"] = generated(model, tokenizer, features, language="de")
                reference["long"] = generated(model, tokenizer, features_of(long.split(RATE)))
        (OUT / variant / "reference.json").write_text(json.dumps(reference, indent=1, ensure_ascii=False) + "\n")
    save_file(tensors, OUT / "reference.safetensors")
    (OUT / "reference.safetensors").chmod(0o644)
    for file in OUT.rglob("*.json"):
        file.write_text(file.read_text().rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
