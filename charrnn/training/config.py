"""The settings of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from charrnn.errors import ConfigError

ACTIVATION_NAMES = ("tanh", "relu", "sigmoid", "identity")


@dataclass(frozen=True)
class TrainConfig:
    """Every setting, with its default. The length of a run does not depend on the length of the text."""

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "tanh"
    seq_length: int = 64
    batch_size: int = 64
    truncation: str = "full"
    tau: int | None = None
    max_steps: int = 4000
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    grad_clip: float = 1.0
    val_frac: float = 0.1
    eval_every: int = 500
    seed: int = 1
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        def check(good: bool, flag: str, rule: str) -> None:
            if not good:
                raise ConfigError(f"--{flag.replace('_', '-')} {getattr(self, flag)}: must be {rule}")

        check(bool(self.hidden) and min(self.hidden) >= 1, "hidden", "one or more positive widths, as in 128,256")
        check(self.activation in ACTIVATION_NAMES, "activation", "one of " + ", ".join(ACTIVATION_NAMES))
        check(self.truncation in ("full", "fixed"), "truncation", "full or fixed")
        check(self.tau is None or self.tau >= 1, "tau", "at least 1")
        check(self.truncation == "fixed" or self.tau is None, "tau", "left out unless --truncation fixed is given")
        for flag in ("seq_length", "batch_size", "max_steps", "eval_every"):
            check(getattr(self, flag) >= 1, flag, "at least 1")
        check(self.warmup_steps >= 0, "warmup_steps", "at least 0")
        for flag in ("learning_rate", "grad_clip"):
            value = getattr(self, flag)
            check(math.isfinite(value) and value > 0, flag, "a positive number")
        check(0 <= self.val_frac < 1, "val_frac", "at least 0 and below 1")
