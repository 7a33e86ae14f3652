"""Background processes that outlive the command that started them."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


class DaemonFailed(Exception):
    """A process exited or did not become ready in time. The message contains the end of its log."""


class Daemon:
    """One detached process, its pid file and its log.

    The process inherits a lock on its pid file and holds it until it ends, whatever ends it. The lock proves that the
    process id has not been reused.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._child: subprocess.Popen | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None if the process is not running."""
        if not self._pid_file.exists():
            return None
        with self._pid_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
        return None

    def start(self, command: list[str | Path], environment: dict[str, str], cwd: Path) -> None:
        """Start the process in its own session. Its output is appended to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._pid_file.open("a+") as pid_file, self.log.open("ab") as log:
            fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=cwd,
                start_new_session=True,
                pass_fds=[pid_file.fileno()],
            )
            pid_file.truncate(0)
            pid_file.write(str(self._child.pid))

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return once `ready()` is true. Raises DaemonFailed if the process exits first or takes longer."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid is None:
                raise DaemonFailed(
                    f"{self.name} exited while it was starting. The end of its log:\n{self._end_of_log()}"
                )
            if time.monotonic() > deadline:
                raise DaemonFailed(
                    f"{self.name} is not ready after {seconds:g} s. The end of its log:\n{self._end_of_log()}"
                )
            time.sleep(0.05)

    def stop(self, seconds: float = 30) -> None:
        """Terminate the process. Kill its process group if it is running after `seconds`: a busy machine is slow."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while self.pid is not None and time.monotonic() < deadline:
                time.sleep(0.05)
            if self.pid is not None:
                os.killpg(pid, signal.SIGKILL)
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
