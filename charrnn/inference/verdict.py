"""What a loss means, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from charrnn.inference.yardsticks import Yardsticks

GAP = 0.15  # share by which a training loss lies below the validation loss of a text that is being learnt by heart
STILL = 0.01  # share by which the loss fell over the last fifth of a run that was still learning


def verdict(
    validation: float, train: float | None, losses: Sequence[float], yardsticks: Yardsticks | None = None
) -> list[str]:
    """One to three sentences. Losses in nats: the best network's, the last training loss, and all evaluations'."""
    return [*_beside(validation, yardsticks), *_course(validation, train, losses)]


def _bits(nats: float) -> float:
    return nats / math.log(2)


def _beside(validation: float, yardsticks: Yardsticks | None) -> list[str]:
    if yardsticks is None:
        return []
    best, unigram = yardsticks.best_ngram, yardsticks.unigram
    if validation >= yardsticks.uniform:
        said = ["No better than a uniform guess: the network has learnt nothing that holds for this text."]
    elif validation >= unigram.nats_per_char:
        said = ["It does not yet know how often each character occurs: train longer, or with a higher rate."]
    elif validation >= best.nats_per_char:
        behind = _bits(validation - best.nats_per_char)
        said = [f"Not yet as good as counting {best.order} characters at a time, by {behind:.2f} bits a character."]
    else:
        ahead = _bits(best.nats_per_char - validation)
        said = [f"Better than any counting of character sequences, by {ahead:.2f} bits a character."]
    given = [score for score in yardsticks.compressors if score.name.startswith("xz given")]
    if given and given[0].bits_per_char < _bits(min(validation, best.nats_per_char)):
        said.append(
            "The validation text repeats passages of the training text (xz finds them): this loss measures memory too."
        )
    return said


def _course(validation: float, train: float | None, losses: Sequence[float]) -> list[str]:
    if len(losses) < 2:
        return []
    lowest = min(range(len(losses)), key=losses.__getitem__)
    if train is not None and train < (1 - GAP) * validation and losses[-1] > 1.02 * losses[lowest]:
        return ["It began to learn the training text by heart after its best evaluation: more text or dropout helps."]
    before = losses[-1 - max(1, len(losses) // 5)]
    if lowest == len(losses) - 1 and before - losses[-1] > STILL * losses[-1]:
        return ["It was still learning when it stopped: a longer run would help."]
    return []
