"""House rules on what is deployed, held against what the SAM transform makes of the template."""

import json
import re
from datetime import UTC, datetime

import pytest
from ministack.services import eventbridge
from moto.events.models import EventPattern

from imagepipeline import errors, records
from imagepipeline.models import Execution, Upload
from tests.template.stack import REPOSITORY, Deployment, folder_of, listed, of_type, source, text, transformed

FUNCTIONS = of_type("AWS::Lambda::Function")
STATE_MACHINES = of_type("AWS::StepFunctions::StateMachine")
# Step Functions does not count an execution that it ends for its time as failed.
TIMED_STATE_MACHINES = [
    name
    for name in STATE_MACHINES
    if "TimeoutSeconds"
    in (REPOSITORY / source()["Resources"][name]["Properties"]["DefinitionUri"]).read_text().partition('"States"')[0]
]
RULES = {name: rule for name, rule in of_type("AWS::Events::Rule").items() if "EventPattern" in rule}
DEAD_LETTER_QUEUES = sorted(of_type("AWS::SQS::Queue").keys() - {"PausedUploadsQueue"})
BUCKETS = of_type("AWS::S3::Bucket")
LOG_GROUPS = of_type("AWS::Logs::LogGroup")
# Names that are of no account's or Region's namespace: a stage's is its API's own, and an inline policy's its role's;
# layers of a name have versions, and metrics are AWS's.
SCOPED_NAMES = {"StageName", "PolicyName", "LayerName", "MetricName"}


def test_no_resource_has_a_name_that_a_second_stack_needs():
    for resource in transformed()["Resources"].values():
        properties = resource.get("Properties", {})
        names = [value for key, value in properties.items() if key.endswith("Name") and key not in SCOPED_NAMES]
        for value in names:
            assert isinstance(value, dict), f"{value} is fixed"
            assert "Ref" in value or "${AWS::StackName}" in value["Fn::Sub"]


def test_logs_expire_when_the_user_chose_and_share_no_name():
    names = [text(group["LogGroupName"]) for group in LOG_GROUPS.values()]

    assert len(set(names)) == len(names)
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in LOG_GROUPS.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_log_group_of_the_template(name: str):
    assert text(FUNCTIONS[name]["LoggingConfig"]["LogGroup"]) in LOG_GROUPS


@pytest.mark.parametrize("name", STATE_MACHINES)
def test_a_state_machines_log_contains_every_error(name: str):
    logging = STATE_MACHINES[name]["LoggingConfiguration"]
    groups = [text(target["CloudWatchLogsLogGroup"]["LogGroupArn"]) for target in logging["Destinations"]]

    assert logging["Level"] != "OFF"
    assert set(groups) <= LOG_GROUPS.keys()
    assert groups


def test_the_apis_access_log_is_json():
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()

    assert text(stage["AccessLogSettings"]["DestinationArn"]) in LOG_GROUPS
    assert json.loads(stage["AccessLogSettings"]["Format"])["status"] == "$context.status"


@pytest.mark.parametrize(("wanted", "mode"), [("true", "Active"), ("false", "PassThrough")])
def test_functions_and_state_machines_are_traced_on_request(wanted: str, mode: str):
    resources = Deployment(TraceRequests=wanted).resources

    assert all(
        resources[name]["Tracing"] == {"Enabled": wanted == "true"} for name in ("ImagePipeline", "Housekeeping")
    )
    assert Deployment(TraceRequests=wanted)._decided(source()["Globals"]["Function"]["Tracing"]) == mode


def test_every_region_has_what_is_deployed_by_default():
    # Takes longer to import than the other tests to run.
    from cfnlint.helpers import REGIONS
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    # CloudFormation refuses a template with an unknown type, unless a condition leaves the resource out.
    deployed = {source()["Resources"][name]["Type"] for name in Deployment().resources}
    deployed = {kind.replace("AWS::Serverless::StateMachine", "AWS::StepFunctions::StateMachine") for kind in deployed}
    deployed = {kind.replace("AWS::Serverless::", "AWS::Lambda::") for kind in deployed}

    missing = {region: deployed - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region)) for region in REGIONS}

    assert not {region: kinds for region, kinds in missing.items() if kinds}


# ------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("name", RULES)
def test_an_undelivered_event_is_retried_for_a_day_and_kept(name: str):
    for target in RULES[name]["Targets"]:
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
        assert text(target["DeadLetterConfig"]["Arn"]) == "UndeliveredEventsQueue"
        assert text(target["Arn"]) in STATE_MACHINES


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue").values(), ids=of_type("AWS::SQS::Queue"))
def test_a_queue_is_encrypted_and_keeps_messages_for_two_weeks(queue: dict):
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 60 * 60
    assert queue["SqsManagedSseEnabled"] is True


@pytest.mark.parametrize(
    ("queue", "service", "sources"),
    [
        ("UndeliveredEventsQueue", "events.amazonaws.com", set(RULES)),
        ("PausedUploadsQueue", "events.amazonaws.com", {"UploadsRule"}),
        ("UndeliveredWebhooksQueue", "sns.amazonaws.com", {"NotificationsTopic"}),
    ],
)
def test_only_the_service_that_delivers_may_send_to_a_queue(queue: str, service: str, sources: set[str]):
    policy = of_type("AWS::SQS::QueuePolicy")[f"{queue}Policy"]
    statement, _ = policy["PolicyDocument"]["Statement"]

    assert list(map(text, policy["Queues"])) == [queue]
    assert statement["Principal"] == {"Service": service}
    assert statement["Action"] == "sqs:SendMessage"
    assert text(statement["Resource"]) == queue
    assert statement["Condition"].keys() == {"ArnEquals"}
    assert {text(source) for source in listed(statement["Condition"]["ArnEquals"]["aws:SourceArn"])} == sources


def test_a_webhook_is_retried_for_an_hour_and_its_events_kept():
    webhook = Deployment(WebhookUrl="https://example.com/images").resources["NotificationsWebhook"]

    retries = webhook["DeliveryPolicy"]["healthyRetryPolicy"]
    assert (webhook["Protocol"], webhook["Endpoint"]) == ("https", "https://example.com/images")
    assert webhook["RawMessageDelivery"] is False  # raw messages are not signed
    assert retries["numRetries"] >= 10
    # SNS refuses a policy that takes longer than an hour.
    assert retries["numRetries"] * retries["maxDelayTarget"] <= 60 * 60
    assert text(webhook["RedrivePolicy"]["deadLetterTargetArn"]) == "UndeliveredWebhooksQueue"


def test_nothing_of_a_webhook_is_deployed_without_one():
    without = Deployment().resources.keys()
    added = Deployment(WebhookUrl="https://example.com/images").resources.keys() - without

    assert added == {
        "NotificationsWebhook",
        "UndeliveredWebhooksQueue",
        "UndeliveredWebhooksQueuePolicy",
        "UndeliveredWebhooksAlarm",
    }


# ------------------------------------------------------------------------------------------------------------- budget


def test_a_spent_budget_notifies_the_topic_that_pauses_the_pipeline():
    budget = Deployment(MonthlyBudget="100").resources["Budget"]

    [notification] = budget["NotificationsWithSubscribers"]
    assert budget["Budget"]["BudgetLimit"] == {"Amount": "100", "Unit": "USD"}
    assert notification["Notification"].items() >= {"NotificationType": "ACTUAL", "Threshold": 100}.items()
    [subscriber] = notification["Subscribers"]  # AWS Budgets accepts one topic
    assert (subscriber["SubscriptionType"], text(subscriber["Address"])) == ("SNS", "BudgetTopic")
    assert Deployment(MonthlyBudget="100").resources["BudgetSubscription"]["Protocol"] == "lambda"


def test_a_mail_is_sent_before_and_when_the_budget_is_spent():
    deployment = Deployment(MonthlyBudget="100", NotificationEmail="ann@example.com")
    warning, spent = deployment.resources["Budget"]["NotificationsWithSubscribers"]

    mail = {"SubscriptionType": "EMAIL", "Address": "ann@example.com"}
    assert warning["Notification"]["Threshold"] == 80
    assert warning["Subscribers"] == [mail]
    assert mail in spent["Subscribers"]  # whether or not the pipeline could be paused
    assert len(spent["Subscribers"]) == 2


def test_the_budget_counts_the_stack_and_what_has_no_tags():
    expression = Deployment(MonthlyBudget="100").resources["Budget"]["Budget"]["FilterExpression"]

    tags, service = expression["Or"]
    assert tags["Tags"] == {"Key": "aws:cloudformation:stack-name", "Values": [{"Ref": "AWS::StackName"}]}
    assert service["Dimensions"] == {"Key": "SERVICE", "Values": ["Amazon Rekognition"]}


def test_nothing_of_a_budget_is_deployed_without_one():
    added = Deployment(MonthlyBudget="100").resources.keys() - Deployment().resources.keys()

    prefixed = {name for name in source()["Resources"] if name.startswith(("Budget", "Pause"))}
    of_every_stack = {name for name in prefixed if name.startswith("Paused")}
    assert added == prefixed - of_every_stack | {"FailedPauseAlarm"}


def test_uploads_that_wait_are_reported_days_before_they_are_lost():
    alarm = Deployment().resources["PausedUploadsAlarm"]
    queue = Deployment().resources["PausedUploadsQueue"]

    assert (alarm["MetricName"], text(alarm["Dimensions"][0]["Value"])) == (
        "ApproximateAgeOfOldestMessage",
        "PausedUploadsQueue",
    )
    assert alarm["Threshold"] + 3 * 24 * 60 * 60 <= queue["MessageRetentionPeriod"]


# ------------------------------------------------------------------------------------------------------------- alarms


@pytest.mark.parametrize(
    ("namespace", "metric", "dimension", "of"),
    [("AWS/States", "ExecutionsFailed", "StateMachineArn", name) for name in STATE_MACHINES]
    + [("AWS/States", "ExecutionsTimedOut", "StateMachineArn", name) for name in TIMED_STATE_MACHINES]
    + [("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name) for name in DEAD_LETTER_QUEUES]
    + [("AWS/Lambda", "Errors", "FunctionName", "PauseFunction")],
)
def test_a_failure_that_no_image_reports_raises_an_alarm(namespace, metric, dimension, of):
    [alarm] = [
        alarm
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if [(one["Name"], text(one["Value"])) for one in alarm.get("Dimensions", [])] == [(dimension, of)]
        and (alarm["Namespace"], alarm["MetricName"]) == (namespace, metric)
    ]

    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["Statistic"] == ("Maximum" if namespace == "AWS/SQS" else "Sum")


@pytest.mark.parametrize("alarm", of_type("AWS::CloudWatch::Alarm").values(), ids=of_type("AWS::CloudWatch::Alarm"))
def test_an_alarm_reaches_operators_and_is_silent_without_events(alarm: dict):
    assert [text(action) for action in alarm["AlarmActions"]] == ["AlarmsTopic"]
    # Sweeps always report a number, so that one without a number has failed.
    assert alarm["TreatMissingData"] == ("breaching" if alarm["MetricName"] == "StuckRecords" else "notBreaching")
    assert ("Statistic" in alarm) != ("ExtendedStatistic" in alarm)
    # CloudWatch looks back no more than a day for periods of less than an hour.
    assert all(alarm["Period"] * periods <= 24 * 60 * 60 for periods in decided(alarm["EvaluationPeriods"]))


def decided(value: int | dict) -> list[int]:
    """The values of a property for which a condition may decide."""
    return value["Fn::If"][1:] if isinstance(value, dict) else [value]


@pytest.mark.parametrize(("workflow", "minutes"), [("STANDARD", 60), ("EXPRESS", 15)])
def test_stuck_uploads_and_missing_sweeps_raise_an_alarm(workflow: str, minutes: int):
    resources = Deployment(WorkflowType=workflow).resources
    alarm, rule = resources["StuckRecordsAlarm"], resources["SweepRule"]

    every = int(re.fullmatch(r"rate\((\d+) minutes?\)", rule["ScheduleExpression"])[1])
    assert every * 60 <= alarm["Period"]  # else a sweep would seem to be missing
    assert alarm["Period"] * alarm["EvaluationPeriods"] == minutes * 60
    assert (alarm["Statistic"], alarm["Threshold"], alarm["TreatMissingData"]) == ("Minimum", 0, "breaching")
    assert resources["SweepFunction"]["Environment"]["Variables"]["WORKFLOW_TYPE"] == workflow


NOT_A_FAULT = {
    *(error.__name__ for error in errors.ImageRejected.__subclasses__()),
    *("FolderMarker", "UploadReplaced", "UploadGone", "Superseded"),
    *("RekognitionThrottled", "Lambda.TooManyRequestsException"),  # which have alarms of their own
}


@pytest.mark.parametrize("machine", ["ImagePipeline", "Housekeeping"])
def test_rejections_and_quotas_are_no_errors_of_functions(machine: str):
    filters = of_type("AWS::Logs::MetricFilter")[f"{machine}ErrorsFilter"]

    excluded = set(re.findall(r'\$\.details\.error != "([\w.]+)"', filters["FilterPattern"]))
    [transformation] = filters["MetricTransformations"]
    alarm = of_type("AWS::CloudWatch::Alarm")["FunctionErrorsAlarm"]

    raised = NOT_A_FAULT if machine == "ImagePipeline" else {"Lambda.TooManyRequestsException"}
    assert excluded == raised
    assert text(filters["LogGroupName"]) == f"{machine}Logs"
    assert (transformation["MetricNamespace"], transformation["MetricName"]) == (
        alarm["Namespace"],
        alarm["MetricName"],
    )


def test_metrics_of_the_functions_are_those_that_alarms_watch():
    watched = {
        alarm["MetricName"]
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "ImagePipeline"
    }
    sources = [*REPOSITORY.glob("functions/*/app.py"), *REPOSITORY.glob("layers/pipeline/src/imagepipeline/*.py")]
    code = "".join(source.read_text() for source in sources)

    assert watched
    assert all(f'"{name}"' in code for name in watched)


def test_the_latency_alarm_can_be_left_out():
    assert "LatencyAlarm" not in Deployment(LatencyAlarmSeconds="0").resources


def s3_event(kind: str, key: str, bucket: str = "uploads") -> dict:
    """S3's event, as its documentation shows it."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-12T00:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": 5,
                "etag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def execution_event(machine: str, status: str) -> dict:
    """Step Functions' event, as its documentation shows it, shortened."""
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "111122223333",
        "time": "2026-02-26T19:42:21Z",
        "region": "us-east-1",
        "resources": ["arn:aws:states:us-east-1:111122223333:execution:state-machine-name:execution-name"],
        "detail": {"stateMachineArn": machine, "status": status, "input": "{}", "output": None},
    }


PHYSICAL_IDS = {"UploadsBucket": "uploads", "ImagePipeline": "pipeline"}


def moto_says(pattern: str, event: dict) -> bool:
    return EventPattern.load(pattern).matches_event(event)


def ministack_says(pattern: str, event: dict) -> bool:
    status, _, body = eventbridge._test_event_pattern({"EventPattern": pattern, "Event": json.dumps(event)})
    assert status == 200, body
    return json.loads(body)["Result"]


@pytest.mark.parametrize("opinion", [moto_says, ministack_says])
@pytest.mark.parametrize(
    ("event", "rules"),
    [
        pytest.param(s3_event("Object Created", "uploads/cat.jpg"), {"UploadsRule"}, id="upload"),
        pytest.param(s3_event("Object Created", "uploads/2026/a b+c%20.jpg"), {"UploadsRule"}, id="odd upload"),
        pytest.param(s3_event("Object Created", "thumbnails/cat.jpg"), set(), id="elsewhere in the bucket"),
        pytest.param(s3_event("Object Created", "my/uploads/cat.jpg"), set(), id="in another folder of that name"),
        pytest.param(s3_event("Object Created", "Uploads/cat.jpg"), set(), id="in a folder spelled otherwise"),
        pytest.param(s3_event("Object Created", "uploads2/cat.jpg"), set(), id="in a folder that begins alike"),
        pytest.param(s3_event("Object Created", "uploads/cat.jpg", "another"), set(), id="in another bucket"),
        pytest.param(s3_event("Object Tags Added", "uploads/cat.jpg"), set(), id="tags"),
        pytest.param(s3_event("Object Deleted", "uploads/cat.jpg"), {"DeletionsRule"}, id="deletion"),
        pytest.param(s3_event("Object Deleted", "elsewhere/cat.jpg"), set(), id="deletion elsewhere"),
        pytest.param(execution_event("pipeline", "FAILED"), {"EarlyEndsRule"}, id="failed execution"),
        pytest.param(execution_event("pipeline", "TIMED_OUT"), {"EarlyEndsRule"}, id="execution out of time"),
        pytest.param(execution_event("pipeline", "ABORTED"), {"EarlyEndsRule"}, id="aborted execution"),
        pytest.param(execution_event("pipeline", "RUNNING"), set(), id="started execution"),
        pytest.param(execution_event("pipeline", "SUCCEEDED"), set(), id="succeeded execution"),
        pytest.param(execution_event("another", "FAILED"), set(), id="execution of another state machine"),
    ],
)
def test_each_rule_takes_its_own_events_and_no_others(event: dict, rules: set[str], opinion):
    assert {name for name in RULES if opinion(pattern_of(name), event)} == rules


@pytest.mark.parametrize("opinion", [moto_says, ministack_says])
@pytest.mark.parametrize(
    ("choice", "reason", "followed"),
    [
        ("remove", "Lifecycle Expiration", True),
        ("remove", "DeleteObject", True),
        ("keep", "Lifecycle Expiration", False),
        ("keep", "DeleteObject", True),
    ],
)
def test_an_expired_upload_is_removed_unless_its_results_are_kept(choice: str, reason: str, followed: bool, opinion):
    event = s3_event("Object Deleted", "uploads/cat.jpg")
    event["detail"] |= {"reason": reason, "deletion-type": "Permanently Deleted"}

    assert opinion(pattern_of("DeletionsRule", OnExpiredUpload=choice), event) is followed


def pattern_of(rule: str, **parameters: str) -> str:
    """A rule's event pattern as deployed."""
    pattern = json.dumps(Deployment(**parameters).resources[rule]["EventPattern"])
    for logical, physical in PHYSICAL_IDS.items():
        pattern = pattern.replace(json.dumps({"Ref": logical}), json.dumps(physical))
    return pattern


def test_the_uploads_bucket_alone_sends_events():
    """Renditions that started executions would never end."""
    assert BUCKETS["UploadsBucket"]["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    assert "NotificationConfiguration" not in BUCKETS["ThumbnailsBucket"]


# ------------------------------------------------------------------------------------------------------------ privacy


@pytest.mark.parametrize("name", BUCKETS)
def test_a_bucket_is_private(name: str):
    bucket = BUCKETS[name]

    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_users_data_alone_survives_the_stack():
    kept = {name: resource for name, resource in source()["Resources"].items() if "DeletionPolicy" in resource}

    assert kept.keys() == {"UploadsBucket", "ThumbnailsBucket", "ImagesTable"}  # all else can be derived again
    for resource in kept.values():
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"


def test_the_table_is_protected_from_deletion_on_request():
    assert Deployment().resources["ImagesTable"]["DeletionProtectionEnabled"] is False
    assert Deployment(DeletionProtection="true").resources["ImagesTable"]["DeletionProtectionEnabled"] is True


def test_uploads_are_versioned_on_request():
    versioned = Deployment(VersionedUploads="true").resources["UploadsBucket"]

    assert "VersioningConfiguration" not in Deployment().resources["UploadsBucket"]
    assert versioned["VersioningConfiguration"] == {"Status": "Enabled"}


def test_topics_are_encrypted_with_a_key_that_the_publisher_may_use():
    key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    plain, encrypted = Deployment().resources, Deployment(TopicsKmsKeyArn=key).resources
    topics = of_type("AWS::SNS::Topic").keys() - {"BudgetTopic"}  # holds nothing of users

    assert all("KmsMasterKeyId" not in plain[name] for name in topics)
    assert all(encrypted[name]["KmsMasterKeyId"] == key for name in topics)
    [statement] = only_in(encrypted["ImagePipelineRole"], plain["ImagePipelineRole"])
    assert (statement["Action"], statement["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey*"], key)


def only_in(role: dict, other: dict) -> list[dict]:
    """The statements of a role that another one lacks."""
    lists = [one["Policies"][0]["PolicyDocument"]["Statement"] for one in (role, other)]
    return [statement for statement in lists[0] if statement not in lists[1]]


def test_bucket_policies_only_forbid():
    policies = of_type("AWS::S3::BucketPolicy").values()

    statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]

    assert statements
    assert {statement["Effect"] for statement in statements} == {"Deny"}


ROUTES = of_type("AWS::ApiGatewayV2::Route")
STATUS_ROUTES = {name for name in ROUTES if name.startswith("ImageStatus")}


@pytest.mark.parametrize("authorization", ["NONE", "AWS_IAM"])
def test_status_routes_and_their_function_have_the_same_authorization(authorization: str):
    resources = Deployment(ApiAuthorization=authorization).resources

    for route in STATUS_ROUTES:
        assert resources[route]["AuthorizationType"] == authorization
    assert resources["StatusFunction"]["Environment"]["Variables"]["API_AUTHORIZATION"] == authorization


@pytest.mark.parametrize("status", ["NONE", "AWS_IAM"])
def test_no_other_route_is_ever_open(status: str):
    signed = Deployment(ApiAuthorization=status).resources
    tokens = Deployment(ApiAuthorization=status, ProductApiAuthorization="JWT").resources

    assert ROUTES.keys() - STATUS_ROUTES
    assert "TokenAuthorizer" not in signed
    for route in ROUTES.keys() - STATUS_ROUTES:
        assert signed[route]["AuthorizationType"] == "AWS_IAM"
        assert "AuthorizerId" not in signed[route]
    # Whoever has a token may upload, and must not release what was uploaded.
    assert tokens["DecideRoute"] == signed["DecideRoute"]
    for route in ROUTES.keys() - STATUS_ROUTES - {"DecideRoute"}:
        assert tokens[route]["AuthorizationType"] == "JWT"
        assert text(tokens[route]["AuthorizerId"]) == "TokenAuthorizer"


@pytest.mark.parametrize(
    ("issuer", "audience", "accepted"),
    [("", "", False), ("https://id", "", False), ("", "a", False), ("https://id", "a", True)],
)
def test_tokens_need_an_issuer_and_an_audience(issuer: str, audience: str, accepted: bool):
    deployment = Deployment(ProductApiAuthorization="JWT", JwtIssuer=issuer, JwtAudience=audience)

    assert (deployment.refusals == []) == accepted
    assert deployment.resources["TokenAuthorizer"]["JwtConfiguration"]["Issuer"] == issuer


def test_pages_of_named_origins_alone_may_call_the_api():
    assert "CorsConfiguration" not in Deployment().resources["ImageStatusApi"]

    cors = Deployment(CorsAllowOrigins="https://app.example.com").resources["ImageStatusApi"]["CorsConfiguration"]

    assert cors["AllowOrigins"] == {"Fn::Split": [",", "https://app.example.com"]}
    assert "AllowCredentials" not in cors
    assert set(cors["AllowMethods"]) == {route["RouteKey"].split(" ")[0] for route in ROUTES.values()}


def test_pages_of_the_named_origins_may_use_the_urls_of_the_api():
    assert all("CorsConfiguration" not in Deployment().resources[bucket] for bucket in BUCKETS)

    resources = Deployment(CorsAllowOrigins="https://app.example.com").resources

    methods = {}
    for bucket in BUCKETS:
        [rule] = resources[bucket]["CorsConfiguration"]["CorsRules"]
        assert rule["AllowedOrigins"] == {"Fn::Split": [",", "https://app.example.com"]}
        methods[bucket] = rule["AllowedMethods"]
    assert methods == {"UploadsBucket": ["POST", "PUT"], "ThumbnailsBucket": ["GET"]}


def test_the_stage_limits_each_route_and_waits_for_it():
    stage = source()["Resources"]["ImageStatusStage"]
    limited = stage["Properties"]["RouteSettings"]

    routes = {name: properties["RouteKey"] for name, properties in ROUTES.items() if name not in STATUS_ROUTES}
    assert limited.keys() == set(routes.values())
    assert set(stage["DependsOn"]) == routes.keys()


def test_every_record_that_is_written_is_in_the_index():
    [index] = source()["Resources"]["ImagesTable"]["Properties"]["GlobalSecondaryIndexes"]
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    machines = [json.loads(file.read_text()) for file in (REPOSITORY / "statemachine").glob("*.json")]
    arguments = [state.get("Arguments", {}) for machine in machines for state in machine["States"].values()]
    to_table = [writes for writes in arguments if writes.get("TableName") == "${ImagesTable}"]

    items = [writes["Item"] for writes in to_table if "Item" in writes]
    updates = [writes["UpdateExpression"] for writes in to_table if "UpdateExpression" in writes]

    assert items
    assert all(keys <= item.keys() for item in items)
    assert not [update for update in updates if keys & set(re.findall(r"\w+", update.partition("REMOVE")[2]))]
    upload = Upload("bucket", "uploads/a", "etag", 1, "0" * 64, "null", "2026-11-25T14:30:00Z")
    assert keys <= records.completed(upload, Execution("arn", ""), datetime.now(UTC), {}, {}, {}).keys()


def test_the_index_misses_no_change_silently():
    mapping = source()["Resources"]["IndexMapping"]["Properties"]
    alarm = of_type("AWS::CloudWatch::Alarm")["UnindexedChangesAlarm"]

    assert mapping["StartingPosition"] == "TRIM_HORIZON"
    assert mapping["ParallelizationFactor"] == 1
    assert mapping["BisectBatchOnFunctionError"] is True
    assert 0 < mapping["MaximumRetryAttempts"] < 10_000  # a change that always fails must not hold up the others
    assert mapping["BatchSize"] <= 100  # BatchGetItem's limit
    assert text(mapping["DestinationConfig"]["OnFailure"]["Destination"]) == "UnindexedChangesQueue"
    assert text(alarm["Dimensions"][0]["Value"]) == "UnindexedChangesQueue"
    assert of_type("AWS::DynamoDB::Table")["ImagesTable"]["StreamSpecification"] == {
        "StreamViewType": "NEW_AND_OLD_IMAGES"
    }


def test_the_endpoint_is_open_and_throttled_by_default():
    resources = Deployment().resources

    assert resources["ImageStatusRoute"]["AuthorizationType"] == "NONE"
    throttling = resources["ImageStatusStage"]["DefaultRouteSettings"]
    # A new account may run 10 functions at a time; a flood must leave the pipeline half of them.
    assert throttling == {"ThrottlingRateLimit": "5", "ThrottlingBurstLimit": "5"}


# ------------------------------------------------------------------------------------------------------------- contract


def test_what_clients_rely_on_is_an_output():
    promised = {
        "UploadsBucket",
        "ThumbnailsBucket",
        "ImagesTable",
        "NotificationsTopic",
        "ImagePipeline",
        "ImageStatusApiEndpoint",
    }

    assert promised <= source()["Outputs"].keys()
    assert all(output["Description"] for output in source()["Outputs"].values())


def test_every_folder_of_a_function_is_deployed():
    folders = {folder.parent.name for folder in (REPOSITORY / "functions").glob("*/app.py")}

    assert set(map(folder_of, FUNCTIONS)) == folders
