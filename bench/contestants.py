"""Who runs: this project, the naive way, and the rivals, each in a process of its own with one thread."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HERE = Path(__file__).parent
ROOT = HERE.parent

# As in the template: what MALLOC_* and PILLOW_* save is part of the product.
FUNCTION_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "PILLOW_BLOCKS_MAX": "16",
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to make the three default renditions."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


OURS = Contestant(
    "ours", (sys.executable, "-m", "bench.worker", "bench.contestant", "render_default"), FUNCTION_ENVIRONMENT
)
NAIVE = Contestant("naive", (sys.executable, "-m", "bench.worker", "bench.naive", "render_default"), {})


def sharp(folder: Path) -> list[Contestant]:
    """sharp, per size and as a cascade, installed below `folder`. Raises LookupError saying what is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise LookupError("sharp needs node and npm on the PATH: https://nodejs.org")
    wanted = HERE / "rivals" / "package.json"
    installed = folder / "sharp" / "package.json"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        installed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wanted, installed)
        if not _succeeds([npm, "install", "--no-package-lock", "--no-audit", "--no-fund"], installed.parent):
            installed.unlink()
            raise LookupError("npm install of sharp failed")
    script = str(HERE / "rivals" / "sharp.mjs")
    return [
        Contestant(f"sharp {way}", (node, script, str(installed.parent), way), {}) for way in ("per_size", "cascade")
    ]


def vips(folder: Path) -> list[Contestant]:
    """libvips, per size and as a cascade, installed below `folder`. Raises LookupError saying what is missing."""
    environment = folder / "pyvips"
    python = environment / "bin" / "python"
    wanted = ROOT / "requirements" / "bench.txt"
    stamp = environment / "made-from"
    if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
        install = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(wanted)]
        if not (
            _succeeds([sys.executable, "-m", "venv", "--clear", str(environment)], ROOT) and _succeeds(install, ROOT)
        ):
            raise LookupError("pip install of pyvips failed")
        shutil.copy(wanted, stamp)
    worker = (str(python), str(HERE / "worker.py"), "vips")
    return [
        Contestant(f"vips {way}", (*worker, way), {"VIPS_CONCURRENCY": "1", "PYTHONPATH": str(HERE / "rivals")})
        for way in ("per_size", "cascade")
    ]


class Worker:
    """A contestant's running process. A context manager: leaving it ends the process."""

    def __init__(self, contestant: Contestant) -> None:
        self._process = subprocess.Popen(
            contestant.command,
            cwd=ROOT,
            env={**os.environ, **contestant.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, picture: Path, into: Path | None = None) -> dict:
        """The answer of bench/worker.py to one run over `picture`; the renditions go `into` a folder, if given."""
        print(
            json.dumps({"path": str(picture), "into": str(into) if into else None}),
            file=self._process.stdin,
            flush=True,
        )
        return json.loads(self._process.stdout.readline())

    def peak(self) -> float:
        """The most memory the process has held so far, MiB. Its `ru_maxrss` would count its parent's, too."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def _succeeds(command: list[str], folder: Path) -> bool:
    return subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False).returncode == 0
