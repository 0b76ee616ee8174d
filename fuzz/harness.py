"""What the harnesses of this directory share. They are run with atheris, which charrnn itself does not need:

    pip install atheris
    python fuzz/fuzz_checkpoint.py -max_total_time=300 CORPUS_DIRECTORY

A finding is any exception but an error of charrnn's own, a message that is not one printable line, or a warning. Seeds
are written into the corpus directory first; options are libFuzzer's, and `-seed=n` repeats a run.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from json_changes import change_json  # noqa: E402  (found on the path that was just set)


def directory() -> Path:
    """A new temporary directory."""
    return Path(tempfile.mkdtemp(prefix="charrnn-fuzz-"))


@contextlib.contextmanager
def refused(*kinds: type[Exception]) -> Iterator[None]:
    """These errors are as they should be, if they say what is wrong in one line."""
    try:
        yield
    except kinds as error:
        check_line(str(error))


def check_line(line: str) -> None:
    """ValueError unless it is a line that a terminal can be given."""
    if not line.isprintable() or not 0 < len(line) <= 2_000:
        raise ValueError(f"no clear line: {line!r}")


def mutate_json(raw: bytes, limit: int, seed: int) -> bytes:
    """An input with a change to the JSON of one of its lines, behind the first byte of the input; half of the time, and
    where there is no JSON, libFuzzer changes bytes."""
    rng = random.Random(seed)
    lines = raw[1:].splitlines() or [b""]
    at = rng.randrange(len(lines))
    if rng.random() < 0.5:
        with contextlib.suppress(ValueError, RecursionError):
            lines[at] = json.dumps(change_json(rng, json.loads(lines[at]))).encode()
            changed = raw[:1] + b"\n".join(lines) + (b"\n" if len(lines) > 1 else b"")
            if len(changed) <= limit:
                return changed
    mutated: bytes = atheris.Mutate(raw, limit)
    return mutated


def main(
    one_input: Callable[[bytes], None],
    seeds: Callable[[], Mapping[str, bytes]],
    mutate: Callable[[bytes, int, int], bytes] | None = None,
) -> None:
    """Writes the seeds into the corpus directory, which is the first argument that is no option, and fuzzes."""
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            if not Path(argument).is_file():  # else it is an input that is to be tried again
                Path(argument).mkdir(parents=True, exist_ok=True)
                for name, content in seeds().items():
                    (Path(argument) / name).write_bytes(content)
            break
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, one_input, **({"custom_mutator": mutate} if mutate else {}))
    atheris.Fuzz()
