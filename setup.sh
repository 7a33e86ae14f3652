#!/bin/sh
# Makes the environments every make target runs in; takes milliseconds when nothing changed.
#
#   .venv         Python 3.13 with requirements/dev.txt and this repository, editable
#   .venv-lambda  Python 3.13 with requirements/lambda.txt: what AWS's own runtime holds, for functions run locally
#   .tools        uv, when the machine has none
set -eu
cd "$(dirname "$0")"

stop() { # stop WHAT WHY REMEDY...
    printf '\nsetup: %s\n       because %s\n' "$1" "$2" >&2
    shift 2
    printf '       → %s\n' "$@" >&2
    exit 1
}

runs_as() { # runs_as PYTHON CONDITION: whether this interpreter starts at all (pyenv's shims may not) and satisfies it
    "$1" -c "import sys; sys.exit(not ($2))" >/dev/null 2>&1
}

# A stamp is what an environment was made from. It names the folder too, because environments don't survive a move.
wanted=$(printf '%s ' "$PWD" && cat setup.sh pyproject.toml .python-version requirements/dev.txt requirements/lambda.txt | cksum)
stamp=.venv/made-from
if [ -x .venv/bin/python ] && [ -x .venv-lambda/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

# ------------------------------------------------------------------------------------------------------------------ uv

any_python() {
    # Every one on the PATH, not the first alone: pyenv's shims fail where pyenv has no Python 3.13.
    IFS=:
    for folder in $PATH "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin; do
        for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
            if runs_as "$folder/$name" "sys.version_info >= (3, 9)"; then
                printf '%s' "$folder/$name"
                return
            fi
        done
    done
    stop "can't install uv" "there is no uv and no python3 (3.9 or newer) on the PATH" \
        "Debian, Ubuntu: sudo apt install python3 python3-venv" \
        "macOS: brew install uv" \
        "anything else: https://docs.astral.sh/uv/getting-started/installation/"
}

install_uv() {
    [ -x .tools/bin/uv ] && cmp -s requirements/uv.txt .tools/made-from && return
    python=$(any_python)
    echo "setup: uv into .tools"
    rm -rf .tools
    "$python" -m venv .tools >/dev/null 2>&1 ||
        stop "can't make a virtual environment with $python" "its venv module is missing or incomplete" \
            "Debian, Ubuntu: sudo apt install python3-venv" \
            "or install uv itself: https://docs.astral.sh/uv/getting-started/installation/"
    .tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt ||
        stop "can't install uv" "pip failed; its message is above" \
            "offline? connect once: everything is cached afterwards" \
            "behind a proxy or mirror? set HTTPS_PROXY, or index-url in pip's configuration"
    cp requirements/uv.txt .tools/made-from
}

if uv=$(command -v uv) && "$uv" --version >/dev/null 2>&1; then
    :
else
    install_uv
    uv=$PWD/.tools/bin/uv
fi

# --------------------------------------------------------------------------------------------------------- Python 3.13

is_313="sys.version_info[:2] == (3, 13)"

uv_finds_python() {
    "$uv" python find --quiet --no-project --system --no-python-downloads 3.13 2>/dev/null
}

find_python() {
    for candidate in "$(uv_finds_python)" python3.13 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.13*/bin/python3.13; do
        if [ -n "$candidate" ] && runs_as "$candidate" "$is_313"; then
            "$candidate" -c "import sys; print(sys._base_executable)" # not an active .venv's, about to be made anew
            return
        fi
    done
    return 1
}

if ! python=$(find_python); then
    echo "setup: Python 3.13, by uv"
    "$uv" python install --quiet 3.13 && python=$(find_python) ||
        stop "can't find Python 3.13, which the functions run on" "it is not installed and uv can't download it" \
            "pyenv install 3.13, or" \
            "sudo apt install python3.13 python3.13-venv, or brew install python@3.13, or" \
            "https://www.python.org/downloads/; then run make again"
fi

# -------------------------------------------------------------------------------------------------------- environments

packages_failed() {
    stop "can't install the packages of $1" "uv failed; its message is above" \
        "offline? connect once: everything is cached afterwards" \
        "behind a proxy or mirror? set HTTPS_PROXY, or UV_DEFAULT_INDEX and UV_SYSTEM_CERTS=1 as your network needs" \
        "a hash differs? the mirror serves other files than the lock knows: report it, don't skip the check"
}

make_environment() { # make_environment FOLDER REQUIREMENTS [OPTION...]
    folder=$1 requirements=$2
    echo "setup: $(grep -c '^[a-z0-9].*==' "$requirements") packages into $folder"
    rm -rf "$folder"
    "$uv" venv --quiet --no-project --python "$python" "$folder" ||
        stop "can't make $folder" "uv failed; its message is above" "check that the folder can be written to"
    shift 2
    "$uv" pip sync --quiet --require-hashes --python "$folder/bin/python" "$@" "$requirements" ||
        packages_failed "$requirements"
}

echo "setup: $("$python" --version) at $python"
make_environment .venv-lambda requirements/lambda.txt --compile-bytecode # as in Lambda
make_environment .venv requirements/dev.txt
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
    stop "can't install this repository into .venv" "uv failed; its message is above" "check pyproject.toml"
printf '%s\n' "$wanted" >"$stamp"
