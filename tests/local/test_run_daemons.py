"""Background processes that outlive the command that started them."""

import os
import sys
from pathlib import Path

import pytest

from local.daemons import Daemon, DaemonFailed

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)",
]


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon("sleeper", tmp_path / "run")
    yield daemon
    daemon.stop(seconds=0)


def start(daemon, command):
    daemon.start(command, dict(os.environ), Path.cwd())
    daemon.wait_until(lambda: "up" in daemon.log.read_text(), seconds=30)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_daemon_has_its_own_process_group(daemon):
    start(daemon, SLEEPER)

    assert os.getpgid(daemon.pid) != os.getpgrp()


def test_a_daemon_that_ignores_sigterm_is_killed(daemon):
    start(daemon, STUBBORN)
    pid = daemon.pid

    daemon.stop(seconds=0.2)

    assert daemon.pid is None
    assert not is_running(pid)


def test_a_daemon_that_exits_while_starting_is_reported(daemon):
    daemon.start([sys.executable, "-c", "raise SystemExit('port in use')"], dict(os.environ), Path.cwd())

    with pytest.raises(DaemonFailed, match=r"(?s)exited while it was starting.*port in use"):
        daemon.wait_until(lambda: False, seconds=30)


def test_a_daemon_that_is_never_ready_is_reported(daemon):
    start(daemon, SLEEPER)

    with pytest.raises(DaemonFailed, match=r"not ready after 0\.1 s"):
        daemon.wait_until(lambda: False, seconds=0.1)
