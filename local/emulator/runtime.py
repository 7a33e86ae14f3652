"""The Lambda runtime: loads a handler and passes it events. Runs as a script in the functions' interpreter.

Usage: python -P runtime.py PATH…, with the module search path in AWS's order (/var/task, then /opt) and AWS's
variables. Events arrive on stdin and answers leave on the original stdout, one JSON object per line. Everything that is
printed or logged goes to stderr, with `END_OF_LOG` and what was measured after each invocation. This file imports only
the standard library, because the handler can import whatever it imports.
"""

import contextlib
import importlib
import json
import logging
import os
import re
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from queue import SimpleQueue

END_OF_LOG = "\0end of log"
MEMORY_CHECK_SECONDS = 0.02
CPUCLOCK_SCHED = 2  # with the process id, the clock of clock_getcpuclockid(3)

_children: set[int] = set()


class LambdaContext:
    """The context object of Lambda's Python runtime."""

    def __init__(self, invocation: dict) -> None:
        self.aws_request_id = invocation["request_id"]
        self.invoked_function_arn = invocation["function_arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = invocation["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation times out."""
        return max(0, int((self._deadline - time.time()) * 1000))


class RuntimeFault(Exception):
    """A failure with a name given by Lambda, rather than by an exception's class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def load_handler(handler: str) -> Callable:
    """The function named `module.name` or `package/module.name`."""
    path, _, name = handler.rpartition(".")
    module = path.replace("/", ".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise RuntimeFault("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from error
    except SyntaxError as error:
        raise RuntimeFault("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}") from error
    except AttributeError as error:
        raise RuntimeFault("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'") from error


def invoke(handler: Callable, invocation: dict) -> str:
    """The answer as JSON: {"result": …}, or {"error": …} with Lambda's error payload."""
    if invocation["trace_id"]:
        os.environ["_X_AMZN_TRACE_ID"] = invocation["trace_id"]
    try:
        result = marshal(handler(invocation["event"], LambdaContext(invocation)))
    except Exception as error:  # noqa: BLE001 (every exception is an answer)
        return json.dumps({"error": describe(error, invocation["request_id"])})
    return f'{{"result": {result}}}'


def marshal(result: object) -> str:
    """The handler's result as JSON."""
    try:
        return json.dumps(result)
    except (TypeError, ValueError) as error:
        raise RuntimeFault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def describe(error: BaseException, request_id: str) -> dict:
    """Log the error and return Lambda's error payload. Retry and Catch match its `errorType`."""
    name = error.name if isinstance(error, RuntimeFault) else type(error).__name__
    # The first frame is this file's.
    frames = [] if isinstance(error, RuntimeFault) else traceback.format_tb(error.__traceback__)[1:]
    print(f"[ERROR] {name}: {error}", *(frame.rstrip() for frame in frames), sep="\n")
    return {"errorMessage": str(error), "errorType": name, "requestId": request_id, "stackTrace": frames}


def exit_with_the_launcher(lines: SimpleQueue) -> None:
    """Forward the lines of stdin, and end the process when stdin closes, even while a handler runs.

    A launcher that was killed cannot end its environments, but its pipes close.
    """
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def enforce_the_memory_size() -> None:
    """Kill the process once its resident memory exceeds the function's memory size. Works only on Linux."""
    limit = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]) * 2**20
    page = os.sysconf("SC_PAGE_SIZE")
    with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123 (read repeatedly)
        while True:
            resident_pages = int(os.pread(statm.fileno(), 100, 0).split()[1])
            if resident_pages * page > limit:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(MEMORY_CHECK_SECONDS)


def processor_ms() -> float:
    """Milliseconds of processor time that this process and its children have used, those included that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = 0.0
    for child in _children:
        with contextlib.suppress(OSError):  # for one that has ended
            running += time.clock_gettime(~child << 3 | CPUCLOCK_SCHED)
    return (time.process_time() + ended.ru_utime + ended.ru_stime + running) * 1000


def peak_mb() -> float:
    """The most memory that this process has had resident, plus that of its children. What they share counts twice."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak = 0
    for process in ("self", *_children):
        with contextlib.suppress(OSError), open(f"/proc/{process}/status") as status:  # noqa: PTH123 (read repeatedly)
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
            peak += int(found[1]) if found else 0
    return peak / 1024


def watch_forks() -> None:
    """Remember the processes that the handler forks, because not every kernel lists a process's children."""
    fork = os.fork

    def remember() -> int:
        if child := fork():
            _children.add(child)
        return child

    os.fork = remember


def main() -> None:
    """Load the handler, then answer events until stdin ends. A handler that cannot be loaded fails the first event."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of native code belongs to the log, too
    sys.stdout.reconfigure(line_buffering=True)  # keeps the last lines of a process that is killed
    sys.path[:0] = sys.argv[1:]
    sys.argv[1:] = []
    logging.basicConfig(format="[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=exit_with_the_launcher, args=(lines,), daemon=True).start()
    if sys.platform == "linux":
        threading.Thread(target=enforce_the_memory_size, daemon=True).start()

    watch_forks()
    failure = None
    try:
        handler = load_handler(os.environ["_HANDLER"])
    except Exception as error:  # noqa: BLE001 (reported as the answer)
        failure = describe(error, "")
    answers.write(json.dumps({"ready": True, "processor_ms": processor_ms()}) + "\n")
    while True:
        invocation = json.loads(lines.get())
        started, used = time.perf_counter(), processor_ms()
        answer = json.dumps({"error": failure, "exits": True}) if failure else invoke(handler, invocation)
        measured = {
            "ms": (time.perf_counter() - started) * 1000,
            "processor_ms": processor_ms() - used,
            "peak_mb": peak_mb(),
        }
        print(END_OF_LOG, json.dumps(measured), sep="", flush=True)
        sys.stderr.flush()
        answers.write(answer + "\n")


if __name__ == "__main__":
    main()
