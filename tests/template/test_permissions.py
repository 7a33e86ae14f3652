"""What each part may do: exactly this. Whoever widens it changes this table, and says why."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.template.stack import Deployment, listed, of_type, source, text

ROLES = of_type("AWS::IAM::Role")
STATE_MACHINES = of_type("AWS::StepFunctions::StateMachine")
LOG_DELIVERY = {
    "logs:CreateLogDelivery on *",
    "logs:DeleteLogDelivery on *",
    "logs:DescribeLogGroups on *",
    "logs:DescribeResourcePolicies on *",
    "logs:GetLogDelivery on *",
    "logs:ListLogDeliveries on *",
    "logs:PutResourcePolicy on *",
    "logs:UpdateLogDelivery on *",
}
# X-Ray has no resource-level permissions.
TRACES = {"xray:PutTraceSegments on *", "xray:PutTelemetryRecords on *"}
SAMPLING = {"xray:GetSamplingRules on *", "xray:GetSamplingTargets on *"}
OWN, HERE = "arn:${AWS::Partition}", "${AWS::Region}:${AWS::AccountId}"
ONLY_THE_QUEUE_OF_PAUSED_UPLOADS = {
    "ForAllValues:ArnEquals": {"events:TargetArn": {"Fn::GetAtt": ["PausedUploadsQueue", "Arn"]}}
}
ONE_UPLOADS_RENDITIONS = "s3:ListBucket on ThumbnailsBucket if {'StringLike': {'s3:prefix': '*/'}}"


# Besides logs and traces.
ALLOWED = {
    "RulesRole": {
        "states:StartExecution on ImagePipeline",
        "states:StartExecution on Housekeeping",
    },
    "ImagePipelineRole": {
        "lambda:InvokeFunction on ValidateFunction",
        "lambda:InvokeFunction on ThumbnailsFunction",
        "lambda:InvokeFunction on MetadataFunction",
        "lambda:InvokeFunction on StoreFunction",
        "lambda:InvokeFunction on ResolveCurrentVersionFunction",
        "lambda:InvokeFunction on CleanupFunction",
        "dynamodb:PutItem on ImagesTable",
        "dynamodb:UpdateItem on ImagesTable",
        "dynamodb:DeleteItem on ImagesTable",
        "sns:Publish on NotificationsTopic",
    },
    "HousekeepingRole": {
        "lambda:InvokeFunction on ResolveCurrentVersionFunction",
        "lambda:InvokeFunction on CleanupFunction",
        "dynamodb:DeleteItem on ImagesTable",
        "states:StartExecution on ImagePipeline",
    },
    "ValidateFunctionRole": {
        "s3:GetObject on UploadsBucket/uploads/*",
        "s3:ListBucket on UploadsBucket",
    },
    "ThumbnailsFunctionRole": {
        "s3:GetObject on UploadsBucket/uploads/*",
        "s3:ListBucket on UploadsBucket",
        "s3:PutObject on ThumbnailsBucket/*",
    },
    "MetadataFunctionRole": {
        "s3:GetObject on ThumbnailsBucket/*",
        "s3:PutObject on ThumbnailsBucket/*/answers.json",
    },
    "StoreFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
        "dynamodb:PutItem on ImagesTable",
        ONE_UPLOADS_RENDITIONS,
        "s3:DeleteObject on ThumbnailsBucket/*",
    },
    "ResolveCurrentVersionFunctionRole": {
        "s3:ListBucketVersions on UploadsBucket if {'StringLike': {'s3:prefix': 'uploads/*'}}",
        "dynamodb:GetItem on ImagesTable",
    },
    "CleanupFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
        ONE_UPLOADS_RENDITIONS,
        "s3:DeleteObject on ThumbnailsBucket/*",
    },
    "IndexFunctionRole": {
        "dynamodb:DescribeStream on ImagesTable/stream",
        "dynamodb:GetRecords on ImagesTable/stream",
        "dynamodb:GetShardIterator on ImagesTable/stream",
        "dynamodb:ListStreams on *",
        "sqs:SendMessage on UnindexedChangesQueue",
        "dynamodb:BatchGetItem on ImagesTable",
        "dynamodb:BatchWriteItem on IndexTable",
    },
    "ReprocessRole": {
        "s3:ListBucket on UploadsBucket if {'StringLike': {'s3:prefix': 'uploads/*'}}",
        "lambda:InvokeFunction on SelectImagesFunction",
        "states:StartExecution on Reprocess",
        *(
            f"states:{action} on {OWN}:states:{HERE}:execution:${{Reprocess.Name}}{executions}"
            for action in ("DescribeExecution", "StopExecution")
            for executions in (":*", "/*:*")
        ),
    },
    "SelectImagesFunctionRole": {
        "s3:ListBucketVersions on UploadsBucket if {'StringLike': {'s3:prefix': 'uploads/*'}}",
        "dynamodb:BatchGetItem on ImagesTable",
    },
    "PauseFunctionRole": {
        "events:ListTargetsByRule on UploadsRule",
        f"events:PutTargets on UploadsRule if {ONLY_THE_QUEUE_OF_PAUSED_UPLOADS}",
        "sns:Publish on AlarmsTopic",
    },
    "SweepFunctionRole": set(),  # which the type of workflow decides about
    "StatusFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
    },
    "ReadImagesFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
        "dynamodb:BatchGetItem on ImagesTable",
        "dynamodb:Query on ImagesTable/index/ByStatus",
        "dynamodb:Query on IndexTable",
        "s3:GetObject on ThumbnailsBucket/*",
    },
    "WriteImagesFunctionRole": {
        "s3:PutObject on UploadsBucket/uploads/*",
        "s3:DeleteObject on UploadsBucket/uploads/*",
        "s3:AbortMultipartUpload on UploadsBucket/uploads/*",
        "s3:ListMultipartUploadParts on UploadsBucket/uploads/*",
        "dynamodb:GetItem on ImagesTable",
        "states:StartExecution on ImagePipeline",
    },
}


def allowed(name: str) -> set[str]:
    """`action on resource` for every pair that a role's policies allow; a condition is spelled out.

    Statements for which a parameter decides are left out: they have tests of their own.
    """
    attached = [policy for policy in of_type("AWS::IAM::Policy").values() if name in map(text, policy["Roles"])]
    statements = [
        statement
        for policy in (*ROLES[name].get("Policies", []), *attached)
        for statement in policy["PolicyDocument"]["Statement"]
        if "Fn::If" not in statement
    ]
    return {
        f"{action} on {text(resource)}" + (f" if {statement['Condition']}" if "Condition" in statement else "")
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def reporting(role: str) -> set[str]:
    """What a function or a state machine needs for its traces and for its own logs."""
    part = role.removesuffix("Role")
    if part.endswith("Function"):
        logs = f"{part.removesuffix('Function')}Logs"
        return TRACES | {f"{action} on {logs}" for action in ("logs:CreateLogStream", "logs:PutLogEvents")}
    return TRACES | SAMPLING | LOG_DELIVERY if part in STATE_MACHINES else set()


@pytest.mark.parametrize("name", ROLES)
def test_a_role_allows_exactly_what_its_part_does(name: str):
    assert allowed(name) == ALLOWED[name] | reporting(name)
    assert "ManagedPolicyArns" not in ROLES[name]


def test_only_functions_that_read_uploads_may_use_their_key():
    key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    roles = {"ValidateFunctionRole", "ThumbnailsFunctionRole", "WriteImagesFunctionRole"}

    assert set(may_decrypt(Deployment())) == set()
    assert may_decrypt(Deployment(UploadsKmsKeyArn=key)) == dict.fromkeys(roles, key)


@pytest.mark.parametrize(
    ("parameters", "calls"),
    [
        ({}, {"DetectLabels"}),
        ({"DetectLabels": "false"}, set()),
        ({"DetectFaces": "true"}, {"DetectLabels", "DetectFaces"}),
        ({"Moderation": "record"}, {"DetectLabels", "DetectModerationLabels"}),
        ({"Moderation": "quarantine"}, {"DetectLabels", "DetectModerationLabels"}),
    ],
    ids=["by default", "without labels", "with faces", "with moderation", "with quarantine"],
)
def test_rekognition_may_be_asked_exactly_what_is_switched_on(parameters: dict[str, str], calls: set[str]):
    (policy,) = Deployment(**parameters).resources["MetadataFunctionRole"]["Policies"]

    statements = policy["PolicyDocument"]["Statement"]

    found = {action for statement in statements for action in listed(statement["Action"])}
    assert {action for action in found if action.startswith("rekognition:")} == {
        f"rekognition:{call}" for call in calls
    }


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("small=100x100", False),
        ("face=100x100:cover", False),
        ("a=9x9:cover:face", True),
        ("a=9x9:cover b=9x9:face:webp:cover", True),
    ],
)
def test_faces_may_be_detected_only_for_crops_to_faces(wanted: str, allowed: bool):
    (policy,) = Deployment(Renditions=wanted).resources["ThumbnailsFunctionRole"]["Policies"]

    actions = {action for statement in policy["PolicyDocument"]["Statement"] for action in listed(statement["Action"])}

    assert ("rekognition:DetectFaces" in actions) == allowed


def may_decrypt(deployment: Deployment) -> dict[str, str]:
    """The keys that roles may decrypt with, through S3 alone, by the role."""
    statements = [
        (name, statement)
        for name, properties in deployment.resources.items()
        for policy in properties.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if "kms:Decrypt" in listed(statement["Action"])
    ]
    for _, statement in statements:
        assert text(statement["Condition"]["StringEquals"]["kms:ViaService"]) == "s3.${AWS::Region}.${AWS::URLSuffix}"
    return {name: statement["Resource"] for name, statement in statements}


def test_each_function_and_state_machine_has_a_role_of_its_own():
    functions = [text(function["Role"]) for function in of_type("AWS::Lambda::Function").values()]
    machines = [text(machine["RoleArn"]) for machine in of_type("AWS::StepFunctions::StateMachine").values()]

    roles = functions + machines

    assert len(set(roles)) == len(roles)
    assert {*roles, "RulesRole"} == ROLES.keys()


@pytest.mark.parametrize(
    ("resource_type", "service", "source"),
    [
        ("AWS::Lambda::Function", "lambda.amazonaws.com", None),  # Lambda does not say for which function it asks
        ("AWS::StepFunctions::StateMachine", "states.amazonaws.com", "states:*:stateMachine:*"),
        ("AWS::Events::Rule", "events.amazonaws.com", "events:*:rule/*"),
    ],
)
def test_only_its_own_service_may_assume_a_role(resource_type, service, source):
    for resource in of_type(resource_type).values():
        for reference in role_references(resource):
            (statement,) = ROLES[text(reference)]["AssumeRolePolicyDocument"]["Statement"]
            assert statement["Principal"] == {"Service": service}
            if source:
                assert statement["Condition"] == on_behalf_of(source)


def on_behalf_of(source: str) -> dict:
    """The condition that a service acts for a resource of this account and Region: `service:*:resource`."""
    namespace, resource = source.split(":*:")
    arn = f"arn:${{AWS::Partition}}:{namespace}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"
    return {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {"aws:SourceArn": {"Fn::Sub": arn}},
    }


def role_references(resource: dict) -> list:
    targets = resource.get("Targets", [])
    return [owner[name] for owner in (resource, *targets) for name in ("Role", "RoleArn") if name in owner]


def test_nothing_that_the_rules_start_writes_where_they_listen():
    started = ROLES.keys() - {"WriteImagesFunctionRole"}  # which only clients of the API invoke
    everything = {permission for name in started for permission in allowed(name)}
    on_uploads = {permission for permission in everything if " on UploadsBucket" in permission}

    assert {permission.split(" ")[0] for permission in on_uploads} == {
        "s3:GetObject",
        "s3:ListBucket",
        "s3:ListBucketVersions",
    }
    assert not {
        permission for permission in everything if permission.startswith("s3:") and permission.endswith(" on *")
    }


def test_an_express_workflow_may_register_executions_and_keep_events():
    added = written(Deployment(WorkflowType="EXPRESS")) - written(Deployment())

    assert added == {
        "dynamodb:PutItem on ExecutionsTable",
        "dynamodb:DeleteItem on ExecutionsTable",
        "sqs:SendMessage on UndeliveredEventsQueue",
    }


def test_reprocessing_waits_for_executions_and_may_stop_none():
    standard, express = (
        written(Deployment(WorkflowType=workflow), "ReprocessRole") for workflow in ("STANDARD", "EXPRESS")
    )

    # Without states:StopExecution, what a stopped run has started is completed.
    assert express - standard == {"states:StartSyncExecution on ImagePipeline"}
    assert standard - express == {
        "states:StartExecution on ImagePipeline",
        f"states:DescribeExecution on {OWN}:states:{HERE}:execution:${{ImagePipeline.Name}}:*",
        *(
            f"events:{action} on {OWN}:events:{HERE}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
            for action in ("PutTargets", "PutRule", "DescribeRule")
        ),
    }


def test_a_sweep_may_do_what_its_type_of_workflow_needs():
    standard, express = (
        written(Deployment(WorkflowType=workflow), "SweepFunctionRole") for workflow in ("STANDARD", "EXPRESS")
    )

    assert standard - express == {
        "dynamodb:Query on ImagesTable/index/ByStatus",
        "dynamodb:BatchGetItem on ImagesTable",
        f"states:DescribeExecution on {OWN}:states:{HERE}:execution:${{ImagePipeline.Name}}:*",
    }
    assert express - standard == {
        "dynamodb:Scan on ExecutionsTable",
        "dynamodb:GetItem on ExecutionsTable",
        "dynamodb:DeleteItem on ExecutionsTable",
        "states:StartExecution on Housekeeping",
    }


def written(deployment: Deployment, role: str = "ImagePipelineRole") -> set[str]:
    """What a role's own policy allows as deployed."""
    (policy,) = deployment.resources[role]["Policies"]
    return {
        f"{action} on {text(resource)}"
        for statement in policy["PolicyDocument"]["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def test_only_its_schedule_may_invoke_the_sweep():
    permission = of_type("AWS::Lambda::Permission")["SweepPermission"]

    assert text(permission["FunctionName"]) == "SweepFunction"
    assert permission["Principal"] == "events.amazonaws.com"
    assert text(permission["SourceArn"]) == "SweepRule"


def test_only_its_routes_may_invoke_a_function_of_the_api():
    found = set()
    permissions = of_type("AWS::Lambda::Permission")
    for permission in (
        permissions[name] for name in permissions.keys() - {"PauseFunctionPermission", "SweepPermission"}
    ):
        assert permission["Principal"] == "apigateway.amazonaws.com"
        api, stage, route = permission["SourceArn"]["Fn::Sub"].rpartition(":")[2].split("/", 2)
        assert (api, stage) == ("${ImageStatusApi}", "*")
        found.add((text(permission["FunctionName"]), route))

    assert found == {
        ("StatusFunction", "GET/images/*"),
        ("ReadImagesFunction", "GET/images"),
        ("ReadImagesFunction", "GET/renditions"),
        ("WriteImagesFunction", "POST/uploads"),
        ("WriteImagesFunction", "POST/uploads/*/complete"),
        ("WriteImagesFunction", "DELETE/uploads/*"),
        ("WriteImagesFunction", "POST/images"),
        ("WriteImagesFunction", "DELETE/images"),
        ("WriteImagesFunction", "POST/images/decision"),
    }


def test_only_the_budget_may_pause_the_pipeline():
    permission = of_type("AWS::Lambda::Permission")["PauseFunctionPermission"]
    statement, _ = of_type("AWS::SNS::TopicPolicy")["BudgetTopicPolicy"]["PolicyDocument"]["Statement"]

    assert (permission["Principal"], text(permission["SourceArn"])) == ("sns.amazonaws.com", "BudgetTopic")
    assert statement["Principal"] == {"Service": "budgets.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_only_cloudwatch_may_publish_alarms():
    statement, _ = of_type("AWS::SNS::TopicPolicy")["AlarmsTopicPolicy"]["PolicyDocument"]["Statement"]

    assert statement["Effect"] == "Allow"
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (statement["Action"], text(statement["Resource"])) == ("sns:Publish", "AlarmsTopic")
    assert statement["Condition"] == on_behalf_of("cloudwatch:*:alarm:*")


# ------------------------------------------------------------------------------------------------ the reference of IAM

# The Service Authorization Reference, as cfn-lint ships it: the actions of each service, and the types of resources
# that each may be allowed on. Read without importing cfn-lint, which takes longer than these tests.
CFN_LINT = Path(find_spec("cfnlint").origin).parent
REFERENCE = json.loads((CFN_LINT / "data" / "AdditionalSpecs" / "Policies.json").read_text())
# Only in requests that name a model of the customer's.
OPTIONAL_RESOURCES = {"rekognition:DetectModerationLabels"}
ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:111122223333:{}",
    "AWS::SNS::Topic": "arn:aws:sns:us-east-1:111122223333:{}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:111122223333:table/{}",
    "AWS::Serverless::Function": "arn:aws:lambda:us-east-1:111122223333:function:{}",
    "AWS::Serverless::StateMachine": "arn:aws:states:us-east-1:111122223333:stateMachine:{}",
    "AWS::Events::Rule": "arn:aws:events:us-east-1:111122223333:rule/{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:111122223333:log-group:{}:*",
}
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EVERYTHING = {
    "WebhookUrl": "https://example.com/images",
    "Renditions": "face=100x100:cover:face",
    "DetectFaces": "true",
    "Moderation": "quarantine",
    "MonthlyBudget": "100",
    "TopicsKmsKeyArn": KEY,
    "UploadsKmsKeyArn": KEY,
}


@pytest.mark.parametrize("workflow", ["STANDARD", "EXPRESS"])
def test_every_action_is_allowed_on_what_iam_can_allow_it_on(workflow: str):
    resources = Deployment(WorkflowType=workflow, **EVERYTHING).resources.values()
    policies = [policy for properties in resources for policy in (properties, *properties.get("Policies", []))]
    statements = [one for policy in policies for one in policy.get("PolicyDocument", {}).get("Statement", [])]

    granted = {
        (action, arn(resource))
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }

    assert len(granted) > 50
    assert {pair for pair in granted if not can_be_allowed(*pair)} == set()


def can_be_allowed(action: str, resource: str) -> bool:
    """Whether IAM knows the action, and a statement for this resource can allow it."""
    service, name = action.lower().split(":")
    matching = [known for known in REFERENCE[service]["Actions"] if re.fullmatch(name.replace("*", ".*"), known)]
    return bool(matching) and all(
        resource == "*"
        if not types or action in OPTIONAL_RESOURCES
        else any(re.fullmatch(form, resource) for form in arn_formats(service, types))
        for types in (listed(REFERENCE[service]["Actions"][known].get("Resources", [])) for known in matching)
    )


def arn_formats(service: str, types: list[str]) -> list[str]:
    formats = [form for one in types for form in REFERENCE[service]["Resources"][one]["ARNFormats"]]
    return [re.sub(r"\$\{\w+}", "[^:]*", form) for form in formats]


def arn(resource: object) -> str:
    """What a statement names, as an ARN."""
    named = re.sub(r"\$\{[\w:.]+}", "x", text(resource))
    declared = source()["Resources"].get(named.partition("/")[0])
    return ARNS[declared["Type"]].format(named) if declared else named
