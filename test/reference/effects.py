"""Writes test/fixtures/effects.json: convolution with an impulse response, its alignment and level, mixing at a
signal-to-noise ratio, and a Fourier transform, by numpy and scipy.

Made with Python 3, scipy 1.17.1 and numpy 2.4.6:
    python test/reference/effects.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy.fft import fft
from scipy.signal import fftconvolve

random = np.random.default_rng(5)


def numbers(values):
    return [float(value) for value in values]


speech = np.round(random.normal(0, 0.2, 300), 4)
noise = np.round(random.uniform(-1, 1, 300), 4)
# Some silence, a direct sound that is negative and not first, and a decaying tail.
response = np.concatenate([np.zeros(7), random.normal(0, 0.05, 4), random.normal(0, 0.5, 90) * np.exp(-np.arange(90) / 20)])
response[11] = -1.9
response = np.round(response, 4)
whole = fftconvolve(speech, response)
peak = int(np.argmax(np.abs(response)))
heard = whole[peak : peak + len(speech)]
heard = heard * np.sqrt(np.mean(speech**2) / np.mean(heard**2))

mixed = {}
for snr in (20, 3.5, 0, -6):
    scale = np.sqrt(np.mean(speech**2) / np.mean(noise**2) / 10 ** (snr / 10))
    mixed[snr] = numbers(speech + scale * noise)

signal = np.round(random.normal(size=(2, 32)), 4)
spectrum = fft(signal[0] + 1j * signal[1])

out = {
    "versions": {"scipy": scipy.__version__, "numpy": np.__version__},
    "speech": numbers(speech),
    "noise": numbers(noise),
    "response": numbers(response),
    "peak": peak,
    "reverberated": numbers(np.round(heard, 9)),
    "mixed": mixed,
    "signal": {"re": numbers(signal[0]), "im": numbers(signal[1])},
    "spectrum": {"re": numbers(spectrum.real), "im": numbers(spectrum.imag)},
}
target = Path(__file__).parent.parent / "fixtures" / "effects.json"
target.write_text(json.dumps(out) + "\n", encoding="utf-8")
print(out["versions"], peak)
