"""The stack to deploy or destroy, and its region, from the options, the environment and samconfig.toml."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from cli.stack import default_name, samconfig


def options_of_a_target(**settings: Any) -> argparse.ArgumentParser:
    """A parser of the SAM CLI's options that select a stack; `settings` are ArgumentParser's."""
    parser = argparse.ArgumentParser(**{"add_help": False, "allow_abbrev": False, **settings})
    for option, meaning in (
        ("--stack-name", "name of the stack (default: IMAGE_PIPELINE_STACK, then stack_name in samconfig.toml)"),
        ("--region", "Region of the stack (default: as in the AWS CLI, then that in samconfig.toml)"),
        ("--profile", "profile of the AWS configuration"),
        ("--config-env", "section of samconfig.toml (default: default)"),
    ):
        parser.add_argument(option, help=meaning, metavar="NAME")
    return parser


@dataclass(frozen=True, slots=True)
class Target:
    """A stack's name, and the account and region it is in."""

    name: str
    session: boto3.Session
    profile: str | None  # None for the environment's

    @classmethod
    def of(cls, options: Sequence[str], *, after_asking: bool = False) -> "Target":
        """The target of `sam deploy` or `sam delete` with these options; unrelated options are ignored.

        With `after_asking`, the answers that `--guided` saved in samconfig.toml take precedence over the environment.
        Raises SetupError if nothing names a stack, and botocore's errors for profiles that do not exist.
        """
        given, _ = options_of_a_target().parse_known_args(options)
        environment = given.config_env or "default"
        saved = samconfig(Path.cwd(), environment)
        region = given.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        name = given.stack_name
        if after_asking:
            region = saved.get("region") or region
            name = saved.get("stack_name") or name
        profile = given.profile or saved.get("profile")
        session = boto3.Session(profile_name=profile, region_name=region or saved.get("region"))
        return cls(name or default_name(Path.cwd(), environment), session, profile)

    @property
    def options(self) -> list[str]:
        """Options for the SAM CLI, which itself ignores AWS_REGION and IMAGE_PIPELINE_STACK."""
        return [
            *("--stack-name", self.name),
            *(("--region", self.session.region_name) if self.session.region_name else ()),
            *(("--profile", self.profile) if self.profile else ()),
        ]
