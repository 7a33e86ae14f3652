"""What each part may do: exactly this. Whoever widens it changes this table, and says why."""

import pytest

from tests.template.stack import listed, of_type, text

ROLES = of_type("AWS::IAM::Role")
# Logging and tracing, which SAM adds. The status API's logs come by log delivery.
FUNCTIONS_OWN = {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}
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
        *LOG_DELIVERY,
    },
    "HousekeepingRole": {
        "lambda:InvokeFunction on ResolveCurrentVersionFunction",
        "lambda:InvokeFunction on CleanupFunction",
        "dynamodb:DeleteItem on ImagesTable",
        "states:StartExecution on ImagePipeline",
        *LOG_DELIVERY,
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
        "rekognition:DetectLabels on *",
        "s3:GetObject on ThumbnailsBucket/*",
    },
    "StoreFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
        "dynamodb:PutItem on ImagesTable",
        "s3:ListBucket on ThumbnailsBucket",
        "s3:DeleteObject on ThumbnailsBucket/*",
    },
    "ResolveCurrentVersionFunctionRole": {
        "s3:GetObject on UploadsBucket/uploads/*",
        "s3:ListBucket on UploadsBucket",
        "dynamodb:GetItem on ImagesTable",
    },
    "CleanupFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
        "s3:ListBucket on ThumbnailsBucket",
        "s3:DeleteObject on ThumbnailsBucket/*",
    },
    "StatusFunctionRole": {
        "dynamodb:GetItem on ImagesTable",
    },
}


def allowed(role: dict) -> set[str]:
    """`action on resource` for every pair that a role's own policies allow; a condition is spelled out."""
    statements = [
        statement for policy in role.get("Policies", []) for statement in policy["PolicyDocument"]["Statement"]
    ]
    return {
        f"{action} on {text(resource)}" + (f" if {statement['Condition']}" if "Condition" in statement else "")
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


@pytest.mark.parametrize("name", ROLES)
def test_a_role_allows_exactly_what_its_part_does(name: str):
    assert allowed(ROLES[name]) == ALLOWED[name]


@pytest.mark.parametrize("name", ROLES)
def test_a_role_has_no_policy_of_awss_beyond_logging_and_tracing(name: str):
    policies = {arn.rsplit("/", 1)[-1] for arn in ROLES[name].get("ManagedPolicyArns", [])}

    assert policies <= FUNCTIONS_OWN


def test_each_function_and_state_machine_has_a_role_of_its_own():
    functions = [text(function["Role"]) for function in of_type("AWS::Lambda::Function").values()]
    machines = [text(machine["RoleArn"]) for machine in of_type("AWS::StepFunctions::StateMachine").values()]

    roles = functions + machines

    assert len(set(roles)) == len(roles)
    assert {*roles, "RulesRole"} == ROLES.keys()


@pytest.mark.parametrize(
    ("resource_type", "service"),
    [
        ("AWS::Lambda::Function", "lambda.amazonaws.com"),
        ("AWS::StepFunctions::StateMachine", "states.amazonaws.com"),
        ("AWS::Events::Rule", "events.amazonaws.com"),
    ],
)
def test_a_role_is_taken_by_its_own_service_alone(resource_type: str, service: str):
    for resource in of_type(resource_type).values():
        for reference in role_references(resource):
            (statement,) = ROLES[text(reference)]["AssumeRolePolicyDocument"]["Statement"]
            assert listed(statement["Principal"]["Service"]) == [service]


def role_references(resource: dict) -> list:
    targets = resource.get("Targets", [])
    return [owner[name] for owner in (resource, *targets) for name in ("Role", "RoleArn") if name in owner]


def test_nothing_writes_where_the_rules_listen():
    everything = {permission for role in ROLES.values() for permission in allowed(role)}
    on_uploads = {permission for permission in everything if " on UploadsBucket" in permission}

    assert {permission.split(" ")[0] for permission in on_uploads} == {"s3:GetObject", "s3:ListBucket"}
    assert not {
        permission for permission in everything if permission.startswith("s3:") and permission.endswith(" on *")
    }


def test_only_the_status_api_may_invoke_a_function_from_outside():
    (permission,) = of_type("AWS::Lambda::Permission").values()

    assert text(permission["FunctionName"]) == "StatusFunction"
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${ImageStatusApi}/*/GET/images/*")
