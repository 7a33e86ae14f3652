"""The `image-pipeline` command: uploads to any deployed stack, on AWS or the local run, and follows what becomes of it.

Knows only AWS's APIs and the stack's outputs; imports nothing of the pipeline itself.
"""
