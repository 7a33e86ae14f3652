"""MiniStack, started the way this project needs it, and changed where it differs from AWS.

`python -m local.emulator --port N --state-dir DIR` starts it. Every change is a function under `upstream.patch`, in the
module of the service it concerns, and its docstring names the AWS behaviour it restores.
"""
