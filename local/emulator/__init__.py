"""MiniStack, configured for this project and patched where it differs from AWS.

`python -m local.emulator --port N --state-dir DIR` starts it. Every patch is a function decorated with
`upstream.patch`, in the module of the service it changes. Its docstring states the AWS behaviour that it restores, and
one contract test in tests/local proves that unpatched MiniStack still lacks it. `upstream.add` adds what MiniStack
lacks altogether.
"""
