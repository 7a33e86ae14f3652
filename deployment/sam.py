"""The SAM CLI of this environment."""

import os
import subprocess
import sys
import tempfile


def sam(*arguments: str) -> int:
    """Run `sam` with these arguments, in front of the user. Returns its exit status."""
    # It forgets an empty temporary folder for everything it packages.
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "samcli", *arguments]
        return subprocess.run(command, env=os.environ | {"TMPDIR": temporary}).returncode
