"""What a loss means, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from charrnn.inference.ngram import NgramScore
from charrnn.inference.yardsticks import Yardsticks

RISE = 0.02  # share by which the validation loss has risen since its best where a text is being learnt by heart
GAP = 0.15  # share by which a training loss lies below the validation loss of a text that is being learnt by heart
STILL = 0.01  # share by which the loss fell over the last fifth of a run that was still learning


def verdict(
    validation: float,
    train: float | None,
    losses: Sequence[float],
    yardsticks: Yardsticks | None = None,
    steps: Sequence[int] = (),
) -> list[str]:
    """Up to three sentences. Losses in nats: the best network's, the last training loss, and all evaluations'.

    `steps` are the updates at which the evaluations were made, if they are known.
    """
    return [*_beside(validation, yardsticks), *_course(validation, train, losses, steps)]


def learnt_by_heart(validation: float, train: float | None, losses: Sequence[float]) -> bool:
    """Whether the training loss lies well below the best validation loss, which has been rising since."""
    return (
        len(losses) > 1
        and train is not None
        and train < (1 - GAP) * validation
        and losses[-1] > (1 + RISE) * min(losses)
    )


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
    elif (bigram := _of_order(2, yardsticks)) and validation >= bigram.nats_per_char:
        behind = _bits(validation - bigram.nats_per_char)
        said = [f"Not yet as good as a table of which character follows which, by {behind:.2f} bits a character."]
    elif f"{abs(_bits(validation - best.nats_per_char)):.2f}" == "0.00":
        said = [f"As good as counting {best.order} characters at a time, the best counting there is for this text."]
    elif validation >= best.nats_per_char:
        behind = _bits(validation - best.nats_per_char)
        said = [f"Not yet as good as counting {best.order} characters at a time, by {behind:.2f} bits a character."]
    else:
        ahead = _bits(best.nats_per_char - validation)
        said = [f"Better than any counting of character sequences, by {ahead:.2f} bits a character."]
    given = [score for score in yardsticks.compressors if score.name.startswith("xz given")]
    if given and given[0].bits_per_char < _bits(min(validation, best.nats_per_char)):
        said.append("This text repeats passages of the training text (xz finds them): the loss measures memory too.")
    return said


def _of_order(order: int, yardsticks: Yardsticks) -> NgramScore | None:
    return next((score for score in yardsticks.ngrams if score.order == order), None)


def _course(validation: float, train: float | None, losses: Sequence[float], steps: Sequence[int]) -> list[str]:
    if len(losses) < 2:
        return []
    lowest = min(range(len(losses)), key=losses.__getitem__)
    if learnt_by_heart(validation, train, losses):
        best = f"step {steps[lowest]:,}" if steps else "its best evaluation"
        return [f"It began to learn the training text by heart after {best}: more text or dropout helps."]
    before = losses[-1 - max(1, len(losses) // 5)]
    if lowest == len(losses) - 1 and before - losses[-1] > STILL * losses[-1]:
        return ["It was still learning when it stopped: a longer run would help."]
    return []
