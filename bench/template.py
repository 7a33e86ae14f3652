"""template.yaml as it is deployed with given parameters."""

from functools import cache
from pathlib import Path

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

TEMPLATE = Path(__file__).parents[1] / "template.yaml"
NO_VALUE = {"Ref": "AWS::NoValue"}


class _Loader(yaml.CSafeLoader):
    """The SAM CLI's loader, but based on the parser in C, which takes a tenth of the time."""


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


@cache
def source() -> dict:
    """template.yaml as it is written, every short form of a function spelled out."""
    document: dict = _Loader(TEMPLATE.read_text()).get_single_data()
    return document


class Deployment:
    """The template with its conditions decided; parameters that aren't given have their defaults."""

    def __init__(self, **parameters: str) -> None:
        self.parameters = {name: str(said["Default"]) for name, said in source()["Parameters"].items()} | parameters

    def of_type(self, kind: str) -> list[dict]:
        """Properties of what is created of a type."""
        types = {name: resource["Type"] for name, resource in source()["Resources"].items()}
        return [properties for name, properties in self.resources.items() if types[name] == kind]

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
        decided = self._decided(source()["Conditions"][condition])
        if not isinstance(decided, bool):
            raise NotImplementedError(f"{condition} uses a function that nothing here decides: {decided}")
        return decided

    def _decided(self, value: object) -> object:
        """A value without conditions and references to parameters; other functions stay."""
        match value:
            case {"Ref": name} if name in self.parameters:
                return self.parameters[name]
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
