"""`make destroy`: empty the stack's buckets, every version, and delete the stack, after asking."""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from botocore.client import BaseClient
from rich.console import Console
from rich.status import Status as Spinner

from cli.problems import AWS_ERRORS, SetupError, code, explain
from cli.stack import Stack
from deployment.sam import sam
from deployment.target import Target, options_of_a_target

_LONGEST_WAIT = 300  # seconds; most executions take some, and Housekeeping waits 130 for what still writes renditions
_PAUSE = 2  # seconds between two looks at them


def main(arguments: list[str]) -> int:
    """Ask, unless --yes is among the arguments, and destroy. Returns an exit status."""
    # Strictly: whoever misspells the name of a stack must not lose another.
    parser = options_of_a_target(prog="make destroy", add_help=True, description="Empty and delete a stack.")
    parser.add_argument("--yes", action="store_true", help="don't ask")
    confirmed = parser.parse_args(arguments).yes
    begun = False
    try:
        target = Target.of(arguments)
        stack = Stack.find(target.session, target.name, needed=())
        cloudformation = target.session.client("cloudformation")
        parts = _Parts.of(cloudformation, stack.name)
        print(f"This deletes the stack {stack.name} at {cloudformation.meta.endpoint_url} for good,")
        print(f"with all its records and everything in: {', '.join(parts.buckets) or 'no bucket'}")
        if not confirmed and not _confirmed(stack.name):
            print("\nNothing was deleted.")
            return 1
        begun = True
        with Spinner("", console=Console(stderr=True)) as spinner:
            drain(stack, target.session.client("events"), parts, spinner)
            for bucket in parts.buckets:
                print(f"{empty(stack.s3, bucket, spinner)} objects deleted from {bucket}", flush=True)
    except SetupError as problem:
        print(f"make destroy: {problem}", file=sys.stderr)
        return 2
    except AWS_ERRORS as error:
        print(f"make destroy: {explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        done = "the stack takes no more uploads: run it again to finish" if begun else "nothing was deleted"
        print(f"\nmake destroy: interrupted; {done}", file=sys.stderr)
        return 130
    return sam("delete", "--no-prompts", *target.options)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Physical ids of the stack's resources of the kinds that something has to be done with, as far as they exist."""

    buckets: list[str]
    rules: list[str]
    machines: list[str]

    @classmethod
    def of(cls, cloudformation: BaseClient, stack_name: str) -> "_Parts":
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name)
        existing = [
            (resource["ResourceType"], resource["PhysicalResourceId"])
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource.get("PhysicalResourceId") and resource["ResourceStatus"] != "DELETE_COMPLETE"
        ]
        buckets, rules, machines = (
            [physical for its_kind, physical in existing if its_kind == kind]
            for kind in ("AWS::S3::Bucket", "AWS::Events::Rule", "AWS::StepFunctions::StateMachine")
        )
        return cls(buckets, rules, machines)


def drain(stack: Stack, eventbridge: BaseClient, parts: _Parts, spinner: Spinner) -> None:
    """Let nothing start any more, and wait until nothing runs.

    Else every object that is deleted would start an execution, and what they write (renditions, logs) would keep the
    stack from being deleted or stay behind it. Executions that take too long are stopped.
    """
    for rule in parts.rules:
        with suppress(eventbridge.exceptions.ResourceNotFoundException):  # somebody has deleted it by hand
            eventbridge.disable_rule(Name=rule)
    deadline = time.monotonic() + _LONGEST_WAIT
    while running := list(_running(stack.stepfunctions, parts.machines)):
        if time.monotonic() > deadline:
            for execution in running:
                stack.stepfunctions.stop_execution(executionArn=execution, cause="the stack is being deleted")
            return
        spinner.update(f"{len(running)} executions are still running")
        time.sleep(_PAUSE)


def _running(stepfunctions: BaseClient, machines: list[str]) -> Iterator[str]:
    for machine in machines:
        pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
        with suppress(stepfunctions.exceptions.StateMachineDoesNotExist):
            yield from (execution["executionArn"] for page in pages for execution in page["executions"])


def empty(s3: BaseClient, bucket: str, spinner: Spinner) -> int:
    """Delete every version of every object, and every delete marker. Returns how many; SetupError if one stays."""
    deleted = 0
    while versions := _some_versions(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        if errors := answer.get("Errors"):
            raise SetupError(f"{errors[0]['Key']} stays in {bucket} ({errors[0]['Message']}): remove it and run again")
        deleted += len(versions)
        spinner.update(f"{deleted} objects deleted from {bucket}")
    return deleted


def _some_versions(s3: BaseClient, bucket: str) -> list[dict[str, str]]:
    """The first thousand at most: as many as one call may delete. None of a bucket that was deleted by hand."""
    try:
        page = s3.list_object_versions(Bucket=bucket)
    except s3.exceptions.ClientError as error:
        if code(error) != "NoSuchBucket":
            raise
        return []
    return [
        {"Key": version["Key"], "VersionId": version["VersionId"]}
        for version in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]


def _confirmed(stack_name: str) -> bool:
    try:
        return input("Type the stack's name to go on: ").strip() == stack_name
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
