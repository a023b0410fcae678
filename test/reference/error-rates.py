"""Writes test/fixtures/error-rates.json: pairs of texts, and jiwer's edits between their words and characters.

Made with jiwer 4.0.0:

    python test/reference/error-rates.py
"""

import json
import pathlib
import random

import jiwer

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "error-rates.json"
WORDS = "okay the lesson is Rotten rotten, it's a a brilliant naïve 東京 x".split()


def main():
    generator = random.Random(5)
    pairs = [("a b c", "a b c"), ("a b c", ""), ("one", "two words more"), ("  a   b ", "a b"), ("Abc", "abc"), ("😀 b", "b")]
    for _ in range(60):
        reference = [generator.choice(WORDS) for _ in range(generator.randrange(1, 12))]
        heard = [word for word in reference if generator.random() > 0.2]
        for _ in range(generator.randrange(4)):
            heard.insert(generator.randrange(len(heard) + 1), generator.choice(WORDS))
        pairs.append((generator.choice([" ", "  "]).join(reference), " ".join(heard)))
    cases = []
    # As for words: strip, and spaces once.
    transform = jiwer.Compose([jiwer.RemoveMultipleSpaces(), jiwer.Strip(), jiwer.ReduceToListOfListOfChars()])
    for reference, heard in pairs:
        words = jiwer.process_words(reference, heard)
        characters = jiwer.process_characters(reference, heard, reference_transform=transform, hypothesis_transform=transform)
        edits = [found.substitutions + found.deletions + found.insertions for found in (words, characters)]
        lengths = [found.hits + found.substitutions + found.deletions for found in (words, characters)]
        cases.append(dict(reference=reference, recognised=heard, words=dict(edits=edits[0], of=lengths[0]),
                          characters=dict(edits=edits[1], of=lengths[1])))
    whole = dict(wer=jiwer.wer(*map(list, zip(*pairs))),
                 cer=jiwer.cer(*map(list, zip(*pairs)), reference_transform=transform, hypothesis_transform=transform))
    OUT.write_text(json.dumps(dict(cases=cases, **whole), ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
