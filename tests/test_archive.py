"""An archive loads exactly as it was written or is rejected with one clear error."""

from __future__ import annotations

import json
import os
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forge import ARRAYS, GOOD, METADATA, B, W, document
from hostile import HOSTILE, TEN_GB

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
