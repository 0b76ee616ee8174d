"""Download one file and keep it only if its SHA-256 is the expected one.

Usage: python data/download.py URL SHA256 FILE
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

TIMEOUT_SECONDS = 30


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit("usage: python data/download.py URL SHA256 FILE")
    url, expected, target = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content = response.read()
    except (OSError, HTTPException) as error:  # URLError, time-outs and TLS errors are OSErrors
        reason = getattr(error, "reason", error)
        sys.exit(
            f"error: cannot download {url}: {reason}; check the network, or fetch it elsewhere and save it as {target}"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        sys.exit(
            f"error: {url} has the SHA-256 {found}, not {expected}; {target} was not written: "
            "the file was changed or damaged on its way, try again"
        )
    unfinished = target.with_name(target.name + ".part")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        sys.exit(f"error: cannot write {target}: {error.strerror}")
    print(f"{target}: {len(content):,} bytes, checksum as expected")


if __name__ == "__main__":
    main()
