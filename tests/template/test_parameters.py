"""What a user can set: described, safe by default, and refused by CloudFormation when it cannot work."""

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
def test_every_parameter_is_described_and_its_default_accepted(name: str):
    parameter = PARAMETERS[name]

    assert parameter["Description"]
    assert any(constraint in parameter for constraint in CONSTRAINTS)
    assert accepts(parameter, str(parameter["Default"]))
    if "AllowedPattern" in parameter:
        assert parameter["ConstraintDescription"].startswith("must be ")


def test_every_parameter_is_offered_in_a_group_once():
    groups = source()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(PARAMETERS)


KEY = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
NO_KEYS = (KEY.rpartition("/")[2], "arn:aws:kms:us-east-1:111122223333:alias/uploads", "*")


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        (
            "NotificationEmail",
            ("", "ann@example.com", "ann.lee+images@mail.example.co.uk"),
            ("ann", "ann@", "@example.com", "ann@example", "ann lee@example.com", "a@b@example.com"),
        ),
        (
            "WebhookUrl",
            ("", "https://example.com", "https://hooks.example.com:8443/images?stack=a&b=%20"),
            (
                *("http://example.com/images", "https://user:password@example.com/", "https://localhost/"),
                *("https://example.com/a b", "https://", "example.com"),
            ),
        ),
        ("UploadsKmsKeyArn", ("", KEY), NO_KEYS),
        ("TopicsKmsKeyArn", ("", KEY), NO_KEYS),
    ],
)
def test_a_pattern_accepts_what_works_alone(name: str, accepted: tuple[str, ...], refused: tuple[str, ...]):
    assert [value for value in accepted if not accepts(PARAMETERS[name], value)] == []
    assert [value for value in refused if accepts(PARAMETERS[name], value)] == []


def test_renditions_are_checked_by_the_pattern_that_the_code_publishes():
    assert PARAMETERS["Renditions"]["AllowedPattern"] == renditions.ALLOWED_PATTERN
    assert PARAMETERS["Renditions"]["Default"] == renditions.DEFAULT


def test_no_mail_is_sent_unless_an_address_is_given():
    assert "NotificationsMail" not in Deployment().resources
    assert (
        Deployment(NotificationEmail="ann@example.com").resources["NotificationsMail"]["Endpoint"] == "ann@example.com"
    )


def test_all_outcomes_are_mailed_unless_failures_alone_are_chosen():
    everything = Deployment(NotificationEmail="ann@example.com").resources["NotificationsMail"]
    failures = Deployment(NotificationEmail="ann@example.com", NotifyOn="failures").resources["NotificationsMail"]

    assert "FilterPolicy" not in everything
    assert failures["FilterPolicy"] == {"processing_status": ["FAILURE", "HELD"]}


def test_a_quarantine_differs_from_recording_in_one_setting():
    recorded, held = (Deployment(Moderation=mode).resources for mode in ("record", "quarantine"))

    different = {name for name in recorded if recorded[name] != held[name]}
    assert different == {"MetadataFunction", "StoreFunction", "ImagePipeline"}
    for function in ("MetadataFunction", "StoreFunction"):
        assert held[function]["Environment"]["Variables"]["MODERATION"] == "quarantine"
    assert held["ImagePipeline"]["DefinitionSubstitutions"]["Moderation"] == "quarantine"


@pytest.mark.parametrize("architecture", PARAMETERS["Architecture"]["AllowedValues"])
def test_functions_and_layers_are_of_the_chosen_architecture(architecture: str):
    deployment = Deployment(Architecture=architecture)
    created = {name: properties for name, properties in deployment.resources.items() if "Layer" in name}

    assert deployment.functions["Architectures"] == [architecture]
    assert {layer["Ref"] for layer in deployment.functions["Layers"]} == created.keys()
    assert len(created) == 2
    assert all(layer["CompatibleArchitectures"] == [architecture] for layer in created.values())


@pytest.mark.parametrize("resource", of_type("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic"))
def test_plain_http_is_refused_except_on_the_local_run(resource: str):
    everything, policy = {"WebhookUrl": "https://example.com/images", "MonthlyBudget": "100"}, f"{resource}Policy"
    *_, refusal = Deployment(**everything).resources[policy]["PolicyDocument"]["Statement"]
    locally = Deployment(**everything, RequireTls="false").resources.get(policy, {"PolicyDocument": {"Statement": []}})

    assert (refusal["Effect"], refusal["Principal"]) == ("Deny", "*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {text(on).partition("/")[0] for on in listed(refusal["Resource"])} == {resource}
    assert refusal not in locally["PolicyDocument"]["Statement"]
    assert "Deny" not in [statement["Effect"] for statement in locally["PolicyDocument"]["Statement"]]


@pytest.mark.parametrize(
    ("location", "authorization", "accepted"),
    [("false", "NONE", True), ("false", "AWS_IAM", True), ("true", "AWS_IAM", True), ("true", "NONE", False)],
)
def test_an_open_endpoint_refuses_to_record_locations(location: str, authorization: str, accepted: bool):
    refusals = Deployment(RecordLocation=location, ApiAuthorization=authorization).refusals

    assert (refusals == []) == accepted
    assert all("ApiAuthorization=AWS_IAM" in refusal for refusal in refusals)


# ----------------------------------------------------------------------------------------------------- environment


@pytest.mark.parametrize("function", of_type("AWS::Lambda::Function"))
def test_a_function_has_exactly_the_settings_that_its_code_reads(function: str):
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
