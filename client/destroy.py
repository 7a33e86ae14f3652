"""`make destroy`: empty the stack's buckets, every version, and delete the stack, after asking."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from botocore.client import BaseClient

from client.problems import AWS_ERRORS, SetupError, explain
from client.stack import Stack, default_name, default_session


def main(arguments: list[str]) -> int:
    """Ask, unless the arguments are `--yes`, and destroy. Returns an exit status."""
    try:
        session = default_session()
        stack = Stack.find(session, default_name(Path.cwd()))
        cloudformation = session.client("cloudformation")
        buckets = list(_buckets(cloudformation, stack.name))
        print(f"This deletes the stack {stack.name} at {cloudformation.meta.endpoint_url} for good,")
        print(f"with all its records and everything in: {', '.join(buckets)}")
        if arguments != ["--yes"] and not _confirmed(stack.name):
            print("\nNothing was deleted.")
            return 1
        for bucket in buckets:
            print(f"{empty(stack.s3, bucket)} objects deleted from {bucket}", flush=True)
    except SetupError as problem:
        print(f"make destroy: {problem}", file=sys.stderr)
        return 2
    except AWS_ERRORS as error:
        print(f"make destroy: {explain(error)}", file=sys.stderr)
        return 2
    region = cloudformation.meta.region_name
    command = ["delete", "--no-prompts", "--stack-name", stack.name, "--region", region]
    return subprocess.run([sys.executable, "-m", "samcli", *command]).returncode


def empty(s3: BaseClient, bucket: str) -> int:
    """Delete every version of every object, and every delete marker. Returns how many; SetupError if one stays."""
    deleted = 0
    while versions := _some_versions(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        if errors := answer.get("Errors"):
            raise SetupError(f"{errors[0]['Key']} stays in {bucket} ({errors[0]['Message']}): remove it and run again")
        deleted += len(versions)
    return deleted


def _some_versions(s3: BaseClient, bucket: str) -> list[dict[str, str]]:
    """The first thousand at most: as many as one call may delete."""
    page = s3.list_object_versions(Bucket=bucket)
    return [
        {"Key": version["Key"], "VersionId": version["VersionId"]}
        for version in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]


def _buckets(cloudformation: BaseClient, stack_name: str) -> Iterator[str]:
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name):
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceType"] == "AWS::S3::Bucket" and resource.get("PhysicalResourceId"):
                yield resource["PhysicalResourceId"]


def _confirmed(stack_name: str) -> bool:
    try:
        return input("Type the stack's name to go on: ").strip() == stack_name
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
