"""Damaged checkpoints by the thousand, read under an audit hook; run as a child, for an audit hook never goes.

    python torture.py DIRECTORY SEED COUNT

prints one line of JSON: how many were rejected, loaded identically and, where the damage was signed, loaded as another
checkpoint. Any other outcome is an exception that names the seed and the number of the mutant.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from forge import Member, signed, stored
from hostile_checkpoints import good, good_graphemes
from json_changes import change_json

from charrnn.errors import CheckpointError
from charrnn.storage.checkpoint import Checkpoint, load

# Seeds take turns with two checkpoints, whose symbols are code points and graphemes.
ARRAYS, METADATA = (good, good_graphemes)[int(sys.argv[2]) % 2]()
GOOD = signed(ARRAYS, METADATA)


def members(file: bytes) -> list[Member]:
    """Names and contents of the members of a file that `stored` made."""
    found, at = [], 0
    while file[at : at + 4] == b"PK\x03\x04":
        size, name_size = int.from_bytes(file[at + 22 : at + 26], "little"), file[at + 26]
        start = at + 30 + name_size
        found.append((file[at + 30 : start].decode(), file[start : start + size]))
        at = start + size
    return found


MEMBERS = members(GOOD)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """`data` with one to five changes: a bit, a byte, some bytes, some missing, some twice, the end missing."""
    mutant = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(mutant))
        end = at + rng.choice((1, 2, 4, 30))
        kind = rng.randrange(6)
        if kind == 0:
            mutant[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            mutant[at] = rng.choice(b"\x00\x01\x7f\x80\xff0-9(),'{}[]PK ")
        elif kind == 2:
            mutant[at:end] = rng.randbytes(end - at)
        elif kind == 3 and len(mutant) > 40:
            del mutant[at:end]
        elif kind == 4:
            mutant[at:at] = mutant[at:end]
        elif rng.random() < 0.1:
            del mutant[max(at, 1) :]
    return bytes(mutant)


NAMES = [
    "W_xh1",
    "W_h2a",
    "W_h3a",
    "b_a",
    "vocabulary",
    "vocabulary_lengths",
    "state.",
    "state.H1",
    "metadata",
    "W h",
    "x" * 100,
    "x" * 101,
]
DTYPES = ["<f4", "<f8", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1", "<f2", ">f4"]


def change_array(rng: random.Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`arrays` with one of them gone, renamed, of another dtype or shape, or with another value."""
    name = rng.choice(list(arrays))
    array = arrays[name]
    kind = rng.randrange(6)
    if kind == 0:
        return {k: v for k, v in arrays.items() if k != name}
    if kind == 1:
        other = rng.choice(NAMES)
        return {(other if k == name else k): v for k, v in arrays.items() if k != other}
    if kind == 2:
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice(DTYPES))
    elif kind == 3:
        array = array.reshape(rng.choice([(-1,), (1, *array.shape), array.shape[::-1], (*array.shape, 1)]))
    elif kind == 4:
        array = array[rng.choice([slice(0), slice(1), slice(None, None, -1)])]
    else:
        array = np.frombuffer(mutate(rng, array.tobytes() + bytes(8))[: array.nbytes].ljust(array.nbytes), array.dtype)
        array = array.reshape(arrays[name].shape)
    return {**arrays, name: array}


def mutant(rng: random.Random) -> tuple[bytes, bool]:
    """A damaged file, and whether its sums are right all the same."""
    kind = rng.randrange(4)
    if kind == 0:
        return mutate(rng, GOOD), False
    if kind == 1:
        at = rng.randrange(len(MEMBERS))
        name, content = MEMBERS[at]
        return stored([*MEMBERS[:at], (name, mutate(rng, content)), *MEMBERS[at + 1 :]]), False
    arrays, metadata = ARRAYS, METADATA
    for _ in range(rng.choice((1, 1, 2))):
        if kind == 2:
            metadata = change_json(rng, metadata)
        else:
            arrays = change_array(rng, arrays)
    return signed(arrays, metadata), True


def is_sound(checkpoint: Checkpoint) -> bool:
    """Whether it keeps what `load` promises, said once more and otherwise."""
    layers, symbols = checkpoint.hidden, list(checkpoint.symbols)
    longest = 32 if checkpoint.unit == "grapheme" else 1
    arrays = [*checkpoint.weights.values(), *checkpoint.extra.values()]
    largest = max(max(a.shape, default=0) for a in checkpoint.weights.values())
    return (
        1 <= len(layers) <= 100
        and all(isinstance(width, int) and not isinstance(width, bool) and 1 <= width <= largest for width in layers)
        and checkpoint.weights[f"W_h{len(layers)}a"].shape == (layers[-1], len(symbols))
        and symbols == sorted(set(symbols))
        and all(1 <= len(symbol) <= longest for symbol in symbols)
        and "".join(symbols).encode("utf-8") != b""  # which refuses surrogates
        and checkpoint.unit in ("codepoint", "grapheme")  # all bytes are more symbols than these weights have
        and checkpoint.normalize in ("none", "nfc", "nfkc")
        and {str(a.dtype) for a in checkpoint.weights.values()} in ({"float32"}, {"float64"})
        and all(a.dtype.kind != "f" or bool(np.isfinite(np.abs(a)).all()) for a in arrays)
        and all(isinstance(value, dict) for value in (checkpoint.settings, checkpoint.progress))
        and (checkpoint.cell + checkpoint.activation).isprintable()
    )


def equal(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints are the same, bit for bit."""

    def plain(checkpoint: Checkpoint) -> Any:
        values = dict(vars(checkpoint))
        for key in ("weights", "extra"):
            values[key] = [(name, v.dtype.str, v.shape, v.tobytes()) for name, v in values[key].items()]
        return json.dumps(values, default=bytes.hex)

    return bool(plain(a) == plain(b))


# What nothing here does at any time: start a process, open a connection, run what came from elsewhere.
NEVER = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "exec", "compile", "pickle.")


def audited(path: Path, read: Callable[[], Checkpoint]) -> Callable[[], Checkpoint]:
    """`read`, under a hook that lets it open `path` for reading and nothing else.

    Python tells the hook of each import, compilation, evaluation and unpickling, of each new process and socket, and of
    all that it does to files. One that is not expected ends the process. While nothing is read, too, files are opened
    for writing in the directory of `path` alone, and nothing of `NEVER` happens.
    """
    reading = False
    allowed = {str(path), *map(str, range(100))}  # a number is that of a file already open

    def expected(event: str, arguments: tuple[Any, ...]) -> bool:
        opens = event == "open"
        writes = opens and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if reading:
            return opens and not writes and str(arguments[0]) in allowed
        return not event.startswith(NEVER) and not (writes and not str(arguments[0]).startswith(str(path.parent)))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not expected(event, arguments):
            os.write(2, f"forbidden: {event} {str(arguments)[:200]}\n".encode())
            os._exit(9)

    def read_it() -> Checkpoint:
        nonlocal reading
        reading = True
        try:
            return read()
        finally:
            reading = False

    sys.addaudithook(hook)
    return read_it


def outcomes(path: Path, seed: int, count: int) -> Iterator[str]:
    """What comes of each of `count` mutants."""
    rng = random.Random(seed)
    path.write_bytes(GOOD)
    good_one = load(path)  # what is imported lazily is imported here
    assert is_sound(good_one) and equal(good_one, good_one)
    for number in range(300):
        mutant(random.Random(number))
    read = audited(path, lambda: load(path))
    for number in range(count):
        content, is_signed = mutant(rng)
        path.write_bytes(content)
        try:
            checkpoint = read()
            outcome = "identical" if equal(checkpoint, good_one) else "different"
            assert is_sound(checkpoint)
            assert is_signed or outcome == "identical"
        except CheckpointError as error:
            line = str(error)
            assert str(path) in line and line.isprintable() and len(line) < 600, line
            outcome = "rejected"
        except Exception as error:
            raise AssertionError(f"seed {seed}, mutant {number}") from error
        yield outcome


if __name__ == "__main__":
    directory, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    started = time.perf_counter()
    counts = Counter(outcomes(directory / f"{seed}.npz", seed, count))
    print(json.dumps({**counts, "seconds": round(time.perf_counter() - started, 1)}))
