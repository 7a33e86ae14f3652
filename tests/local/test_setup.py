"""setup.sh on complete machines, and on machines that lack something."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.emulated import REPOSITORY

PROGRAMS = ("sh", "cat", "cksum", "cmp", "cp", "dirname", "grep", "ln", "mkdir", "rm")


@pytest.fixture
def clone(tmp_path):
    """The files that setup.sh reads, in a folder with a space in its name, with a single package to install."""
    clone = tmp_path / "a clone"
    (clone / "requirements").mkdir(parents=True)
    for name in ("setup.sh", "pyproject.toml", ".python-version", "requirements/lambda.txt", "requirements/uv.txt"):
        shutil.copy(REPOSITORY / name, clone / name)
    everything = (REPOSITORY / "requirements" / "dev.txt").read_text()
    setuptools = re.search(r"^setuptools==(.*\n)((?: +--hash.*\n)+)", everything, re.MULTILINE)
    for name in ("dev.txt", "security.txt"):
        (clone / "requirements" / name).write_text(setuptools.group())
    shutil.copytree(REPOSITORY / "layers" / "pipeline" / "src", clone / "layers" / "pipeline" / "src")
    shutil.copytree(REPOSITORY / "cli", clone / "cli")
    return clone


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with only the programs of every Unix."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in PROGRAMS:
        if found := shutil.which(program):
            (folder / program).symlink_to(found)
    return folder


@pytest.fixture
def recording_uv(bare_path):
    """A PATH whose uv creates empty environments and records how it was called."""
    script(
        bare_path / "uv",
        f"""
        echo "$@" >>"{bare_path}/calls"
        case "$1 $2" in
            "python find") echo "{sys._base_executable}" ;;
            "venv "*)
                for folder; do :; done
                mkdir -p "$folder/bin"
                ln -s "{sys._base_executable}" "$folder/bin/python" ;;
            "pip install") [ ! -e "{bare_path}/fails" ] ;;
        esac""",
    )
    return bare_path


def calls(path: Path) -> list[str]:
    """The recorded calls of uv, except for --version."""
    return [call for call in (path / "calls").read_text().splitlines() if call != "--version"]


def setup(clone: Path, **environment: str) -> subprocess.CompletedProcess:
    tools = f"{REPOSITORY / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", clone / "setup.sh"],
        cwd="/",
        env={**os.environ, "PATH": tools, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def output_of(python: Path, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_fresh_clone_gets_its_environments(clone):
    result = setup(clone)

    assert result.returncode == 0, result.stderr
    package = output_of(clone / ".venv/bin/python", "import imagepipeline; print(imagepipeline.__file__)")
    assert package == str(clone / "layers/pipeline/src/imagepipeline/__init__.py")
    assert output_of(clone / ".venv/bin/python", "import sys; print(sys.version)").startswith("3.13.")
    assert output_of(clone / ".venv-lambda/bin/python", "import boto3, sys; print(sys.version)").startswith("3.13.")
    assert (clone / ".venv" / "bin" / "image-pipeline").exists()
    assert setup(clone).stdout == ""


def test_a_second_run_changes_nothing(clone, recording_uv):
    setup(clone, PATH=str(recording_uv))
    made = calls(recording_uv)

    again = setup(clone, PATH=str(recording_uv))

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert calls(recording_uv) == made


@pytest.mark.parametrize("name", ["requirements/dev.txt", "requirements/lambda.txt", "pyproject.toml"])
def test_a_changed_file_recreates_the_environments(clone, recording_uv, name):
    setup(clone, PATH=str(recording_uv))
    made = calls(recording_uv)

    with (clone / name).open("a") as file:
        file.write("# changed\n")
    setup(clone, PATH=str(recording_uv))

    assert calls(recording_uv) == made * 2


def test_a_moved_clone_recreates_the_environments(clone, recording_uv):
    setup(clone, PATH=str(recording_uv))
    made = calls(recording_uv)

    moved = clone.rename(clone.with_name("moved"))
    setup(moved, PATH=str(recording_uv))

    assert calls(recording_uv) == made * 2


def test_an_interrupted_setup_is_repeated(clone, recording_uv):
    (recording_uv / "fails").touch()
    interrupted = setup(clone, PATH=str(recording_uv))
    (recording_uv / "fails").unlink()

    again = setup(clone, PATH=str(recording_uv))

    assert interrupted.returncode == 1
    assert again.returncode == 0
    assert calls(recording_uv)[-1].startswith("pip install")


def test_missing_uv_and_python_are_named_with_a_remedy(clone, bare_path):
    result = setup(clone, PATH=str(bare_path), PYENV_ROOT="/nowhere")

    assert result.returncode == 1
    assert "neither uv nor python3 (3.9 or newer) is on the PATH" in result.stderr
    assert "sudo apt install python3 python3-venv" in result.stderr


def test_a_python_without_venv_is_named_with_a_remedy(clone, bare_path):
    script(bare_path / "python3", f'[ "$1" = -m ] && exit 1; exec {sys.executable} "$@"')

    result = setup(clone, PATH=str(bare_path), PYENV_ROOT="/nowhere")

    assert result.returncode == 1
    assert "its venv module is missing or incomplete" in result.stderr


def test_a_python3_that_does_not_start_is_skipped(clone, bare_path, tmp_path):
    script(bare_path / "python3", "echo 'pyenv: version 3.13 is not installed' >&2; exit 1")
    second = tmp_path / "second"
    second.mkdir()
    script(second / "python3", f'[ "$1" = -m ] && exit 1; exec {sys.executable} "$@"')

    result = setup(clone, PATH=f"{bare_path}{os.pathsep}{second}", PYENV_ROOT="/nowhere")

    assert f"with {second / 'python3'}" in result.stderr


def test_a_missing_python_313_is_named_with_a_remedy(clone, bare_path):
    script(bare_path / "uv", '[ "$1" = --version ]')

    result = setup(clone, PATH=str(bare_path), PYENV_ROOT="/nowhere")

    assert result.returncode == 1
    assert "cannot find Python 3.13, which the functions run on" in result.stderr
    assert "pyenv install 3.13" in result.stderr


def test_pyenvs_python_is_found_without_its_shims(clone, bare_path, tmp_path):
    script(bare_path / "uv", f'[ "$1" = venv ] && echo "$@" >"{tmp_path}/asked"; [ "$1" = --version ]')
    version = tmp_path / "pyenv" / "versions" / "3.13.9" / "bin"
    version.mkdir(parents=True)
    (version / "python3.13").symlink_to(sys._base_executable)

    setup(clone, PATH=str(bare_path), PYENV_ROOT=str(tmp_path / "pyenv"))

    assert "--python" in (tmp_path / "asked").read_text()


def test_a_missing_network_is_named_with_a_remedy(clone, tmp_path):
    result = setup(clone, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "empty"))

    assert result.returncode == 1
    assert "cannot install the packages of requirements/lambda.txt" in result.stderr
    assert "Offline? Connect once" in result.stderr
    assert setup(clone).returncode == 0
