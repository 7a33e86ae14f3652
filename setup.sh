#!/bin/sh
# Creates the virtual environments that every make target runs in. Takes milliseconds if they are up to date.
#
#   .venv           Python 3.13 with requirements/dev.txt and an editable installation of this repository
#   .venv-lambda    Python 3.13 with requirements/lambda.txt: the packages of AWS's Python runtime, for local functions
#   .venv-security  Python 3.13 with requirements/security.txt: checkov and pip-audit, which need other versions
#   .tools          uv, if the machine does not have it
set -eu
cd "$(dirname "$0")"

stop() { # stop WHAT WHY REMEDY...
    printf '\nsetup: %s\n       because %s\n' "$1" "$2" >&2
    shift 2
    printf '       → %s\n' "$@" >&2
    exit 1
}

runs_as() { # runs_as PYTHON CONDITION: whether this interpreter starts (pyenv's shims may not) and satisfies CONDITION
    "$1" -c "import sys; sys.exit(not ($2))" >/dev/null 2>&1
}

# The stamp identifies what the environments were created from. It includes the folder, because environments cannot be
# moved.
wanted=$(printf '%s ' "$PWD" && cat setup.sh pyproject.toml .python-version requirements/dev.txt requirements/lambda.txt requirements/security.txt | cksum)
stamp=.venv/created-from
if [ -x .venv/bin/python ] && [ -x .venv-lambda/bin/python ] && [ -x .venv-security/bin/python ] &&
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

# ------------------------------------------------------------------------------------------------------------------ uv

any_python() {
    # Try every one on the PATH, because the first may be a shim of pyenv for a Python that is not installed.
    IFS=:
    for folder in $PATH "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin; do
        for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
            if runs_as "$folder/$name" "sys.version_info >= (3, 9)"; then
                printf '%s' "$folder/$name"
                return
            fi
        done
    done
    stop "cannot install uv" "neither uv nor python3 (3.9 or newer) is on the PATH" \
        "Debian, Ubuntu: sudo apt install python3 python3-venv" \
        "macOS: brew install uv" \
        "Other systems: https://docs.astral.sh/uv/getting-started/installation/"
}

install_uv() {
    [ -x .tools/bin/uv ] && cmp -s requirements/uv.txt .tools/created-from && return
    python=$(any_python)
    echo "setup: installing uv into .tools"
    rm -rf .tools
    "$python" -m venv .tools >/dev/null 2>&1 ||
        stop "cannot create a virtual environment with $python" "its venv module is missing or incomplete" \
            "Debian, Ubuntu: sudo apt install python3-venv" \
            "Or install uv: https://docs.astral.sh/uv/getting-started/installation/"
    .tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt ||
        stop "cannot install uv" "pip failed; its message is above" \
            "Offline? Connect once; everything is cached afterwards." \
            "Behind a proxy or mirror? Set HTTPS_PROXY, or index-url in pip's configuration."
    cp requirements/uv.txt .tools/created-from
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
            "$candidate" -c "import sys; print(sys._base_executable)" # not an active .venv's, which will be replaced
            return
        fi
    done
    return 1
}

if ! python=$(find_python); then
    echo "setup: installing Python 3.13 with uv"
    "$uv" python install --quiet 3.13 && python=$(find_python) ||
        stop "cannot find Python 3.13, which the functions run on" "it is not installed and uv cannot download it" \
            "Install it in one of these ways, then run make again:" \
            "pyenv install 3.13" \
            "sudo apt install python3.13 python3.13-venv" \
            "brew install python@3.13" \
            "https://www.python.org/downloads/"
fi

# -------------------------------------------------------------------------------------------------------- environments

packages_failed() {
    stop "cannot install the packages of $1" "uv failed; its message is above" \
        "Offline? Connect once; everything is cached afterwards." \
        "Behind a proxy or mirror? Set HTTPS_PROXY, or UV_DEFAULT_INDEX and UV_SYSTEM_CERTS=1." \
        "A hash does not match? Your mirror serves other files than the lock file expects. Report it; keep the check."
}

create_environment() { # create_environment FOLDER REQUIREMENTS [OPTION...]
    folder=$1 requirements=$2
    echo "setup: installing $(grep -c '^[a-z0-9].*==' "$requirements") packages into $folder"
    rm -rf "$folder"
    "$uv" venv --quiet --no-project --python "$python" "$folder" ||
        stop "cannot create $folder" "uv failed; its message is above" "Check that the folder is writable."
    shift 2
    "$uv" pip sync --quiet --require-hashes --python "$folder/bin/python" "$@" "$requirements" ||
        packages_failed "$requirements"
}

echo "setup: using $("$python" --version) at $python"
create_environment .venv-lambda requirements/lambda.txt --compile-bytecode # as in Lambda
create_environment .venv-security requirements/security.txt
create_environment .venv requirements/dev.txt
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
    stop "cannot install this repository into .venv" "uv failed; its message is above" "Check pyproject.toml."
printf '%s\n' "$wanted" >"$stamp"
