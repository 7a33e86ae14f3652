"""What a user can set: described, safe when left alone, and refused by CloudFormation when it can't work."""

import ast
import re
from pathlib import Path

import pytest

from imagepipeline import renditions
from tests.template.stack import REPOSITORY, Deployment, listed, of_type, source, text

PARAMETERS = source()["Parameters"]
CONSTRAINTS = ("AllowedPattern", "AllowedValues", "MinValue", "MaxValue")
LAYER = REPOSITORY / "layers" / "pipeline" / "src"
# Read by the C library, Pillow and Powertools, not by us.
NOT_OURS = {
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "PILLOW_BLOCKS_MAX",
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_LOGGER_SAMPLE_RATE",
}


def accepts(parameter: dict, value: str) -> bool:
    """Whether CloudFormation takes the value."""
    return (
        re.fullmatch(parameter.get("AllowedPattern", ".*"), value) is not None
        and value in map(str, parameter.get("AllowedValues", [value]))
        and (parameter["Type"] != "Number" or parameter.get("MinValue", 0) <= float(value))
        and (parameter["Type"] != "Number" or float(value) <= parameter.get("MaxValue", float("inf")))
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_is_described_and_has_a_default_within_its_limits(name: str):
    parameter = PARAMETERS[name]

    assert parameter["Description"]
    assert any(constraint in parameter for constraint in CONSTRAINTS)
    assert accepts(parameter, str(parameter["Default"]))


def test_every_parameter_is_offered_in_a_group_once():
    groups = source()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(PARAMETERS)


@pytest.mark.parametrize("address", ["", "ann@example.com", "ann.lee+images@mail.example.co.uk"])
def test_an_address_or_none_is_taken(address: str):
    assert accepts(PARAMETERS["NotificationEmail"], address)


@pytest.mark.parametrize(
    "address", ["ann", "ann@", "@example.com", "ann@example", "ann lee@example.com", "a@b@example.com"]
)
def test_what_is_no_address_is_refused(address: str):
    assert not accepts(PARAMETERS["NotificationEmail"], address)


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("", True),
        ("https://example.com", True),
        ("https://hooks.example.com:8443/images?stack=a&b=%20", True),
        ("http://example.com/images", False),
        ("https://user:password@example.com/", False),
        ("https://localhost/", False),
        ("https://example.com/a b", False),
        ("https://", False),
        ("example.com", False),
    ],
)
def test_a_webhook_has_an_https_address(url: str, taken: bool):
    assert accepts(PARAMETERS["WebhookUrl"], url) == taken


def test_renditions_are_checked_by_the_pattern_that_the_code_publishes():
    assert PARAMETERS["Renditions"]["AllowedPattern"] == renditions.ALLOWED_PATTERN
    assert PARAMETERS["Renditions"]["Default"] == renditions.DEFAULT


PATTERNS = [name for name, parameter in PARAMETERS.items() if "AllowedPattern" in parameter]


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_says_in_words_what_it_wants(name: str):
    assert PARAMETERS[name]["ConstraintDescription"].startswith("must be ")


@pytest.mark.parametrize("name", ["UploadsKmsKeyArn", "TopicsKmsKeyArn"])
def test_a_key_is_named_by_its_arn_alone(name: str):
    key = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"

    assert accepts(PARAMETERS[name], "")
    assert accepts(PARAMETERS[name], key)
    assert not accepts(PARAMETERS[name], key.rpartition("/")[2])
    assert not accepts(PARAMETERS[name], "arn:aws:kms:us-east-1:111122223333:alias/uploads")
    assert not accepts(PARAMETERS[name], "*")


def test_nobody_is_mailed_unless_an_address_is_given():
    assert "NotificationsMail" not in Deployment().resources
    assert (
        Deployment(NotificationEmail="ann@example.com").resources["NotificationsMail"]["Endpoint"] == "ann@example.com"
    )


def test_all_outcomes_are_mailed_unless_failures_alone_are_wanted():
    everything = Deployment(NotificationEmail="ann@example.com").resources["NotificationsMail"]
    failures = Deployment(NotificationEmail="ann@example.com", NotifyOn="failures").resources["NotificationsMail"]

    assert "FilterPolicy" not in everything
    assert failures["FilterPolicy"] == {"processing_status": ["FAILURE", "HELD"]}


def test_a_quarantine_differs_from_recording_only_in_what_is_done_with_the_findings():
    recorded, held = (Deployment(Moderation=mode).resources for mode in ("record", "quarantine"))

    different = {name for name in recorded if recorded[name] != held[name]}
    assert different == {"MetadataFunction", "StoreFunction", "ImagePipeline"}
    for function in ("MetadataFunction", "StoreFunction"):
        assert held[function]["Environment"]["Variables"]["MODERATION"] == "quarantine"
    assert held["ImagePipeline"]["DefinitionSubstitutions"]["Moderation"] == "quarantine"


@pytest.mark.parametrize("architecture", PARAMETERS["Architecture"]["AllowedValues"])
def test_functions_and_all_their_layers_are_of_the_chosen_architecture(architecture: str):
    deployment = Deployment(Architecture=architecture)
    created = {name: properties for name, properties in deployment.resources.items() if "Layer" in name}

    assert deployment.functions["Architectures"] == [architecture]
    assert {layer["Ref"] for layer in deployment.functions["Layers"]} == created.keys()
    assert len(created) == 2
    assert all(layer["CompatibleArchitectures"] == [architecture] for layer in created.values())


TLS_ONLY = {
    "UploadsBucketPolicy": "UploadsBucket",
    "ThumbnailsBucketPolicy": "ThumbnailsBucket",
    "UndeliveredEventsQueuePolicy": "UndeliveredEventsQueue",
    "UndeliveredWebhooksQueuePolicy": "UndeliveredWebhooksQueue",
    "UnindexedChangesQueuePolicy": "UnindexedChangesQueue",
    "NotificationsTopicPolicy": "NotificationsTopic",
    "AlarmsTopicPolicy": "AlarmsTopic",
    "PausedUploadsQueuePolicy": "PausedUploadsQueue",
    "BudgetTopicPolicy": "BudgetTopic",
}


@pytest.mark.parametrize(("policy", "resource"), TLS_ONLY.items())
def test_plain_http_is_refused_unless_the_local_run_asks_for_it(policy: str, resource: str):
    webhook = "https://example.com/images"
    *_, refusal = Deployment(WebhookUrl=webhook, MonthlyBudget="100").resources[policy]["PolicyDocument"]["Statement"]
    locally = Deployment(WebhookUrl=webhook, MonthlyBudget="100", RequireTls="false").resources.get(
        policy, {"PolicyDocument": {"Statement": []}}
    )

    assert (refusal["Effect"], refusal["Principal"]) == ("Deny", "*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {text(on).partition("/")[0] for on in listed(refusal["Resource"])} == {resource}
    assert refusal not in locally["PolicyDocument"]["Statement"]
    assert "Deny" not in [statement["Effect"] for statement in locally["PolicyDocument"]["Statement"]]


def test_whatever_takes_a_policy_takes_no_plain_http():
    can_refuse = of_type("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic")

    assert set(TLS_ONLY.values()) == can_refuse.keys()


@pytest.mark.parametrize(
    ("location", "authorization", "accepted"),
    [("false", "NONE", True), ("false", "AWS_IAM", True), ("true", "AWS_IAM", True), ("true", "NONE", False)],
)
def test_locations_are_not_recorded_behind_an_open_endpoint(location: str, authorization: str, accepted: bool):
    refusals = Deployment(RecordLocation=location, ApiAuthorization=authorization).refusals

    assert (refusals == []) == accepted
    assert all("ApiAuthorization=AWS_IAM" in refusal for refusal in refusals)


# ----------------------------------------------------------------------------------------------------- environment


@pytest.mark.parametrize("function", of_type("AWS::Lambda::Function"))
def test_a_function_is_given_exactly_the_settings_that_its_code_reads(function: str):
    given = of_type("AWS::Lambda::Function")[function]["Environment"]["Variables"].keys() - NOT_OURS
    code = REPOSITORY / source()["Resources"][function]["Properties"]["CodeUri"] / "app.py"

    assert given == settings_read_by(code)


def settings_read_by(code: Path) -> set[str]:
    """Names that a module, or one of ours that it imports, hands to `config`."""
    seen, pending, names = set(), [code], set()
    while pending:
        file = pending.pop()
        if file in seen:
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="config")), args=[ast.Constant(value=name), *_]):
                    names.add(name)
                case ast.ImportFrom(module=str(module), names=imported) if module.startswith("imagepipeline"):
                    pending += modules(module, *(f"{module}.{alias.name}" for alias in imported))
    return names


def modules(*names: str) -> list[Path]:
    """Files of those names that are modules."""
    paths = [LAYER / name.replace(".", "/") for name in names]
    files = [path.with_suffix(".py") for path in paths] + [path / "__init__.py" for path in paths]
    return [file for file in files if file.is_file()]
