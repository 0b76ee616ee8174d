"""An archive loads exactly as it was written or is rejected with one clear error."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import ARRAYS, GOOD, GOOD_MEMBERS, HOSTILE, METADATA, ROOT, TEN_GB, B, W, document, npz

from charrnn.errors import CheckpointError, StorageError
from charrnn.storage.archive import read_archive, write_archive


def assert_same(loaded: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()


def reject(path: Path, reason: str = ".", **options: Any) -> CheckpointError:
    with pytest.raises(CheckpointError, match=reason) as caught:
        read_archive(path, **options)
    assert str(path) in str(caught.value)
    assert "; " in str(caught.value)  # what to do
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400 + len(str(path))
    return caught.value


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "u2", "u4", "u8", "?"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0,), (0, 5), (3, 0, 2), (1,) * 20])
def test_every_dtype_and_shape_comes_back_bit_for_bit_and_np_load_agrees(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)  # NaN too
    array = np.array(bits[..., 0] > 127) if dtype == "?" else bits.view(dtype)[..., 0]
    write_archive(tmp_path / "a.npz", {"a": array}, {})
    loaded, metadata = read_archive(tmp_path / "a.npz")
    assert_same(loaded, {"a": array})
    assert metadata == {}
    assert loaded["a"].flags.writeable
    assert loaded["a"].flags.c_contiguous
    with np.load(tmp_path / "a.npz", allow_pickle=False) as numpy_loaded:
        assert sorted(numpy_loaded.files) == ["a", "metadata"]
        assert_same({"a": numpy_loaded["a"]}, {"a": array})


def test_arrays_of_any_layout_and_byte_order_are_stored_by_value(tmp_path: Path) -> None:
    base = np.arange(24, dtype=np.float64).reshape(4, 6)
    arrays = {
        "transposed": base.T,
        "strided": base[::2, ::-3],
        "broadcast": np.broadcast_to(base[0], (3, 6)),
        "swapped": base.astype(">f8"),
    }
    write_archive(tmp_path / "a.npz", arrays, {})
    loaded, _ = read_archive(tmp_path / "a.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array, strict=False)
        assert loaded[name].dtype.str == "<f8"


def test_metadata_comes_back_as_json_values_in_order(tmp_path: Path) -> None:
    metadata = {"z": [1, 2.5, None, True, -0.0, 5e-324], "a": {"€": "\0\n\ud800"}, "n": 2**127 + 1}
    write_archive(tmp_path / "a.npz", {}, metadata)
    arrays, loaded = read_archive(tmp_path / "a.npz")
    assert arrays == {}
    assert json.dumps(loaded) == json.dumps(metadata)


def test_a_file_made_from_the_format_alone_loads(tmp_path: Path) -> None:
    text = np.frombuffer(document(), np.uint8)
    np.savez(tmp_path / "numpy.npz", metadata=text, W=W, b=B)
    (tmp_path / "zip.npz").write_bytes(GOOD)
    for name in ("numpy.npz", "zip.npz"):
        arrays, metadata = read_archive(tmp_path / name)
        assert_same(arrays, ARRAYS)
        assert metadata == METADATA


def test_the_writer_stores_the_documented_metadata(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npz", ARRAYS, METADATA)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as loaded:
        assert loaded["metadata"].tobytes() == document()


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_archive(tmp_path / name, ARRAYS, METADATA)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_that_needs_zip64_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZIP64 begins at 2 GiB; a lower limit stands for a larger file."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000)
    arrays = {name: np.arange(500.0) for name in ("a", "b", "c")}
    write_archive(tmp_path / "a.npz", arrays, METADATA)
    assert b"PK\x06\x06" in (tmp_path / "a.npz").read_bytes()
    assert_same(read_archive(tmp_path / "a.npz")[0], arrays)


@pytest.mark.parametrize(
    ("name", "array", "error"),
    [
        ("W", np.zeros(2, np.float16), TypeError),
        ("W", np.zeros(2, np.int32), TypeError),
        ("W", np.array([None]), TypeError),
        ("W", np.zeros(2, [("x", "f4")]), TypeError),
        ("metadata", W, ValueError),
        ("W.npy", W, ValueError),
        ("../W", W, ValueError),
        ("", W, ValueError),
    ],
)
def test_what_the_format_does_not_hold_is_refused_before_the_file_is_touched(
    tmp_path: Path, name: str, array: np.ndarray, error: type[Exception]
) -> None:
    with pytest.raises(error):
        write_archive(tmp_path / "a.npz", {name: array}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32(1), {1, 2}])
def test_metadata_that_is_not_strict_json_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        write_archive(tmp_path / "a.npz", {}, {"value": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_rejected_for_its_own_reason(tmp_path: Path, case: str) -> None:
    content, reason = HOSTILE[case]
    (tmp_path / "a.npz").write_bytes(content)
    reject(tmp_path / "a.npz", reason)


def test_ten_declared_gigabytes_are_rejected_without_allocating_them(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(TEN_GB)
    tracemalloc.start()
    try:
        reject(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_good_file_takes_three_times_its_size_of_memory_at_most(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npz", {"a": np.ones(250_000), "b": np.ones(250_000)}, {})
    tracemalloc.start()
    try:
        read_archive(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 3 * 4_000_000
    finally:
        tracemalloc.stop()


def test_a_missing_file_a_directory_and_a_pipe_are_named(tmp_path: Path) -> None:
    assert str(reject(tmp_path / "a.npz")).startswith(f"no checkpoint at {tmp_path / 'a.npz'};")
    reject(tmp_path, "not a regular file")
    os.mkfifo(tmp_path / "pipe")
    reject(tmp_path / "pipe", "not a regular file")


def test_a_file_beyond_max_bytes_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(GOOD)
    read_archive(tmp_path / "a.npz", max_bytes=len(GOOD))
    reject(tmp_path / "a.npz", "more than", max_bytes=len(GOOD) - 1)


def test_other_errors_of_the_system_are_storage_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "a.npz"
    with pytest.raises(StorageError, match="Not a directory") as caught:
        read_archive(path)
    assert str(path) in str(caught.value)


def mutants(seed: int, count: int) -> Iterable[bytes]:
    """Damaged archives: half of them damaged in a member, with the zip file made good again."""
    rng = random.Random(seed)
    for k in range(count):
        if k % 2:
            yield mutate(rng, GOOD)
        else:
            members = list(GOOD_MEMBERS)
            place = rng.randrange(len(members))
            members[place] = (members[place][0], mutate(rng, members[place][1]))
            yield npz(members)


def mutate(rng: random.Random, data: bytes) -> bytes:
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


def load_or_reject(path: Path, content: bytes) -> bool:
    """Whether the content loads, and then as GOOD does; any error but CheckpointError passes."""
    path.write_bytes(content)
    try:
        arrays, metadata = read_archive(path)
    except CheckpointError as error:
        assert len(str(error).splitlines()) == 1
        return False
    assert_same(arrays, ARRAYS)
    assert json.dumps(metadata) == json.dumps(METADATA)
    return True


def test_every_mutant_is_rejected_or_loads_identically(tmp_path: Path) -> None:
    loaded = sum(load_or_reject(tmp_path / "a.npz", mutant) for mutant in mutants(0, 4_000))
    assert 0 < loaded < 1_000  # not everything is rejected by the first check, nor let through


def audited_reads(path: Path) -> None:
    """Read every hostile file and some mutants; runs in a child, for an audit hook never goes."""
    forbidden = ("pickle.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.")
    forbidden += ("compile", "exec", "import", "socket.")
    seen: list[str] = []
    load_or_reject(path, GOOD)  # lazy imports happen here
    sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(forbidden) else None)
    for content, _ in HOSTILE.values():
        assert not load_or_reject(path, content)
    for mutant in mutants(1, 1_000):
        load_or_reject(path, mutant)
    assert seen == [], seen
    pickle.loads(pickle.dumps(os.getpid))
    assert seen, "the hook does not work"


def start_child(code: str, path: Path) -> subprocess.Popen[str]:
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_no_hostile_file_executes_code(tmp_path: Path) -> None:
    code = """
import pathlib, resource, sys, test_archive
# Room for one GiB more than the interpreter has now.
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
test_archive.audited_reads(pathlib.Path(sys.argv[1]))
"""
    with start_child(code, tmp_path / "a.npz") as child:
        output, _ = child.communicate(timeout=60)
    assert (child.returncode, output) == (0, "")


def test_a_killed_writer_leaves_every_acknowledged_archive_loadable(tmp_path: Path) -> None:
    code = """
import pathlib, sys
import numpy as np
from charrnn.storage.archive import write_archive
step = 0
while True:
    step += 1
    write_archive(pathlib.Path(sys.argv[1]), {"W": np.full(50_000, float(step))}, {"step": step})
    print(step, flush=True)
"""
    rng = random.Random(0)
    for k in range(6):
        path = tmp_path / f"{k}.npz"
        with start_child(code, path) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(rng.uniform(0, 0.03))
            child.send_signal(signal.SIGKILL)
            acknowledged = (first + child.stdout.read()).splitlines()
        arrays, metadata = read_archive(path)
        step = metadata["step"]
        assert step in (int(acknowledged[-1]), int(acknowledged[-1]) + 1)
        assert (arrays["W"] == step).all()


def test_a_file_replaced_while_it_is_read_loads_as_one_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    stop = threading.Event()

    def replace_until_stopped() -> None:
        while not stop.is_set():
            for step in (1, 2):
                write_archive(path, {"W": np.full(10_000 * step, float(step))}, {"step": step})

    write_archive(path, {"W": np.full(10_000, 1.0)}, {"step": 1})
    writer = threading.Thread(target=replace_until_stopped)
    writer.start()
    try:
        for _ in range(100):
            arrays, metadata = read_archive(path)
            assert (arrays["W"] == metadata["step"]).all()
    finally:
        stop.set()
        writer.join()
