"""The commands end to end, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TEXTS = {
    "latin": "the cat sat on the mat.\r\n" * 40,
    "greek": "ἐν ἀρχῇ ἦν ὁ λόγος\n" * 40,
    "arabic": "في البدء كان الكلمة\n" * 40,
    "chinese": "太初有道道與神同在\n" * 40,
    "emoji": "🙂🙃🙂🙂🙃\n" * 40,
}
SMALL = ["--hidden", "8,6", "--seq-length", "10", "--batch-size", "4", "--eval-every", "20", "--warmup-steps", "5"]
ENDLESS = ["--epochs", "1000000", "--patience", "1000000"]  # else it stops when validation gets no better
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def made(run: Path) -> int:
    """The updates that a run has saved."""
    with np.load(run / "last.npz") as saved:
        return int(json.loads(saved["metadata"].tobytes())["metadata"]["progress"]["trainer"]["step"])


def start(*arguments: str, cwd: Path, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "charrnn", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def charrnn(*arguments: str, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    with start(*arguments, cwd=cwd, stdin=subprocess.PIPE) as process:
        out, err = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with text.txt and runs/text, trained on it for 40 steps."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "text.txt").write_bytes(TEXTS["latin"].encode())
    assert charrnn("train", "text.txt", "--max-steps", "40", *SMALL, cwd=directory).returncode == 0
    return directory


@pytest.mark.parametrize("script", TEXTS)
def test_train_sample_and_eval_work_on_five_scripts(tmp_path: Path, script: str) -> None:
    (tmp_path / "text").write_bytes(TEXTS[script].encode())
    trained = charrnn("train", "text", "--out", "run", "--max-steps", "40", "--json", *SMALL, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["steps"] == 40 and result["characters"] in (1280, 1440, 1600)  # of a short text T is 8 or 9
    assert set(result) == {
        *("run", "checkpoint", "parameters", "steps", "epochs", "characters", "seconds"),
        *("characters_per_second", "train", "validation", "test", "yardsticks", "verdict", "novelty"),
    }
    assert set(result["train"]) == {"nats_per_char", "bits_per_char", "perplexity"} < set(result["validation"])
    assert b"\r" not in trained.stderr and b"\x1b" not in trained.stderr
    sampled = charrnn("sample", "--length", "30", "--seed", "1", "--ckpt", "run", cwd=tmp_path)
    assert len(sampled.stdout.decode()) == 31
    assert set(sampled.stdout.decode()) <= set(TEXTS[script])
    scored = charrnn("eval", "text", "--ckpt", "run", "--json", cwd=tmp_path)
    assert json.loads(scored.stdout)["characters"] == len(TEXTS[script]) - 1


def test_a_validation_text_beyond_a_million_characters_is_cut_and_a_test_text_is_not(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("abcd " * 200)
    (tmp_path / "long").write_text("abcd " * 240_000)
    files = ["--val-file", "long", "--test-file", "long"]
    trained = charrnn("train", "text", *files, "--max-steps", "1", "--hidden", "4", "--json", cwd=tmp_path)
    assert b"of the validation text the first 1,000,000 characters are scored" in trained.stderr
    result = json.loads(trained.stdout)
    assert (result["validation"]["characters"], result["test"]["characters"]) == (999_999, 1_199_999)


def test_a_run_directory_holds_settings_manifest_metrics_and_checkpoints(trained: Path) -> None:
    run = trained / "runs" / "text"
    names = {path.name for path in run.iterdir()}
    assert names == {"config.yaml", "manifest.json", "metrics.jsonl", "best.npz", "last.npz"}
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["corpus"] == [str(trained / "text.txt")] and manifest["characters"] == 1000
    assert "hidden: 8,6" in (run / "config.yaml").read_text()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40] and len(rows[0]["gradient_norms"]) == 3
    with np.load(run / "best.npz", allow_pickle=False) as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files if name[:2] in ("W_", "b_")}
    d = 13
    assert shapes == {
        **{"W_xh1": (d, 8), "W_h1h1": (8, 8), "b_h1": (8,), "W_h1h2": (8, 6), "W_h2h2": (6, 6), "b_h2": (6,)},
        **{"W_h2a": (6, d), "b_a": (d,)},
    }


@pytest.mark.parametrize("kind, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_resumed_run_ends_as_if_nothing_had_been(
    tmp_path: Path, kind: signal.Signals, code: int
) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    command = ["train", "text", "--max-steps", "1500", *SMALL, "--out"]
    with start(*command, "cut", cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(b"step"):
                break
        process.send_signal(kind)
        process.wait(30)
        assert process.returncode == code
        assert b"charrnn train --resume cut" in process.stderr.read()
    assert charrnn("sample", "--ckpt", "cut", cwd=tmp_path).returncode == 0
    resumed = charrnn("train", "--resume", "cut", "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert 0 < json.loads(resumed.stdout)["characters"] < 1500 * 40
    charrnn(*command, "whole", cwd=tmp_path)
    a, b = (np.load(tmp_path / name / "last.npz") for name in ("cut", "whole"))
    with a, b:
        for name in a.files:
            assert name == "metadata" or (a[name] == b[name]).all()


def test_a_run_is_extended_by_resuming_it_with_more_steps(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    command = ["train", "text", "--schedule", "constant", *SMALL]
    charrnn(*command, "--out", "a", "--max-steps", "50", cwd=tmp_path)
    assert charrnn("train", "--resume", "a", "--max-steps", "100", cwd=tmp_path).returncode == 0
    charrnn(*command, "--out", "b", "--max-steps", "100", cwd=tmp_path)
    with np.load(tmp_path / "a" / "last.npz") as a, np.load(tmp_path / "b" / "last.npz") as b:
        assert all((a[name] == b[name]).all() for name in a.files if name != "metadata")


def test_standard_input_is_a_corpus_that_can_be_resumed(tmp_path: Path) -> None:
    text = TEXTS["greek"].encode()
    result = charrnn("train", "-", "--max-steps", "30", *SMALL, cwd=tmp_path, stdin=text)
    assert result.returncode == 0, result.stderr
    resumed = charrnn("train", "--resume", "runs/stdin", "--max-steps", "60", "--json", cwd=tmp_path)
    assert json.loads(resumed.stdout)["steps"] == 60
    scored = charrnn("eval", "-", "--json", cwd=tmp_path, stdin=text)
    assert json.loads(scored.stdout)["characters"] == len(text.decode()) - 1


def test_init_from_takes_weights_and_vocabulary_to_another_text(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("that mate\n" * 30)
    run = str(trained / "runs" / "text")
    command = [
        "train",
        "other",
        "--init-from",
        run,
        "--max-steps",
        "1",
        "--learning-rate",
        "1e-30",
        "--seq-length",
        "9",
    ]
    result = charrnn(*command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "runs/other/last.npz") as new, np.load(trained / "runs/text/best.npz") as old:
        assert (new["W_h1h1"] == old["W_h1h1"]).all() and (new["vocabulary"] == old["vocabulary"]).all()
    (tmp_path / "other").write_text("quay\n" * 30)
    refused = charrnn(*command, cwd=tmp_path)
    assert refused.returncode == 3 and b"'q' (U+0071)" in refused.stderr and b"line 1, column 1" in refused.stderr
    assert charrnn(*command, "--unknown", "replace", cwd=tmp_path).returncode == 0


def test_samples_go_on_from_a_prompt_and_stop_where_they_are_told(trained: Path) -> None:
    def text(*arguments: str, stdin: bytes = b"") -> str:
        result = charrnn("sample", "--seed", "3", *arguments, cwd=trained, stdin=stdin)
        assert result.returncode == 0, result.stderr
        assert result.stderr.startswith(b"using runs/text, the newest run (validation ")
        return result.stdout.decode()

    assert text("--prompt", "the cat", "--length", "5").startswith("the cat")
    assert text("--prompt-file", "-", "--length", "5", stdin=b"mat") == text("--prompt", "mat", "--length", "5")
    assert len(text("--length", "1", "--prompt", "t").rstrip("\n")) in (1, 2)  # a line end may be the one
    assert "t" not in text("--stop", "t", "--length", "400")[:-2]
    assert text("--greedy") == text("--top-k", "1") == text("--top-p", "1e-9")
    assert text("--prompt", "Zthe", "--unknown", "skip", "--length", "4")[:4] == "Zthe"


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["train"], 2, "name a text"),
        (["train", "missing.txt"], 3, "missing.txt"),
        (["train", "bad"], 3, "offset 2"),
        (["train", "empty"], 3, "empty"),
        (["train", "one"], 3, "1 character"),
        (["train", "nothing"], 3, "no text"),
        (["train", "text", "--tau", "0", "--truncation", "fixed"], 2, "--tau"),
        (["train", "text", "--encoding", "utf-9"], 2, "utf-9"),
        (["train", "text", "--config", "bad.yaml"], 2, "line 1"),
        (["train", "text", "--out", "text"], 2, "is a file"),
        (["train", "text", "--out", "nothing/../other"], 2, "other files"),
        (["train", "text", "--cell", "gruu"], 2, "rnn"),
        (["train", "--resume", "nothing"], 3, "nothing"),
        (["train", "--force", "--resume", "nothing"], 2, "does not go with --resume"),
        (["train", "--resume", "nothing", "--hidden", "3"], 2, "hidden cannot change"),
        (["train", "text", "--init-from", "bad"], 3, "bad"),
        (["sample", "--ckpt", "nowhere"], 3, "nowhere"),
        (["sample", "--ckpt", "bad"], 3, "bad"),
        (["sample"], 3, "no run here"),
        (["sample", "--temperature", "-1"], 2, "greedy"),
        (["sample", "--top-p", "0"], 2, "--top-p"),
        (["eval", "text"], 3, "no run here"),
        (["eval", "text", "--unknown", "maybe"], 2, "unknown 'maybe'"),
        (["gradcheck", "--truncation", "full", "--tau", "3"], 2, "--tau"),
        (["gradcheck", "--hidden", "0"], 2, "--hidden"),
        (["train", "text", "--hiden", "3"], 2, "--hidden"),
        (["trian"], 2, "train"),
        (["sample", "--length", "x"], 2, "--length"),
        (["sample", "--num-samples", "0"], 2, "--num-samples"),
        (["bench", "--hidden", "x"], 2, "--hidden"),
    ],
)
def test_bad_input_is_one_line_with_the_right_exit_code(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "text").write_text("some text")
    (tmp_path / "bad").write_bytes(b"ab\xff")
    (tmp_path / "bad.yaml").write_text("sed: 3")
    (tmp_path / "empty").touch()
    (tmp_path / "one").write_text("a")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").touch()
    before = sorted(tmp_path.rglob("*"))
    result = charrnn(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, b"")
    assert result.stderr.count(b"\n") == 1 and words in result.stderr.decode(), result.stderr
    assert sorted(tmp_path.rglob("*")) == before  # nothing half-written


def test_a_damaged_checkpoint_is_refused(trained: Path, tmp_path: Path) -> None:
    data = bytearray((trained / "runs" / "text" / "best.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "c.npz").write_bytes(data)
    result = charrnn("sample", "--ckpt", "c.npz", cwd=tmp_path)
    assert result.returncode == 3 and b"c.npz" in result.stderr


def test_a_run_is_never_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    command = ["train", "text", "--max-steps", "2", *SMALL]
    assert charrnn(*command, "--out", "run", cwd=tmp_path).returncode == 0
    kept = (tmp_path / "run" / "best.npz").read_bytes()
    refused = charrnn(*command, "--out", "run", "--seed", "2", cwd=tmp_path)
    assert refused.returncode == 2 and b"--force" in refused.stderr and b"--resume run" in refused.stderr
    assert (tmp_path / "run" / "best.npz").read_bytes() == kept
    assert charrnn(*command, "--out", "run", "--force", "--seed", "2", cwd=tmp_path).returncode == 0
    assert (tmp_path / "run" / "best.npz").read_bytes() != kept
    for name in ("runs/text", "runs/text-2"):  # without --out there is always a free name
        assert charrnn(*command, cwd=tmp_path).returncode == 0
        assert (tmp_path / name).is_dir()


def test_two_trainings_never_share_a_directory(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    with start("train", "text", "--out", "run", *SMALL, *ENDLESS, cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(b"step"):
                break
        for arguments in (["text", "--out", "run", "--force"], ["--resume", "run"]):
            refused = charrnn("train", *arguments, cwd=tmp_path)
            assert refused.returncode == 2 and b"another training" in refused.stderr
        process.kill()


def test_a_changed_text_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    charrnn("train", "text", "--max-steps", "2", *SMALL, cwd=tmp_path)
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() + b"!")
    result = charrnn("train", "--resume", "runs/text", "--max-steps", "4", cwd=tmp_path)
    assert result.returncode == 3 and b"not the text" in result.stderr


def test_print_config_shows_each_value_and_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("seed: 7\n")
    as_json = charrnn("train", "--config", "c.yaml", "--hidden", "9", "--print-config", "--json", cwd=tmp_path)
    assert json.loads(as_json.stdout)["hidden"] == [9]
    result = charrnn("train", "--config", "c.yaml", "--hidden", "9", "--print-config", cwd=tmp_path)
    lines = result.stdout.decode().splitlines()
    assert any(line.startswith("seed:") and line.endswith("c.yaml, line 1") for line in lines)
    assert any(line.startswith("hidden:") and line.endswith("# --hidden") for line in lines)
    assert any(line.startswith("dropout:") and line.endswith("# default") for line in lines)


def test_gradcheck_passes_for_every_truncation_on_a_network_and_on_a_checkpoint(trained: Path) -> None:
    result = json.loads(charrnn("gradcheck", "--json", cwd=trained).stdout)
    assert result["passed"] and {check["policy"] for check in result["checks"]} == {
        "full",
        "fixed",
        "sliding",
        "random",
    }
    assert all(c["max_relative_error"] < 1e-10 for c in result["checks"] if c["method"] == "complex-step")
    for arguments in (["--tau", "2", "--hidden", "4,3,5"], ["--ckpt", "runs/text", "--truncation", "full"]):
        assert json.loads(charrnn("gradcheck", "--json", *arguments, cwd=trained).stdout)["passed"]


@pytest.mark.parametrize("search", [(), ("--beam", "500")])
def test_an_interrupt_of_any_command_is_one_line(trained: Path, search: tuple[str, ...]) -> None:
    length = "1000000" if search else "0"
    with start("sample", "--ckpt", "runs/text", "--length", length, *search, cwd=trained) as process:
        assert process.stdout is not None and process.stderr is not None
        if search:
            time.sleep(1)
        else:
            process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert (process.wait(30), process.stderr.read()) == (130, b"interrupted\n")


def test_the_reader_of_a_sample_may_leave_early(trained: Path) -> None:
    with start("sample", "--ckpt", "runs/text", "--length", "1000000", cwd=trained) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr is not None and not process.stderr.read()


def test_a_run_that_goes_on_has_the_same_blas_workers_and_bits(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    # The BLAS and the workers are chosen before NumPy is imported, and only where the user has not chosen.
    environment = {k: v for k, v in ENVIRONMENT.items() if not k.startswith(("OPENBLAS", "OMP"))}
    command = ["--hidden", "64", "--batch-size", "16", "--seq-length", "20", "--threads", "2"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "charrnn", "train", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=60,
            check=True,
        )
        return done.stderr.decode()

    run("text", *command, "--out", "whole", "--max-steps", "6", "--schedule", "constant")
    run("text", *command, "--out", "parts", "--max-steps", "3", "--schedule", "constant")
    assert json.loads((tmp_path / "parts" / "manifest.json").read_bytes())["blas"]["workers"] == 2
    assert "BLAS" not in run("--resume", "parts", "--max-steps", "6")
    whole, parts = (np.load(tmp_path / name / "last.npz") for name in ("whole", "parts"))
    for name in set(whole.files) - {"metadata"}:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)


def test_an_interrupt_while_workers_start_leaves_a_run_to_go_on_with_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    large = ["--hidden", "64", "--batch-size", "32", "--seq-length", "20", "--threads", "3", "--max-steps", "100000"]
    with start("train", "text", "--out", "run", *large, cwd=tmp_path, start_new_session=True) as process:
        assert process.stderr
        said = b""
        while b"training" not in said:  # the network is made, and its workers are starting
            said += process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        said += process.stderr.read()
        assert process.wait(60) == 130
    assert b"Traceback" not in said
    assert b"go on with" in said
    more = made(tmp_path / "run") + 2
    assert charrnn("train", "--resume", "run", "--max-steps", str(more), cwd=tmp_path).returncode == 0


def test_python_ends_with_its_workers_whatever_was_imported_first() -> None:
    code = """
import tempfile
kept = tempfile.TemporaryDirectory()  # its finalizer is older than multiprocessing's
import numpy as np
from charrnn.engine.workers import WorkerEngine
from charrnn.network.parameters import Architecture
engine = WorkerEngine(Architecture(5, (4,)), np.float32, 2, 2)
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["train", "text.txt", "--hidden", "3000000", "--out", "x"], 5, b"not enough memory"),
        (["train", "text.txt", "--encoding", "rot13", "--out", "x"], 2, b"no such encoding"),
        (
            ["train", "text.txt", "--unknown", "foo", "--out", "x"],
            2,
            b"unknown 'foo': must be error, skip, replace or grow",
        ),
        (["train", "", "--out", "x"], 3, b"the name of a text is empty"),
        (["train", "--resume", "runs/text/last.npz"], 3, b"last.npz: no run directory"),
        (["bench", "--hidden", "300000", "--seq-length", "1"], 5, b"not enough memory"),
        (["bench", "--hidden", "8", "--write", "x.md"], 2, b"--write needs --peers"),
        (["bench", "--peers", "--hidden", "8", "--write", "x.md"], 2, b"--write is for the standard shapes"),
        (["bench", "--peers", "--hidden", "8,4"], 2, b"one width for all layers"),
        (["bench", "--hidden", ""], 2, b"--hidden"),
        (["train", "text.txt", "--val-file", "empty", "--out", "x"], 3, b"empty: holds no character of the vocabulary"),
        (["train", "text.txt", "--test-file", "one", "--out", "x"], 3, b"one: holds one character of the vocabulary"),
    ],
)
def test_what_cannot_be_is_one_line(trained: Path, arguments: list[str], code: int, message: bytes) -> None:
    (trained / "empty").touch()
    (trained / "one").write_text((trained / "text.txt").read_text()[0])
    done = charrnn(*arguments, cwd=trained)
    assert done.returncode == code
    assert done.stderr.count(b"\n") == 1 and message in done.stderr
    assert not (trained / "x").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(trained: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "charrnn", "sample", "--ckpt", "runs/text", "--length", "5"],
            cwd=trained,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert (done.returncode, done.stderr) == (5, b"error: output cannot be written: No space left on device\n")


def test_the_network_in_the_readme_scores_a_text_as_eval_does(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "tinyshakespeare.txt").write_bytes(TEXTS["greek"].encode())
    options = ["--max-steps", "2", "--batch-size", "4", "--seq-length", "10"]
    charrnn("train", "data/tinyshakespeare.txt", *options, cwd=tmp_path)
    snippets = [part.split("```")[0] for part in (ROOT / "README.md").read_text("utf-8").split("```python\n")[1:]]
    code = next(snippet for snippet in snippets if "np.load" in snippet)
    printed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True).stdout
    scored = charrnn("eval", "data/tinyshakespeare.txt", "--json", cwd=tmp_path)
    assert b"using runs/tinyshakespeare" in scored.stderr
    np.testing.assert_allclose(float(printed), json.loads(scored.stdout)["nats_per_char"], rtol=1e-5)


def test_a_text_that_cannot_replace_a_run_leaves_it_whole_and_one_that_can_leaves_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    options = ["--out", "run", "--max-steps", "2", *SMALL]
    assert charrnn("train", "-", *options, cwd=tmp_path, stdin=TEXTS["greek"].encode()).returncode == 0
    assert charrnn("train", "-", "--force", *options, cwd=tmp_path, stdin=b"a").returncode == 3
    more = made(tmp_path / "run") + 2
    assert charrnn("train", "--resume", "run", "--max-steps", str(more), cwd=tmp_path).returncode == 0
    assert charrnn("train", "text", "--force", *options, cwd=tmp_path).returncode == 0
    assert not (tmp_path / "run" / "ids.bin").exists()
    more = made(tmp_path / "run") + 2
    assert charrnn("train", "--resume", "run", "--max-steps", str(more), cwd=tmp_path).returncode == 0
    assert charrnn("train", "-", "--out", "new", cwd=tmp_path, stdin=b"a").returncode == 3
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    assert charrnn("train", "-", "--out", "mine", cwd=tmp_path, stdin=b"a").returncode == 3
    assert (tmp_path / "mine").is_dir()


def test_a_run_from_a_named_pipe_goes_on_from_the_ids_that_it_kept(tmp_path: Path) -> None:
    options = ["--out", "run", "--max-steps", "2", *SMALL]
    text = TEXTS["latin"].encode()
    assert charrnn("train", "/dev/stdin", *options, cwd=tmp_path, stdin=text).returncode == 0
    more = made(tmp_path / "run") + 2
    assert charrnn("train", "--resume", "run", "--max-steps", str(more), cwd=tmp_path).returncode == 0


def test_a_second_interrupt_does_not_wait_for_the_step_of_a_worker(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 2000)
    long = ["--hidden", "256,256", "--batch-size", "8", "--seq-length", "200000", "--recompute", "--threads", "2"]
    with start("train", "text", "--out", "run", *long, cwd=tmp_path, start_new_session=True) as process:
        assert process.stderr
        while b"training" not in process.stderr.readline():  # what follows is the first step, for its time
            pass
        time.sleep(1.5)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.7)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(5) == 130  # the step that is under way takes several times as long
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("kinds", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)], ids=str)
def test_signals_of_the_other_kind_that_follow_change_nothing_of_how_it_ends(
    tmp_path: Path, kinds: tuple[signal.Signals, signal.Signals]
) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    with start("train", "text", "--out", "run", *SMALL, *ENDLESS, cwd=tmp_path) as process:
        assert process.stderr
        while b"training" not in process.stderr.readline():
            pass
        process.send_signal(kinds[0])
        time.sleep(0.02)  # of two that come at once, Python takes the lower number first
        for _ in range(20_000):
            if process.poll() is not None:  # to the very end of the interpreter
                break
            process.send_signal(kinds[1])
            time.sleep(0.001)
        assert process.returncode == 128 + kinds[0]
        assert process.stderr.read().splitlines()[-1] == b"saved; go on with: charrnn train --resume run"


def test_a_worker_that_is_stopped_does_not_keep_a_second_signal_from_ending_the_run_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    two = ["--hidden", "64", "--batch-size", "32", "--seq-length", "20", "--threads", "2", "--max-steps", "100000"]
    with start("train", "text", "--out", "run", *two, cwd=tmp_path) as process:
        assert process.stderr
        while b"training" not in process.stderr.readline():
            pass
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (worker,) = (pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(int(worker), signal.SIGSTOP)  # in its first steps, when it has its share of them
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.6)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 143
        last = process.stderr.read().splitlines()[-1]
        # On a busy machine the worker may just have no share of the step, which then ends.
        waits = b"stopped at once, after the last checkpoint; go on with: charrnn train --resume run"
        assert last in (waits, b"saved; go on with: charrnn train --resume run")
    more = str(made(tmp_path / "run") + 1)
    assert charrnn("train", "--resume", "run", "--max-steps", more, cwd=tmp_path).returncode == 0


def interrupted_training_after(script: str, place: Path) -> int:
    """The exit code of a training by a process that has first run the script; it has said that it was interrupted, and
    left nothing."""
    (place / "text").write_bytes(TEXTS["latin"].encode())
    run = f"{script}from charrnn.__main__ import main\nmain()\n"
    command = [sys.executable, "-c", run, "train", "text", "--out", "run", "--max-steps", "20"]
    done = subprocess.run(command, cwd=place, env=ENVIRONMENT, capture_output=True, timeout=60)
    assert (done.stderr, done.stdout) == (b"interrupted\n", b"")
    assert not (place / "run").exists()
    return done.returncode


@pytest.mark.parametrize("kind, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "module", ["charrnn.cli.main", "charrnn.cli.train", "charrnn.cli.signals", "typer", "pydantic"]
)
def test_a_signal_while_the_command_is_still_loaded_ends_with_a_line(
    tmp_path: Path, module: str, kind: signal.Signals, code: int
) -> None:
    ended_in_an_import = (
        "import os, signal, sys\n"
        "class Ends:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == {module!r}:\n"
        f"            os.kill(os.getpid(), {int(kind)})\n"
        "sys.meta_path.insert(0, Ends)\n"
    )
    assert interrupted_training_after(ended_in_an_import, tmp_path) == code


@pytest.mark.parametrize("kind, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_class_is_made_in_an_import_ends_with_a_line(
    tmp_path: Path, kind: signal.Signals, code: int
) -> None:
    ended_in_a_class = (
        "import signal, sys\n"
        "class Ends:\n"
        "    def __set_name__(self, *_):\n"
        f"        signal.raise_signal({int(kind)})\n"
        "class Imports:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'charrnn.training.prepare':\n"
        "            type('Made', (), {'ends': Ends()})\n"
        "sys.meta_path.insert(0, Imports)\n"
    )
    assert interrupted_training_after(ended_in_a_class, tmp_path) == code


@pytest.mark.parametrize("kind, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_text_is_read_leaves_nothing(tmp_path: Path, kind: signal.Signals, code: int) -> None:
    with start("train", "-", "--out", "run", cwd=tmp_path, stdin=subprocess.PIPE) as process:
        for _ in range(1000):
            if (tmp_path / "run").exists():
                break
            time.sleep(0.01)
        process.send_signal(kind)
        assert process.wait(10) == code
        assert process.stderr is not None and process.stderr.read() == b"interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_removed_while_a_training_runs_is_told_and_in_the_end_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    with start("train", "text", "--out", "run", *SMALL, *ENDLESS, cwd=tmp_path) as process:
        assert process.stderr
        while b"training" not in process.stderr.readline():
            pass
        (tmp_path / "run").rename(tmp_path / "gone")
        lines = iter(process.stderr.readline, b"")
        assert b"the training goes on" in next(line for line in lines if line.startswith(b"note      cannot write"))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 5
        assert process.stderr.read().splitlines()[-1].startswith(b"error: cannot write run/")


def test_a_run_that_diverges_is_one_line_and_one_that_may_go_back_ends_well(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 4)
    steep = ["--activation", "relu", "--learning-rate", "0.4", "--grad-clip", "0", "--checkpoint-every", "1"]
    options = [*steep, "--hidden", "32", "--warmup-steps", "0", "--max-steps", "12", "--out", "run"]
    diverged = charrnn("train", "text", *options, cwd=tmp_path)
    last = diverged.stderr.splitlines()[-1]
    assert diverged.returncode == 4 and last.startswith(b"error: step ") and b"last.npz is of step " in last
    resumed = charrnn("train", "--resume", "run", "--on-divergence", "rollback", cwd=tmp_path)
    notes = [line for line in resumed.stderr.splitlines() if b"with half the rate" in line]
    assert resumed.returncode == 0 and 1 <= len(notes) <= 3, resumed.stderr


def test_a_request_to_save_is_met_and_told_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    two = ["--hidden", "64", "--batch-size", "32", "--seq-length", "20", "--threads", "2", "--max-steps", "100000"]
    with start("train", "text", "--out", "run", *two, cwd=tmp_path, start_new_session=True) as process:
        assert process.stderr
        while b"training" not in process.stderr.readline():
            pass
        os.killpg(process.pid, signal.SIGUSR1)  # the workers too, who do not mind
        lines = iter(process.stderr.readline, b"")
        step = next(line.split()[3] for line in lines if line.startswith(b"note      saved step"))
        assert made(tmp_path / "run") >= int(step) > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1])
def test_an_interrupt_that_comes_twice_at_once_saves_as_one(tmp_path: Path, pause: float) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    with start("train", "text", "--out", "run", *SMALL, *ENDLESS, cwd=tmp_path) as process:
        assert process.stderr
        while b"training" not in process.stderr.readline():
            pass
        time.sleep(0.5)
        for _ in range(4):
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        assert process.wait(20) == 130
        assert process.stderr.read().splitlines()[-1] == b"saved; go on with: charrnn train --resume run"


def test_a_run_at_its_end_says_by_which_limit_and_keeps_its_settings(trained: Path) -> None:
    before = (trained / "runs" / "text" / "config.yaml").read_bytes()
    done = charrnn("train", "--resume", "runs/text", "--epochs", "1000", cwd=trained)
    assert done.returncode == 0 and b"has reached its end by max_steps; raise it" in done.stderr
    assert (trained / "runs" / "text" / "config.yaml").read_bytes() == before


def test_output_that_cannot_show_a_sign_shows_another(trained: Path) -> None:
    command = [sys.executable, "-m", "charrnn", "inspect", "--ckpt", "runs/text", "--lags", "5"]
    done = subprocess.run(command, cwd=trained, env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"") and b"lag 0" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_the_exit_code_stands_when_standard_error_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "charrnn", "train", "missing.txt"]
        assert subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, stderr=full).returncode == 3


def test_a_worker_that_is_killed_ends_the_run_with_its_state_saved_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 20)
    two = ["--hidden", "64", "--batch-size", "32", "--seq-length", "20", "--threads", "2", "--max-steps", "100000"]
    with start("train", "text", "--out", "run", "--eval-every", "20", *two, cwd=tmp_path) as process:
        assert process.stderr
        while not process.stderr.readline().startswith(b"step"):
            pass
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (worker,) = (pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(int(worker), signal.SIGKILL)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait(30) == 5
    assert last.startswith(b"error: a worker process ended early (exit code -9")
    assert last.endswith(b"saved, go on with: charrnn train --resume run")
    assert made(tmp_path / "run") >= 20


def test_bits_stay_when_a_run_is_resumed_with_another_number_of_workers(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode() * 4)
    options = ["--hidden", "64", "--batch-size", "32", "--seq-length", "10", "--shards", "3", "--schedule", "constant"]
    for name, threads in (("one", 1), ("two", 2), ("three", 3)):
        arguments = [*options, "--threads", str(threads), "--out", name, "--max-steps", "6"]
        assert charrnn("train", "text", *arguments, cwd=tmp_path).returncode == 0
    charrnn("train", "text", *options, "--threads", "3", "--out", "parts", "--max-steps", "2", cwd=tmp_path)
    for threads, steps in ((1, 4), (2, 6)):
        more = ["--threads", str(threads), "--max-steps", str(steps)]
        resumed = charrnn("train", "--resume", "parts", *more, cwd=tmp_path)
        assert resumed.returncode == 0 and b"BLAS" not in resumed.stderr
    for name in ("two", "three", "parts"):
        with np.load(tmp_path / name / "last.npz") as ours, np.load(tmp_path / "one" / "last.npz") as theirs:
            for key in set(theirs.files) - {"metadata"}:
                np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")


def test_a_run_is_known_by_its_name_and_one_that_has_learnt_nothing_is_not_the_newest(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.copytree(trained / "runs" / "text", tmp_path / "runs" / "untrained")
    (tmp_path / "runs" / "untrained" / "best.npz").unlink()
    (tmp_path / "runs" / "untrained" / "last.npz").touch()
    by_name = charrnn("sample", "--ckpt", "text", "--length", "9", "--seed", "1", cwd=tmp_path)
    newest = charrnn("sample", "--length", "9", "--seed", "1", cwd=tmp_path)
    assert by_name.returncode == 0 and by_name.stdout == newest.stdout and by_name.stderr == b""
    assert newest.stderr.startswith(b"using runs/text,")


def test_the_own_text_of_a_run_is_scored_in_its_parts_named_or_not(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXTS["latin"].encode())
    options = ["--test-frac", "0.2", "--max-steps", "20", "--out", "run"]
    trained = json.loads(charrnn("train", "text", *options, "--json", *SMALL, cwd=tmp_path).stdout)
    by_itself = charrnn("eval", "--ckpt", "run", "--json", cwd=tmp_path)
    named = charrnn("eval", "text", "--ckpt", "run", "--json", cwd=tmp_path)
    for result in (by_itself, named):
        assert b"its parts are scored apart" in result.stderr
        parts = json.loads(result.stdout)["parts"]
        assert list(parts) == ["training", "validation", "test"]
        for name in ("validation", "test"):
            assert parts[name] == trained[name]
    assert json.loads(named.stdout)["characters"] == 999
    (tmp_path / "other").write_bytes(TEXTS["latin"].encode() + b"the")
    assert json.loads(charrnn("eval", "other", "--ckpt", "run", "--json", cwd=tmp_path).stdout)["parts"] == {}
    (tmp_path / "text").write_bytes(b"the cat\r\n")
    changed = charrnn("eval", "--ckpt", "run", cwd=tmp_path)
    assert changed.returncode == 3 and b"no longer the one it was trained on" in changed.stderr
