"""The logic of the image pipeline. Decisions are pure functions; a few modules at the edge read and write.

tests/unit/test_architecture.py lists the modules at the edge, and those that import the standard library only, which
the command uses as well. `aws` is the only module that creates botocore clients.
"""
