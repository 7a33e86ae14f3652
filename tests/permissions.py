"""Take every permission away from the deployed stack, one at a time, and name the test that notices.

    python -m tests.permissions                 all of them, about a quarter of an hour
    python -m tests.permissions StoreFunction   those whose name contains this

A permission is one action on one resource in a statement of a role, or a resource's policy for a service. Prints a
Markdown table. Ends with 1 if a permission that the emulator enforces could be taken away unnoticed.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from local.deployment import stack_name
from local.stack import LocalStack
from tests.integration.conftest import PARAMETERS
from tests.mutations import first_failure
from tests.template.stack import REPOSITORY, Deployment, listed, of_type, text

WITNESSES = (
    "tests/integration/test_permissions.py",
    "tests/integration/test_uploads.py::test_a_photo_has_renditions_a_record_a_notification_and_a_status",
    "tests/integration/test_uploads.py::test_a_document_is_rejected_with_its_reason",
    "tests/integration/test_products.py",
    "tests/integration/test_reprocess.py::test_objects_from_before_the_stack_get_their_records",
    "tests/integration/test_index.py",
    "tests/integration/test_pausing.py::test_a_spent_budget_has_uploads_wait_until_somebody_resumes",
    "tests/integration/test_quarantine.py::test_no_route_shows_a_flagged_image_until_it_is_released",
    "tests/integration/test_faults.py::test_an_event_that_can_start_nothing_is_kept",
    "tests/integration/test_faults.py::test_an_answer_of_rekognition_is_not_asked_for_again",
    "tests/integration/test_faults.py::test_a_deletion_that_can_start_nothing_is_kept",
)
PATIENCE = 25  # seconds that a test waits for what may never happen

# The emulator writes logs and traces without asking IAM, and answers NoSuchKey whether or not the bucket may be listed.
# It reads streams, and would send to the queue what is given up, by itself.
STREAM = tuple(f"dynamodb:{action}" for action in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"))
UNENFORCED = ("logs:", "xray:", "s3:ListBucket on UploadsBucket", *STREAM, "sqs:SendMessage on UnindexedChangesQueue")
# Permissions that the emulator cannot miss, and the test that compares the template with what is meant instead.
UNPROVED = {
    "logs and traces of every role (used without asking IAM)": (
        "test_permissions.py::test_a_role_allows_exactly_what_its_part_does"
    ),
    "s3:ListBucket on UploadsBucket (NoSuchKey is answered without it)": (
        "test_permissions.py::test_a_role_allows_exactly_what_its_part_does"
    ),
    "reading the stream, and sqs:SendMessage on UnindexedChangesQueue (done without asking IAM)": (
        "test_permissions.py::test_a_role_allows_exactly_what_its_part_does"
    ),
    "ReprocessBatchesPolicy: a Distributed Map about its children (the emulator asks IAM for StartExecution alone)": (
        "test_permissions.py::test_a_role_allows_exactly_what_its_part_does"
    ),
    "sts:AssumeRole by services (every service may)": (
        "test_permissions.py::test_only_its_own_service_may_assume_a_role"
    ),
    "kms:Decrypt of uploads (only with UploadsKmsKeyArn)": (
        "test_permissions.py::test_only_functions_that_read_uploads_may_use_their_key"
    ),
    "kms:Decrypt and kms:GenerateDataKey* of messages (only with TopicsKmsKeyArn)": (
        "test_resources.py::test_topics_are_encrypted_with_a_key_that_the_publisher_may_use"
    ),
    "what an Express workflow needs (only with WorkflowType=EXPRESS)": (
        "test_permissions.py::test_an_express_workflow_may_register_executions_and_keep_events"
    ),
    "AlarmsTopicPolicy: sns:Publish by cloudwatch.amazonaws.com (no alarm goes off)": (
        "test_permissions.py::test_only_cloudwatch_may_publish_alarms"
    ),
}
STAND_INS = tuple(f"tests/template/{test}" for test in UNPROVED.values())


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission, and how it is taken away and given back."""

    name: str
    take_away: Callable[[], object]
    give_back: Callable[[], object]


def of_roles(stack: LocalStack) -> Iterator[Permission]:
    """Each action on each resource that a role's own policies allow and the emulator enforces."""
    iam = stack.client("iam")
    resources = Deployment(**PARAMETERS).resources
    for logical in of_type("AWS::IAM::Role"):
        if logical not in resources:
            continue  # of what a parameter adds
        name = physical_id(stack, logical)
        for written in resources[logical]["Policies"]:
            policy = {"RoleName": name, "PolicyName": written["PolicyName"]}
            deployed = iam.get_role_policy(**policy)["PolicyDocument"]
            # Statements that a parameter adds are not deployed; tests/template/test_permissions.py has their tests.
            unconditional = [one for one in written["PolicyDocument"]["Statement"] if "Fn::If" not in one]
            for place, statement in enumerate(unconditional):
                for action in listed(statement["Action"]):
                    for number, resource in enumerate(listed(statement["Resource"])):
                        if f"{action} on {text(resource)}".startswith(UNENFORCED):
                            continue
                        less = without(deployed, place, action, number)
                        yield Permission(
                            f"{logical}: {action} on {text(resource)}",
                            partial(iam.put_role_policy, **policy, PolicyDocument=json.dumps(less)),
                            partial(iam.put_role_policy, **policy, PolicyDocument=json.dumps(deployed)),
                        )


def without(document: dict, place: int, action: str, number: int) -> dict:
    """A policy in which one statement lacks one action on one of its resources."""
    statements = document["Statement"]
    statement = statements[place]
    resources, actions = listed(statement["Resource"]), listed(statement["Action"])
    others = [resource for position, resource in enumerate(resources) if position != number]
    parts = [
        statement | {"Action": [one for one in actions if one != action]},
        statement | {"Action": action, "Resource": others},
    ]
    parts = [part for part in parts if part["Action"] and part["Resource"]]
    return document | {"Statement": [*statements[:place], *parts, *statements[place + 1 :]]}


def of_resources(stack: LocalStack) -> Iterator[Permission]:
    """What the queue's and the function's policies allow services to do."""
    sqs, functions = stack.client("sqs"), stack.client("lambda")
    queue = {"QueueUrl": stack.outputs["UndeliveredEventsQueue"]}
    policy = sqs.get_queue_attributes(**queue, AttributeNames=["Policy"])["Attributes"]["Policy"]
    yield Permission(
        "UndeliveredEventsQueuePolicy: sqs:SendMessage by events.amazonaws.com",
        partial(sqs.set_queue_attributes, **queue, Attributes={"Policy": ""}),
        partial(sqs.set_queue_attributes, **queue, Attributes={"Policy": policy}),
    )
    function = {"FunctionName": physical_id(stack, "StatusFunction")}
    (statement,) = json.loads(functions.get_policy(**function)["Policy"])["Statement"]
    yield Permission(
        "StatusFunctionPermission: lambda:InvokeFunction by apigateway.amazonaws.com",
        partial(functions.remove_permission, **function, StatementId=statement["Sid"]),
        partial(
            functions.add_permission,
            **function,
            StatementId=statement["Sid"],
            Action=statement["Action"],
            Principal=statement["Principal"]["Service"],
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
        ),
    )


def physical_id(stack: LocalStack, logical: str) -> str:
    described = stack.client("cloudformation").describe_stack_resource(
        StackName=stack_name(), LogicalResourceId=logical
    )
    return described["StackResourceDetail"]["PhysicalResourceId"]


def first_to_notice(stack: LocalStack, tests: Iterable[str] = WITNESSES) -> str:
    """The first test that fails; empty if none does."""
    return first_failure(tests, REPOSITORY, TEST_STACK=str(stack.state_dir), TEST_PATIENCE=str(PATIENCE))


def main() -> int:
    """Try all, or those asked for. Returns an exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.permissions", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="", help="of a permission's name")
    part = parser.parse_args().part
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, SFN_WAIT_SCALE="0.01"),
        LocalStack(Path(folder, "stack"), parameters=PARAMETERS) as stack,
    ):
        # Twice: a test that cannot be repeated would seem to notice whatever is taken away.
        if failed := first_to_notice(stack, (*WITNESSES, *STAND_INS)) or first_to_notice(stack):
            raise SystemExit(f"{failed} fails with all permissions")
        permissions = [found for found in (*of_roles(stack), *of_resources(stack)) if part in found.name]
        unnoticed = 0
        print("| taken away | the first test to notice |\n| --- | --- |")
        for permission in permissions:
            permission.take_away()
            noticed = first_to_notice(stack)
            permission.give_back()
            unnoticed += not noticed
            print(f"| {permission.name} | {f'`{noticed}`' if noticed else '**none**'} |", flush=True)
    if not part:
        for permission, stand_in in zip(UNPROVED, STAND_INS, strict=True):
            print(f"| {permission} | `{stand_in.removeprefix('tests/')}` |")
    print(f"\n{len(permissions)} permissions taken away, {unnoticed} of them unnoticed.")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
