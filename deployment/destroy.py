"""`make destroy`: deletes the stack and, unlike CloudFormation, what it retains: the buckets and the table.

It asks for confirmation first. It deletes all versions of all objects, and turns off the table's deletion protection.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.status import Status as Spinner

from cli.problems import AWS_ERRORS, SetupError, code, explain
from cli.stack import Client, Stack
from deployment.sam import sam
from deployment.target import Target, options_of_a_target
from imagepipeline.executions import LIMIT

_LONGEST_WAIT = 300  # seconds; most executions take a few, and Housekeeping waits 170 for functions that still write
_PAUSE = 2  # seconds between two looks at them


def main(arguments: list[str]) -> int:
    """Ask for confirmation, unless --yes is given, and destroy the stack. Returns an exit status."""
    # Unknown options are refused: a misspelled --stack-name must not destroy another stack.
    parser = options_of_a_target(
        prog="make destroy",
        add_help=True,
        description="Delete a stack and all its data: its buckets with all objects, and its table of records.",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    confirmed = parser.parse_args(arguments).yes
    begun = False
    try:
        target = Target.of(arguments)
        stack = Stack.find(target.session, target.name, needed=())
        cloudformation = target.session.client("cloudformation")
        parts = _Parts.of(cloudformation, stack.name)
        print(f"This permanently deletes the stack {stack.name} at {cloudformation.meta.endpoint_url},")
        print(f"all its records and all objects in: {', '.join(parts.buckets) or 'no bucket'}")
        if not confirmed and not _confirmed(stack.name):
            print("\nNothing was deleted.")
            return 1
        begun = True
        with Spinner("", console=Console(stderr=True)) as spinner:
            drain(stack, target.session.client("events"), parts, spinner)
            for bucket in parts.buckets:
                print(f"{empty(stack.s3, bucket, spinner)} objects deleted from {bucket}", flush=True)
        if status := sam("delete", "--no-prompts", *target.options):
            return status
        # What the stack retains. After the stack, because it needs them to remove its policies.
        for bucket in parts.buckets:
            delete_bucket(stack.s3, bucket)
        for table in parts.tables:
            delete_table(stack.dynamodb, table)
    except SetupError as problem:
        print(f"make destroy: {problem}", file=sys.stderr)
        return 2
    except AWS_ERRORS as error:
        print(f"make destroy: {explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        done = "new uploads may not be processed any more. Run it again; if the stack is gone, delete its data yourself"
        print(f"\nmake destroy: interrupted; {done if begun else 'nothing was deleted'}", file=sys.stderr)
        return 130
    return 0


@dataclass(frozen=True, slots=True)
class _Parts:
    """The physical IDs of the resources to empty or stop, if they exist."""

    buckets: list[str]
    tables: list[str]
    rules: list[str]
    machines: list[str]

    @classmethod
    def of(cls, cloudformation: Client, stack_name: str) -> "_Parts":
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name)
        existing = [
            (resource["ResourceType"], resource["PhysicalResourceId"])
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource.get("PhysicalResourceId") and resource["ResourceStatus"] != "DELETE_COMPLETE"
        ]
        kinds = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::Events::Rule", "AWS::StepFunctions::StateMachine")
        return cls(*([physical for its_kind, physical in existing if its_kind == kind] for kind in kinds))


def drain(stack: Stack, eventbridge: Client, parts: _Parts, spinner: Spinner) -> None:
    """Disable the rules that start executions, and wait until none is running.

    Otherwise every deleted object would start an execution, and the renditions and logs that executions write would
    prevent the stack's deletion or remain after it. Executions that take too long are stopped.
    """
    for rule in parts.rules:
        with suppress(eventbridge.exceptions.ResourceNotFoundException):  # deleted by hand
            eventbridge.disable_rule(Name=rule)
    if "Reprocess" in stack.outputs:  # may run for days, and starts executions as long as it does
        for run in _running(stack.stepfunctions, [stack.outputs["Reprocess"]]):
            stack.stepfunctions.stop_execution(executionArn=run, cause="The stack is being deleted.")
    deadline = time.monotonic() + _LONGEST_WAIT
    while running := [*_running(stack.stepfunctions, parts.machines), *_running_express(stack)]:
        if time.monotonic() > deadline:
            for execution in _running(stack.stepfunctions, parts.machines):
                stack.stepfunctions.stop_execution(executionArn=execution, cause="The stack is being deleted.")
            return
        spinner.update(f"{len(running)} executions are still running")
        time.sleep(_PAUSE)


def _running(stepfunctions: Client, machines: list[str]) -> Iterator[str]:
    for machine in machines:
        pages = stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
        refused = stepfunctions.exceptions
        # Step Functions does not list the executions of an Express workflow.
        with suppress(refused.StateMachineDoesNotExist, refused.StateMachineTypeNotSupported):
            yield from (execution["executionArn"] for page in pages for execution in page["executions"])


def _running_express(stack: Stack) -> Iterator[str]:
    """Executions of an Express workflow that have not succeeded, and may not have ended. They cannot be stopped."""
    if stack.is_express:
        with suppress(stack.dynamodb.exceptions.ResourceNotFoundException):  # deleted by hand
            for registered, _ in stack.registered():
                if registered.since + LIMIT > datetime.now(UTC):
                    yield registered.arn


def empty(s3: Client, bucket: str, spinner: Spinner) -> int:
    """Delete every version of every object, and every delete marker. Returns their number. Raises SetupError."""
    deleted = 0
    while versions := _some_versions(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        if errors := answer.get("Errors"):
            raise SetupError(
                f"{errors[0]['Key']} in {bucket} could not be deleted ({errors[0]['Message']}): delete it and run again"
            )
        deleted += len(versions)
        spinner.update(f"{deleted} objects deleted from {bucket}")
    return deleted


def _some_versions(s3: Client, bucket: str) -> list[dict[str, str]]:
    """At most the first thousand, which one call can delete; none if the bucket was deleted by hand."""
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


def delete_bucket(s3: Client, bucket: str) -> None:
    """Delete an empty bucket, if it still exists."""
    try:
        s3.delete_bucket(Bucket=bucket)
    except s3.exceptions.ClientError as error:
        if code(error) != "NoSuchBucket":
            raise


def delete_table(dynamodb: Client, table: str) -> None:
    """Delete a table, if it still exists, even if it is protected from deletion."""
    with suppress(dynamodb.exceptions.ResourceNotFoundException):
        if dynamodb.describe_table(TableName=table)["Table"].get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
            dynamodb.get_waiter("table_exists").wait(TableName=table)
        dynamodb.delete_table(TableName=table)


def _confirmed(stack_name: str) -> bool:
    try:
        return input("Type the name of the stack to confirm: ").strip() == stack_name
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
