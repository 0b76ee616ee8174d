"""The `torch` marker: those tests need PyTorch, and say so in one place; and the seed in the report."""

from __future__ import annotations

import importlib.util
import os

import pytest
from scale import LONG, SEED

TORCH_INSTALLED = importlib.util.find_spec("torch") is not None


def pytest_configure() -> None:
    """With CHARRNN_REQUIRE_TORCH=1 a missing PyTorch stops the run: no silent skip."""
    if os.environ.get("CHARRNN_REQUIRE_TORCH") != "1":
        return
    try:
        import torch  # noqa: F401  (only whether it imports is asked)
    except ImportError as error:
        raise pytest.UsageError(f"CHARRNN_REQUIRE_TORCH=1, but torch does not import: {error}") from None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Skip marked tests without PyTorch."""
    if item.get_closest_marker("torch") is not None:
        item.add_marker(pytest.mark.skipif(not TORCH_INSTALLED, reason="PyTorch is not installed"))


def pytest_report_header() -> str:
    """The seed of the tests that draw what they try."""
    return f"seed {SEED}{' (long form)' if LONG else ''}"
