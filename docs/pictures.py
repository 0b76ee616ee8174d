"""The pictures of the README, made by the program from a trained run: `make pictures RUN=runs/tinyshakespeare`.

The page and the report are photographed in Chromium, the terminal is drawn as SVG from what the command writes there.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 84
# The fonts of rich's own picture come from a network; these stand on most machines.
FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="$ TITLE">
<style>{styles} .{unique_id}-matrix {{ font: {char_height}px FONT; font-variant-ligatures: none }}</style>
<defs>{lines}</defs>
<rect width="{width}" height="{height}" rx="8" fill="#121212"/>
<text x="12" y="28" style="font: 15px FONT" fill="#9a9a9a">$ TITLE</text>
<g transform="translate({terminal_x}, {terminal_y})">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
""".replace("FONT", FONT)


def charrnn(*arguments: object) -> list[str]:
    """The call of a command."""
    return [sys.executable, "-m", "charrnn", *map(str, arguments)]


def on_a_terminal(call: list[str]) -> str:
    """What a command writes to standard output, if that is a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": ""}
    with subprocess.Popen(call, stdout=slave, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(slave)
        written = b""
        try:
            while part := os.read(master, 1 << 16):
                written += part
        except OSError:  # a terminal whose other end is closed
            pass
    os.close(master)
    assert process.returncode == 0, call
    return written.decode().replace("\r\n", "\n")


def terminal(run: str) -> None:
    """sample.svg: a sample coloured by its probabilities."""
    options = ["--prompt", "JULIET:", "--length", "320", "--temperature", "0.7", "--seed", "4", "--show-probs"]
    written = on_a_terminal(charrnn("sample", run, *options))
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(written))
        code = SVG.replace("TITLE", " ".join(["charrnn sample", *options]))
        console.save_svg(str(PICTURES / "sample.svg"), code_format=code, theme=SVG_EXPORT_THEME, unique_id="t")


def pages(run: str) -> None:
    """page.png and report.png: what a browser shows of `charrnn export` and `charrnn report`."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import tab

    with tempfile.TemporaryDirectory() as scratch, tab() as browser:
        page, report = Path(scratch, "page.html"), Path(scratch, "report.html")
        subprocess.run(charrnn("export", run, page), check=True)
        subprocess.run(charrnn("report", run, "--out", report), check=True)
        browser.size(900, 860, prefers_color_scheme="light")
        browser.open(page)
        browser.run("$('prompt').value = 'JULIET:\\n'; $('again').click(); $('go').click()")
        browser.wait("entries.length > 300")
        browser.run("$('go').click(); spans[40].click(); $('write-title').scrollIntoView()")
        browser.picture(PICTURES / "page.png")
        browser.size(900, 900, prefers_color_scheme="light")
        browser.open(report)
        browser.run("document.querySelector('#loss').scrollIntoView()")
        browser.picture(PICTURES / "report.png")


if __name__ == "__main__":
    terminal(sys.argv[1])
    pages(sys.argv[1])
