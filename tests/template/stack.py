"""The template as CloudFormation sees it: after the SAM transform. For given parameters, see `Deployment`."""

import copy
import json
import os
import re
from functools import cache
from pathlib import Path
from unittest import mock

from bench.template import Deployment, source

REPOSITORY = Path(__file__).parents[2]
CODE = ("CodeUri", "ContentUri", "DefinitionUri")


def definition(machine: str, workflow: str = "STANDARD") -> dict:
    """A state machine's definition in statemachine/, with the states where a workflow of this type begins and ends."""
    text = (REPOSITORY / "statemachine" / f"{machine}.asl.json").read_text()
    deployment = Deployment(WorkflowType=workflow)
    for name, value in deployment.resources["ImagePipeline"]["DefinitionSubstitutions"].items():
        if isinstance(value, str):
            text = text.replace(f"${{{name}}}", value)
    return json.loads(text)


@cache
def transformed() -> dict:
    """What SAM makes of template.yaml, with all the resources that it generates."""
    from samtranslator.translator.transform import transform  # takes long to import

    packaged = copy.deepcopy(source())
    for resource in packaged["Resources"].values():
        properties = resource.get("Properties", {})
        properties.update({name: "s3://bucket/key" for name in CODE if name in properties})
    parameters = {name: parameter["Default"] for name, parameter in source()["Parameters"].items()}
    with mock.patch.dict(os.environ, AWS_DEFAULT_REGION="us-east-1"):
        return transform(packaged, parameters, mock.Mock(load=dict))


def of_type(*types: str) -> dict[str, dict]:
    """Properties of every resource of these types, generated ones included, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in transformed()["Resources"].items()
        if resource["Type"] in types
    }


def text(value: object) -> str:
    """A reference as one would say it: `ImagesTable`, `UploadsBucket/uploads/*`."""
    match value:
        case {"Ref": name}:
            return name
        case {"Fn::GetAtt": [name, "Arn" | "QueueName"]}:
            return name
        case {"Fn::GetAtt": [name, "StreamArn"]}:
            return f"{name}/stream"
        case {"Fn::Sub": str(pattern)}:
            return re.sub(r"\$\{(\w+)(\.Arn)?}", r"\1", pattern)
    assert isinstance(value, str), value
    return value


def listed(value: object) -> list:
    """IAM and CloudFormation take one thing or a list of them."""
    return value if isinstance(value, list) else [value]


def folder_of(function: str) -> str:
    """The folder and sample event of a function: "ThumbnailsFunction" is in functions/thumbnails."""
    return re.sub("(?<!^)(?=[A-Z])", "_", function.removesuffix("Function")).lower()
