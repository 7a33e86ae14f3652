"""Execution environments of functions: processes on an interpreter of their own, with AWS's variables and layers."""

import contextlib
import hashlib
import json
import math
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

from ministack.core import lambda_runtime
from ministack.core.responses import new_uuid
from ministack.services import lambda_svc

from local.emulator import runtime
from local.emulator.upstream import patch

PYTHON = Path(__file__).parents[2] / ".venv-lambda" / "bin" / "python"  # with only boto3 installed
RUNTIME_SCRIPT = Path(runtime.__file__)
PACKAGES = Path(os.environ["TMPDIR"], "packages")  # where code and layers are unpacked, each archive once
INIT_SECONDS = 10  # for loading a function, in addition to its own timeout
LOG_SECONDS = 1  # to wait for output, in case the handler has closed it
DEFAULT_TIMEOUT_SECONDS = 3
DEFAULT_MEMORY_MB = 128

# At most one handler runs per core. A burst then queues instead of starting hundreds of processes, which AWS would run
# on hundreds of machines.
_cores = threading.BoundedSemaphore(os.cpu_count() or 1)
# After this wait the invocation is throttled. A task's TimeoutSeconds includes the wait, so it must stay short.
QUEUE_SECONDS = 10
_unpacking = threading.Lock()


class ExecutionEnvironment(lambda_runtime.Worker):
    """One process of one function. It is reused for further invocations, even after the handler raised an exception."""

    def invoke(self, event: object, request_id: str, *, trace_id: str | None = None, **_: object) -> dict:
        """The result of one invocation, as MiniStack expects it: `body`, `log`, and `error` if the body is an error."""
        with self._lock:
            if self._proc is None or self._proc.poll() is not None:
                self._spawn()
            timeout = float(self.config.get("Timeout", DEFAULT_TIMEOUT_SECONDS))
            init = None
            try:
                if not self._loaded:
                    init = self._answer(INIT_SECONDS + timeout) | {"ms": (time.monotonic() - self._spawned) * 1000}
                    self._loaded = True
                self._send(event, request_id, time.time() + timeout, trace_id)
                answer = self._answer(timeout)
            except queue.Empty:
                return self._ended("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds", request_id)
            except (EOFError, BrokenPipeError):
                return self._ended("Runtime.ExitError", f"Runtime exited with error: {self._exit()}", request_id)
            log, measured = self._collect_log()
            if answer.get("exits"):
                self._end()
        result = {"body": answer["error"], "error": True} if "error" in answer else {"body": answer["result"]}
        if measured is None:
            return result | {"log": log}
        # MiniStack adds the lines of the platform unless the log has them, as that of AWS's own runtime emulator has.
        return result | {"log": f"{log}\n{self._report(request_id, measured, init)}", "log_source": "rie"}

    def _report(self, request_id: str, measured: dict, init: dict | None) -> str:
        """The platform's last lines of an invocation, as on AWS, and the processor time, which AWS does not state."""
        memory = self.config.get("MemorySize", DEFAULT_MEMORY_MB)
        billed = measured["ms"] + (init["ms"] if init else 0)
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {measured['ms']:.2f} ms",
            f"Billed Duration: {math.ceil(billed)} ms",
            f"Memory Size: {memory} MB",
            f"Max Memory Used: {math.ceil(measured['peak_mb'])} MB",
            *([f"Init Duration: {init['ms']:.2f} ms"] if init else []),
            f"Processor Time: {measured['processor_ms']:.2f} ms",
            *([f"Init Processor Time: {init['processor_ms']:.2f} ms"] if init else []),
        ]
        return f"END RequestId: {request_id}\n" + "\t".join(fields)

    def _send(self, event: object, request_id: str, deadline: float, trace_id: str | None) -> None:
        invocation = {
            "event": event,
            "request_id": request_id,
            "function_arn": self.config["FunctionArn"],
            "deadline": deadline,  # seconds since the epoch
            "trace_id": trace_id,
        }
        self._proc.stdin.write(json.dumps(invocation) + "\n")

    def _answer(self, seconds: float) -> dict:
        """The runtime's next line. Raises queue.Empty after `seconds`, and EOFError if the process has ended."""
        line = self._answers.get(timeout=seconds)
        if line is None:
            raise EOFError
        return json.loads(line)

    def _spawn(self) -> None:
        """Start the process. It loads the function."""
        code = unpacked(self.code_zip)
        layers = unpacked(*(lambda_svc._resolve_layer_zip(layer) for layer in self._layers()))
        self._discard_tmpdir()
        self._tmpdir = tempfile.mkdtemp(prefix="environment-")
        self._spawned = time.monotonic()
        self._proc = subprocess.Popen(
            [PYTHON, "-P", RUNTIME_SCRIPT, *python_path(code, layers, self.config["Runtime"])],
            cwd=code,
            env=self._variables(code),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            start_new_session=True,  # the launcher handles Ctrl-C
        )
        self._answers = _lines_of(self._proc.stdout)
        self._log = _lines_of(self._proc.stderr)
        self._loaded = False

    def _layers(self) -> list[str]:
        return [layer if isinstance(layer, str) else layer["Arn"] for layer in self.config.get("Layers", [])]

    def _variables(self, code: Path) -> dict[str, str]:
        """The environment variables that AWS documents: defaults, then the function's own, then reserved ones."""
        name, region = self.config["FunctionName"], self.config["FunctionArn"].split(":")[3]
        logging_config = self.config.get("LoggingConfig", {})
        defaults = {
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": self._tmpdir,  # hides the developer's ~/.aws
            "TMPDIR": self._tmpdir,  # every environment has its own /tmp
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        }
        reserved = {
            "_HANDLER": self.config["Handler"],
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self.config['Runtime']}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.config.get("MemorySize", DEFAULT_MEMORY_MB)),
            "AWS_LAMBDA_FUNCTION_VERSION": self.config.get("Version", "$LATEST"),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": logging_config.get("LogFormat", "Text"),
            "AWS_LAMBDA_LOG_GROUP_NAME": logging_config.get("LogGroup", f"/aws/lambda/{name}"),
            "AWS_LAMBDA_LOG_STREAM_NAME": new_uuid(),
            "LAMBDA_TASK_ROOT": str(code),
            "LAMBDA_RUNTIME_DIR": str(RUNTIME_SCRIPT.parent),
            **lambda_runtime.execution_credentials(self.config),
        }
        return defaults | self.config.get("Environment", {}).get("Variables", {}) | reserved

    def _ended(self, name: str, message: str, request_id: str) -> dict:
        """The result of an invocation that ended the environment."""
        self._end()
        log = "\n".join([self._collect_log()[0], f"{request_id} {message}"])
        return {
            "body": {"errorType": name, "errorMessage": f"RequestId: {request_id} Error: {message}"},
            "error": True,
            "log": log.lstrip(),
        }

    def _end(self) -> int:
        """Kill the whole session, because a child of the handler could keep the pipes open. Returns the exit status."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._proc.pid, signal.SIGKILL)
        return self._proc.wait()

    def _exit(self) -> str:
        status = self._proc.wait()
        return f"exit status {status}" if status >= 0 else f"signal: {signal.Signals(-status).name}"

    def _collect_log(self) -> tuple[str, dict | None]:
        """The output since the last invocation, and what the runtime measured; None from a process that has died."""
        lines, measured = [], None
        with contextlib.suppress(queue.Empty):
            while (line := self._log.get(timeout=LOG_SECONDS)) is not None:
                text, mark, rest = line.partition(runtime.END_OF_LOG)
                if text or not mark:
                    lines.append(text)
                if mark:
                    measured = json.loads(rest)
                    break
        return "\n".join(lines), measured


def _lines_of(stream: IO[str]) -> queue.SimpleQueue:
    """A queue of the stream's lines, then None. A thread fills it, so that readers can wait with a deadline."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        with stream:
            for line in stream:
                lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def unpacked(*archives: bytes) -> Path:
    """A folder with the archives' contents, where later archives overwrite earlier ones, as layers do in /opt."""
    digest = hashlib.sha256()
    for archive in archives:
        digest.update(hashlib.sha256(archive).digest())
    folder = PACKAGES / digest.hexdigest()[:32]
    with _unpacking:
        if not folder.exists():
            half = PACKAGES / "unpacking"
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            for archive in archives:
                zipfile.ZipFile(BytesIO(archive)).extractall(half)
            half.rename(folder)
    return folder


def python_path(code: Path, layers: Path, runtime_name: str) -> list[Path]:
    """Where AWS's runtime looks for modules first: in the function's code, then in its layers."""
    return [code, layers / "python" / "lib" / runtime_name / "site-packages", layers / "python"]


@patch(lambda_runtime, "_worker_class_for(config)")
def choose_environment(_original: Callable, config: dict) -> type:
    """Functions run on their own interpreter, see only AWS's variables, and prefer their own modules to a layer's."""
    return ExecutionEnvironment


@patch(lambda_svc, "_execute_function_warm(func, event, request_id)")
def execute(_original: Callable, func: dict, event: object, request_id: str) -> dict:
    """An exception reaches the caller under its class name, and its environment survives. Bursts queue for a core."""
    config = func["config"]
    lambda_svc._ensure_reaper_thread()
    if not _cores.acquire(timeout=QUEUE_SECONDS):
        return lambda_svc._throttle_response("ConcurrentInvocationLimitExceeded", "Rate Exceeded: every core is busy")
    try:
        environment, _ = lambda_runtime.acquire_worker(
            config["FunctionName"], config, func["code_zip"], qualifier=config.get("Version", "$LATEST")
        )
        try:
            return environment.invoke(event, request_id, trace_id=lambda_svc._xray_trace_id_for_invocation(config))
        finally:
            lambda_runtime.release_worker(environment)
    finally:
        _cores.release()
