"""Writes test/fixtures/whisper: tiny random Whisper checkpoints, and what transformers computes with their encoders. The
clips are those of hubert.py.

Made with torch 2.14.1, transformers 5.24.0, safetensors 0.8 and numpy 2.4.6:

    python test/reference/whisper.py

tiny      80 mel bands, windows of 1 s, width 14 in heads of 7; saved as WhisperForConditionalGeneration, with keys
          below "model.encoder."
large     128 mel bands, windows of 2 s, width 24 in heads of 4; float16 on disk, saved as WhisperModel ("encoder.")
classify  80 mel bands, windows of 1 s, one layer of width 10 in one head; bfloat16 on disk, saved as
          WhisperForAudioClassification, which weighs the layers
bare      the encoder alone, keys without a prefix; 37 mel bands, windows of 1 s; pytorch_model.bin, without
          preprocessor_config.json

For each, in reference.safetensors: `<name>.<i>`, the frames of clip i alone, cut after `<name>.frames`[i], which is
the length that WhisperModel gives for the attention mask of the clip's features; clip i is `clip.<i>` of hubert.py.
`<name>.long` is a clip of several windows, `clip.long`, whose frames are those of its windows one after the other.
`log_mel.<bands>.<clip>` is the spectrogram [bands, steps] of WhisperFeatureExtractor: of clip 0 in a window of 1 s, of
a tone of full scale over faint noise (`tone`), and of silence; as it computes without torch, in float64 (with torch it
computes in float32, which is off by 6e-5 for the tone). `lengths` and `length_frames` are the numbers of frames of
many lengths, by its attention mask.
"""

import pathlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification,
                          WhisperForConditionalGeneration, WhisperModel)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "whisper"
RATE = 16_000
DECODER = dict(vocab_size=20, decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=4, max_target_positions=8,
               pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, suppress_tokens=None,
               begin_suppress_tokens=None, classifier_proj_size=3, use_weighted_layer_sum=True, num_labels=2)
VARIANTS = {
    "tiny": dict(d_model=14, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=22, max_source_positions=50),
    "large": dict(d_model=24, encoder_layers=3, encoder_attention_heads=6, encoder_ffn_dim=32, num_mel_bins=128,
                  max_source_positions=100),
    "classify": dict(d_model=10, encoder_layers=1, encoder_attention_heads=1, encoder_ffn_dim=7,
                     max_source_positions=50),
    "bare": dict(d_model=12, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=48, num_mel_bins=37,
                 max_source_positions=50),
}
ARCHITECTURES = {"tiny": WhisperForConditionalGeneration, "large": WhisperModel,
                 "classify": WhisperForAudioClassification, "bare": WhisperEncoder}
STORED = {"large": torch.float16, "classify": torch.bfloat16}


def random_model(variant):
    torch.manual_seed(400 + len(variant))
    config = WhisperConfig(**DECODER, **VARIANTS[variant], attn_implementation="eager")
    model = ARCHITECTURES[variant](config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Every weight must matter: no norm at 1, no bias at 0, positions other than the sinusoids.
            if "norm" in name and name.endswith("weight"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif "embed_positions" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            elif parameter.dim() >= 2:
                parameter.normal_(0, (parameter.numel() / parameter.shape[0]) ** -0.5)
        if variant in STORED:
            for parameter in model.parameters():
                parameter.copy_(parameter.to(STORED[variant]).float())
    return model


def extractor_of(config):
    seconds = config.max_source_positions // 50
    return WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=seconds)


def save(model, variant):
    folder = OUT / variant
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    (folder / "generation_config.json").unlink(missing_ok=True)
    if variant == "bare":
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        path.unlink()
        return
    if variant in STORED:
        weights = {key: value.to(STORED[variant]) for key, value in load_file(path).items()}
        save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    extractor_of(model.config).save_pretrained(folder)


def encoder_of(model):
    if isinstance(model, WhisperEncoder):
        return model
    return model.get_encoder() if hasattr(model, "get_encoder") else model.encoder


def frames_of_windows(encoder, clip):
    """The windows of a clip, each alone, their frames cut where the clip ends."""
    extractor = extractor_of(encoder.config)
    size = encoder.config.max_source_positions * 2 * 160
    found = []
    for start in range(0, len(clip), size):
        window = clip[start:start + size].numpy()
        features = extractor(window, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        frames = int(encoder._get_feat_extract_output_lengths(features.attention_mask.sum(-1)))
        found.append(encoder(features.input_features).last_hidden_state[0, :frames])
    return torch.cat(found).contiguous()


def main():
    stored = load_file(FIXTURES / "hubert" / "reference.safetensors")
    clips = [stored[f"clip.{i}"].float() for i in range(3)]
    # Louder from window to window, so that each has a silence of its own.
    long = torch.cat([clips[0] * 0.02, clips[0] * 0.3, clips[0].flip(0), clips[1]])
    tensors = {"clip.long": long}
    for variant in VARIANTS:
        model = random_model(variant)
        save(model, variant)
        encoder = encoder_of(model)
        with torch.inference_mode():
            found = [frames_of_windows(encoder, clip) for clip in clips]
            tensors |= {f"{variant}.{i}": states for i, states in enumerate(found)}
            tensors[f"{variant}.frames"] = torch.tensor([len(states) for states in found])
            tensors[f"{variant}.long"] = frames_of_windows(encoder, long)
    time = np.arange(12_000) / RATE
    noise = np.random.default_rng(0).standard_normal(12_000)
    tone = torch.tensor(np.sin(2 * np.pi * 300 * time) + 1e-3 * noise, dtype=torch.float32)
    tensors["clip.tone"] = tone
    for bands in (80, 128):
        extractor = WhisperFeatureExtractor(feature_size=bands, chunk_length=1)
        for name, clip in {"0": clips[0], "tone": tone, "silence": torch.zeros(5000)}.items():
            window = np.pad(clip.numpy(), (0, RATE - len(clip)))
            features = extractor._np_extract_fbank_features(window[None], "cpu")[0]
            tensors[f"log_mel.{bands}.{name}"] = torch.tensor(features, dtype=torch.float32)
        filters = torch.tensor(extractor.mel_filters, dtype=torch.float32)
        tensors[f"mel_filters.{bands}"] = filters.contiguous()
    lengths = [1, 2, 159, 160, 161, 319, 320, 321, 399, 400, 640, 641, 4123, 10_000, 15_999, 16_000]
    extractor = WhisperFeatureExtractor(chunk_length=1)
    masks = [extractor(np.zeros(n, np.float32), sampling_rate=RATE, return_attention_mask=True).attention_mask
             for n in lengths]
    steps = torch.tensor([int(np.sum(mask)) for mask in masks])
    tensors["lengths"] = torch.tensor(lengths)
    tensors["length_frames"] = encoder._get_feat_extract_output_lengths(steps)
    path = OUT / "reference.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)
    for file in OUT.rglob("*.json"):
        file.write_text(file.read_text().rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
