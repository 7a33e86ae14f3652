"""Programs that outlive the command that started them, with real processes."""

import os
import signal
import sys
import time
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


def test_another_command_finds_it_by_its_folder(daemon, tmp_path):
    start(daemon, SLEEPER)

    found = Daemon("sleeper", tmp_path / "run")

    assert found.pid == daemon.pid
    assert is_running(found.pid)


def test_nothing_runs_before_it_is_started(daemon):
    assert daemon.pid is None


def test_it_survives_the_ctrl_c_of_the_command_that_started_it(daemon):
    start(daemon, SLEEPER)

    assert os.getpgid(daemon.pid) != os.getpgrp()


def test_stopping_ends_it(daemon):
    start(daemon, SLEEPER)
    pid = daemon.pid

    daemon.stop()

    assert daemon.pid is None
    assert not is_running(pid)


def test_what_does_not_listen_is_killed(daemon):
    start(daemon, STUBBORN)
    pid = daemon.pid

    daemon.stop(seconds=0.2)

    assert daemon.pid is None
    assert not is_running(pid)


def test_a_killed_one_is_not_running_and_its_pid_is_nobodys(daemon):
    start(daemon, SLEEPER)

    os.kill(daemon.pid, signal.SIGKILL)

    deadline = time.monotonic() + 30
    while daemon.pid is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert daemon.pid is None
    start(daemon, SLEEPER)
    assert is_running(daemon.pid)


def test_one_that_fails_to_start_says_why(daemon):
    daemon.start([sys.executable, "-c", "raise SystemExit('no licence for Tuesdays')"], dict(os.environ), Path.cwd())

    with pytest.raises(DaemonFailed, match=r"(?s)ended while starting.*no licence for Tuesdays"):
        daemon.wait_until(lambda: False, seconds=30)


def test_one_that_never_gets_ready_is_not_waited_for_for_ever(daemon):
    start(daemon, SLEEPER)

    with pytest.raises(DaemonFailed, match=r"not ready after 0\.1 s"):
        daemon.wait_until(lambda: False, seconds=0.1)
