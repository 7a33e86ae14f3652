"""The deployed stack and the settings that the tests of the command use."""

from tests.cli.conftest import aws_settings, folder, machines, stack

__all__ = ["aws_settings", "folder", "machines", "stack"]
