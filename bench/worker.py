"""Runs one contestant: a request a line on standard input, an answer a line on standard output.

A request is JSON `{"path": …, "into": folder or null}`. The answer has the CPU milliseconds of one run over all
threads (`ms`) or an `error`. Standard library only: it also runs in the rivals' environments.
"""

import importlib
import json
import sys
import time
from pathlib import Path


def main() -> None:
    """`worker.py MODULE FUNCTION`: the function takes a file's bytes and returns renditions by name."""
    render = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        request = json.loads(line)
        data = Path(request["path"]).read_bytes()
        try:
            start = time.process_time()
            files = render(data)
            answer = {"ms": (time.process_time() - start) * 1000}
        except Exception as error:  # noqa: BLE001  reported: a format that a rival can't read is a result
            answer = {"error": str(error).strip().splitlines()[0][:80]}
        else:
            for name, content in files.items() if request["into"] else ():
                (Path(request["into"]) / f"{name}.jpg").write_bytes(content)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
