"""The SAM CLI of this environment."""

import os
import subprocess
import sys
import tempfile


def sam(*arguments: str) -> int:
    """Run `sam` with these arguments on the user's terminal. Returns its exit status."""
    # It leaves an empty temporary folder behind for everything that it packages.
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "samcli", *arguments]
        return subprocess.run(command, env=os.environ | {"TMPDIR": temporary}).returncode
