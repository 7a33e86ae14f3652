"""Runs one contestant: a request a line on standard input, an answer a line on standard output.

A request is JSON `{"path": …, "into": folder or null}`. The answer has the CPU milliseconds of one run over all
threads and child processes (`ms`) or an `error`. Standard library only: it also runs in the rivals' environments.
"""

import importlib
import json
import resource
import sys
from pathlib import Path


def main() -> None:
    """`worker.py MODULE FUNCTION`: the function takes a file's bytes and returns renditions by name."""
    render = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        request = json.loads(line)
        data = Path(request["path"]).read_bytes()
        try:
            start = _cpu_ms()
            files = render(data)
            answer = {"ms": _cpu_ms() - start}
        except Exception as error:  # noqa: BLE001 (a format that a rival cannot read is a result)
            answer = {"error": str(error).strip().splitlines()[0][:80]}
        else:
            for name, content in files.items() if request["into"] else ():
                (Path(request["into"]) / f"{name}.jpg").write_bytes(content)
        print(json.dumps(answer), flush=True)


def _cpu_ms() -> float:
    """What this process and its children that ended have used so far."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return 1000 * sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
