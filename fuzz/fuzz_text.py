"""Fuzzes the reading of texts, `charrnn.text.corpus`; harness.py says how.

The first bytes of an input choose how the rest is read and into how many files it is cut. The ids of a text must stand
for the text itself, which is computed here by Python's own decoder where nothing else is asked of the reading.
"""

from __future__ import annotations

import atheris
import harness

with atheris.instrument_imports(include=["charrnn"]):
    from charrnn.errors import CharrnnError
    from charrnn.text import sources
    from charrnn.text.corpus import encode_corpus, read_corpus
    from charrnn.text.reading import Reading

PLACE = harness.directory()
(PLACE / "texts").mkdir()
FILES = [PLACE / "texts" / f"{name}.txt" for name in "ab"]
ENCODINGS = ["utf-8", "utf-8", "utf-8", "latin-1", "utf-16", "utf-32", "ascii", "shift_jis", "utf-7", "gb18030"]
UNITS, FORMS, BAD = ["codepoint", "grapheme", "byte"], ["none", "nfc", "nfkc"], ["error", "replace", "skip"]


def one_input(raw: bytes) -> None:
    """Reads what follows the first bytes, in pieces of a few bytes, so that they part characters."""
    choose = atheris.FuzzedDataProvider(raw[:8].ljust(8, b"\0"))
    content = raw[8:]
    encoding, unit = choose.PickValueInList(ENCODINGS), choose.PickValueInList(UNITS)
    form = "none" if unit == "byte" else choose.PickValueInList(FORMS)
    on_bad_byte, between = choose.PickValueInList(BAD), choose.PickValueInList(["", "\x1e", "\n"])
    sources.PIECE = choose.PickValueInList([1, 3, 16, 1 << 22])
    cut = choose.ConsumeIntInRange(0, 255)
    reading = Reading(encoding, on_bad_byte, None, between, unit, form)
    for path, part in zip(FILES, (content[:cut], content[cut:]), strict=True):
        path.write_bytes(part)
    arguments = [str(PLACE / "texts")] if choose.ConsumeBool() else [str(path) for path in FILES]
    with harness.refused(CharrnnError):
        corpus = encode_corpus(arguments, reading)
        text = read_corpus(arguments, reading)
        names = corpus.tokenizer.symbols
        assert list(names) == sorted(set(names))
        if unit != "byte":
            assert "".join(names[i] for i in corpus.ids.tolist()) == text
        elif not between:
            assert bytes(corpus.ids.tolist()) == content
        plain = (encoding, on_bad_byte, unit, form, between) == ("utf-8", "error", "codepoint", "none", "")
        if plain and len(arguments) == 2:
            assert text == "".join(path.read_bytes().decode("utf-8").replace("\ufeff", "") for path in FILES)


def seeds() -> dict[str, bytes]:
    """A few texts, each read in several ways."""
    texts = {
        "latin": "the cat sat on the mat.\r\n",
        "marks": "\ufeffe\u0301क्षि🇩🇪\x1e한\u1112\u1161\u11ab\n",
        "family": "👩\u200d👩\u200d👧 \u202e\x00\x1b[0m",
    }
    files = {}
    for name, text in texts.items():
        for way in range(12):
            encoding = ENCODINGS[way % len(ENCODINGS)]
            head = bytes((37 * way + 11 * i) % 256 for i in range(8))
            files[f"{name}{way}"] = head + text.encode(encoding, "replace")
    return files


if __name__ == "__main__":
    harness.main(one_input, seeds)
