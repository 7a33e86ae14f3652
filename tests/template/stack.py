"""The template as CloudFormation sees it: after the SAM transform, or for given parameters."""

import copy
import json
import os
import re
from functools import cache
from pathlib import Path
from unittest import mock

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

REPOSITORY = Path(__file__).parents[2]
NO_VALUE = {"Ref": "AWS::NoValue"}
CODE = ("CodeUri", "ContentUri", "DefinitionUri")


@cache
def source() -> dict:
    """template.yaml as it is written, every short form of a function spelled out."""
    return yaml_parse((REPOSITORY / "template.yaml").read_text())


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


class Deployment:
    """The template with its conditions decided; parameters that aren't given have their defaults."""

    def __init__(self, **parameters: str) -> None:
        self._parameters = {name: str(said["Default"]) for name, said in source()["Parameters"].items()} | parameters

    @property
    def resources(self) -> dict[str, dict]:
        """Properties of what is created, by logical id."""
        return {
            name: self._decided(resource.get("Properties", {}))
            for name, resource in source()["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }

    @property
    def functions(self) -> dict:
        """Properties that all functions share."""
        return self._decided(source()["Globals"]["Function"])

    @property
    def refusals(self) -> list[str]:
        """Why CloudFormation refuses the parameters: the assertions of Rules that do not hold."""
        return [
            assertion["AssertDescription"]
            for rule in source()["Rules"].values()
            if self._decided(rule.get("RuleCondition", True))
            for assertion in rule["Assertions"]
            if not self._decided(assertion["Assert"])
        ]

    def _holds(self, condition: str) -> bool:
        return self._decided(source()["Conditions"][condition])

    def _decided(self, value: object) -> object:
        """A value without conditions and references to parameters; other functions stay."""
        match value:
            case {"Ref": name} if name in self._parameters:
                return self._parameters[name]
            case {"Fn::Equals": [one, other]}:
                return self._decided(one) == self._decided(other)
            case {"Fn::Not": [condition]}:
                return not self._decided(condition)
            case {"Fn::Join": [separator, {"Fn::Split": [old, whole]}]}:
                return str(self._decided(whole)).replace(old, separator)
            case {"Fn::If": [condition, yes, no]}:
                return self._decided(yes if self._holds(condition) else no)
            case dict():
                decided = {name: self._decided(member) for name, member in value.items()}
                return {name: member for name, member in decided.items() if member != NO_VALUE}
            case list():
                return [member for member in map(self._decided, value) if member != NO_VALUE]
        return value


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
