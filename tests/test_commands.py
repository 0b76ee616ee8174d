"""The commands end to end, as a user runs them."""

import json
import subprocess
import sys

import numpy as np
import pytest

TEXTS = {
    "latin": "the cat sat on the mat.\r\n" * 40,
    "greek": "ἐν ἀρχῇ ἦν ὁ λόγος\n" * 40,
    "arabic": "في البدء كان الكلمة\n" * 40,
    "chinese": "太初有道道與神同在\n" * 40,
    "emoji": "🙂🙃🙂🙂🙃\n" * 40,
}
SMALL = ["--hidden", "8,6", "--seq-length", "10", "--batch-size", "4", "--eval-every", "20"]


def charrnn(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", "charrnn", *arguments], cwd=cwd, capture_output=True, check=False)


@pytest.mark.parametrize("script", TEXTS)
def test_train_sample_and_eval_work_on_five_scripts(tmp_path, script):
    (tmp_path / "text").write_bytes(TEXTS[script].encode())
    trained = charrnn("train", "text", "--out", "run", "--max-steps", "40", "--json", *SMALL, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["steps"] == 40
    sampled = charrnn("sample", "--ckpt", "run", "--length", "30", "--seed", "1", cwd=tmp_path)
    assert set(sampled.stdout.decode()) <= set(TEXTS[script])
    scored = charrnn("eval", "text", "--ckpt", "run", "--json", cwd=tmp_path)
    assert json.loads(scored.stdout)["characters"] == len(TEXTS[script]) - 1


def test_resuming_after_half_of_the_steps_gives_the_same_bits(tmp_path):
    from charrnn.training.config import TrainConfig
    from charrnn.training.loop import Trainer

    ids = np.random.default_rng(0).integers(0, 7, 700)
    config = TrainConfig(hidden=(8, 6), seq_length=10, batch_size=4, max_steps=60)
    whole, first, second = (Trainer(config, 7, ids) for _ in range(3))
    list(whole.steps())
    for step in first.steps():
        if step.number == 30:
            break
    second.restore(first.parameters, first.snapshot())
    list(second.steps())
    np.testing.assert_array_equal(whole.parameters.vector, second.parameters.vector)


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["train", "missing.txt"], 3, "missing.txt"),
        (["train", "bad"], 3, "offset 2"),
        (["train", "text", "--tau", "0", "--truncation", "fixed"], 2, "--tau 0"),
        (["sample", "--ckpt", "nowhere"], 3, "nowhere"),
        (["sample", "--ckpt", "bad"], 3, "bad"),
    ],
)
def test_bad_input_is_one_line_with_the_right_exit_code(tmp_path, arguments, code, words):
    (tmp_path / "text").write_text("some text")
    (tmp_path / "bad").write_bytes(b"ab\xff")
    result = charrnn(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert result.stderr.count(b"\n") == 1 and words in result.stderr.decode()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "text").write_text(TEXTS["latin"])
    charrnn("train", "text", "--out", "run", "--max-steps", "2", *SMALL, cwd=tmp_path)
    path = tmp_path / "run" / "best.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert charrnn("sample", "--ckpt", "run", cwd=tmp_path).returncode == 3


def test_a_run_is_never_overwritten_without_force(tmp_path):
    (tmp_path / "text").write_text(TEXTS["latin"])
    command = ["train", "text", "--out", "run", "--max-steps", "2", *SMALL]
    assert charrnn(*command, cwd=tmp_path).returncode == 0
    assert charrnn(*command, cwd=tmp_path).returncode == 2
    assert charrnn(*command, "--force", cwd=tmp_path).returncode == 0


def test_gradcheck_passes_for_full_and_fixed_truncation(tmp_path):
    for arguments in ([], ["--tau", "3", "--hidden", "4,3,5"]):
        result = charrnn("gradcheck", "--json", *arguments, cwd=tmp_path)
        assert result.returncode == 0 and json.loads(result.stdout)["passed"]
