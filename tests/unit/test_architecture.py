"""Who may import whom. Imports inside functions count, and so does what is imported by what is imported."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
LAYER = REPOSITORY / "layers" / "pipeline" / "src"
OURS = {"imagepipeline", "functions", "local", "cli", "deployment", "bench", "tests"}

# Modules that reach outside the process: AWS and the environment. All others decide, and are pure.
EDGE = {
    f"imagepipeline.{name}"
    for name in (
        "aws",
        "config",
        "rekognition",
        "metering",
        "objects",
        "records",
        "cleanup",
        "indexing",
        "pausing",
        "api.decisions",
        "sweep",
        "stuck",
        "api.index",
        "api.storage",
    )
}
STANDARD_LIBRARY_ONLY = [
    f"imagepipeline.{name}"
    for name in (
        "errors",
        "models",
        "keys",
        "s3_events",
        "renditions",
        "geometry",
        "items",
        "reprocessing",
        "analysis",
        "ordering",
        "lists",
        "executions",
        "notification",
        "image_events",
        "config",
        "printable",
        "logs",
        "quarantine",
        "pausing",
        "api.http",
        "api.listings",
    )
]
IMAGING = {"PIL", "pillow_heif"}
# In the runtime layer, and in Lambda's own runtime.
DEPLOYED = IMAGING | {"aws_lambda_powertools", "botocore"}

# Of the module os.
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}

# Requirements that no code of ours imports, and what needs them.
NEEDED_OTHERWISE = {
    "aws-sam-cli": "the sam command",
    "ruff": "make lint",
    "setuptools": "the editable install",
    "pytest-xdist": "pytest -n",
    "pytest-timeout": "timeout in pyproject.toml",
    "cfn-lint": "make lint",
    "mypy": "make lint",
    "statelint": "make lint",
}


def module_name(file: Path) -> str:
    """A file's name as an import statement has it."""
    root = LAYER if file.is_relative_to(LAYER) else REPOSITORY
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, Path]:
    """Every Python file of the project by its module name."""
    folders = [LAYER, *(REPOSITORY / name for name in OURS - {"imagepipeline"})]
    return {module_name(file): file for folder in folders for file in folder.rglob("*.py")}


@cache
def imports(module: str) -> frozenset[str]:
    """What a module itself imports: modules of ours by their full name, others by their top package."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(origin), names=names, level=0):
                members = {f"{origin}.{alias.name}" for alias in names}
                found |= {origin, *(members & modules().keys())}
    return frozenset(name if name.split(".")[0] in OURS else name.split(".")[0] for name in found)


def reach(module: str) -> set[str]:
    """What a module imports, and what that imports, outside the standard library."""
    reached, pending = set(), [module]
    while pending:
        for name in imports(pending.pop()) - reached:
            reached.add(name)
            if name in modules():
                pending.append(name)
    return reached - sys.stdlib_module_names - {module}


def under(package: str) -> list[str]:
    """The package's modules."""
    return sorted(name for name in modules() if f"{name}.".startswith(f"{package}."))


def third_party(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] not in OURS}


def ours(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} & OURS


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_the_foundations_need_nothing_but_the_standard_library(module: str):
    assert reach(module) <= set(STANDARD_LIBRARY_ONLY)


@pytest.mark.parametrize("module", sorted(set(under("imagepipeline")) - EDGE))
def test_what_decides_reaches_neither_aws_nor_the_environment(module: str):
    reached = reach(module)

    assert third_party(reached) <= IMAGING
    assert not reached & EDGE


@pytest.mark.parametrize("module", under("imagepipeline"))
def test_one_module_of_the_layer_makes_clients(module: str):
    names = {
        alias.name
        for node in ast.walk(ast.parse(modules()[module].read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }

    assert ("botocore.session" in names) == (module == "imagepipeline.aws")


@pytest.mark.parametrize("module", under("imagepipeline") + under("functions"))
def test_one_module_of_what_is_deployed_reads_the_environment(module: str):
    tree = ast.parse(modules()[module].read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert bool(names & ENVIRONMENT) == (module == "imagepipeline.config")


@pytest.mark.parametrize("module", under("imagepipeline") + under("functions"))
def test_what_is_deployed_imports_what_is_deployed(module: str):
    reached = reach(module)

    assert ours(reached) <= {"imagepipeline"}  # and so no function another
    assert third_party(reached) <= DEPLOYED


@pytest.mark.parametrize("module", under("functions"))
def test_functions_leave_imaging_and_aws_to_the_layer(module: str):
    assert third_party(imports(module) - sys.stdlib_module_names) <= {"aws_lambda_powertools"}


@pytest.mark.parametrize("module", under("cli"))
def test_the_command_needs_only_foundations_of_the_pipeline(module: str):
    reached = reach(module)

    assert ours(reached) <= {"cli", "imagepipeline"}
    assert reached & set(under("imagepipeline")) <= {"imagepipeline", *STANDARD_LIBRARY_ONLY}
    assert third_party(reached) <= {"boto3", "botocore", "rich"}


@pytest.mark.parametrize("module", under("deployment"))
def test_the_deployment_shares_the_command_s_modules(module: str):
    reached = reach(module)

    assert ours(reached) <= {"deployment", "cli", "imagepipeline"}
    assert reached & set(under("imagepipeline")) <= {"imagepipeline", *STANDARD_LIBRARY_ONLY}


@pytest.mark.parametrize("module", under("local"))
def test_the_local_run_imports_the_pipeline_only_through_the_command(module: str):
    assert ours(set(imports(module))) <= {"local", "deployment", "cli"}


@pytest.mark.parametrize("module", under("bench"))
def test_benchmarks_measure_the_pipelines_own_code(module: str):
    # Three deploy the system and measure it as a whole; what anything costs is the command's to say.
    whole = {"bench.usage", "bench.api", "bench.emulated"}
    system = {"local", "deployment", "cli"} if module in whole else {"cli"}

    assert ours(reach(module)) <= {"bench", "imagepipeline"} | system


@pytest.mark.parametrize("module", sorted(set(modules()) - set(under("tests"))))
def test_nothing_imports_tests(module: str):
    assert "tests" not in ours(set(imports(module)))


# --------------------------------------------------------------------------------------------------------- dependencies

DECLARED = [
    Requirement(line) for line in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
]


def requirements(file: str) -> set[str]:
    """Names of the distributions that a requirements file asks for."""
    lines = (REPOSITORY / file).read_text().splitlines()
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines if re.match(r"\w", line)}


def normal(distribution: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub("[-_.]+", "-", distribution).lower()


def imported_distributions(importers: Iterable[str]) -> set[str]:
    """Distributions that these modules import directly."""
    by_package = packages_distributions()
    packages = {name for module in importers for name in imports(module)}
    return {normal(distribution) for package in packages for distribution in by_package.get(package, [])}


@pytest.mark.parametrize("file", ["requirements/dev.in", "layers/runtime/requirements.in", "requirements/lambda.in"])
def test_every_requirement_is_used(file: str):
    assert requirements(file) - imported_distributions(modules()) <= NEEDED_OTHERWISE.keys()


def test_no_requirement_is_excused_without_being_one():
    assert NEEDED_OTHERWISE.keys() <= requirements("requirements/dev.in") - imported_distributions(modules())


def test_the_wheel_requires_what_the_command_imports():
    declared = {requirement.name for requirement in DECLARED}

    assert imported_distributions(under("cli")) - {"image-pipeline"} == declared | {"botocore"}  # which boto3 pins


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_the_locked_version_satisfies_the_wheel_s_requirement(requirement: Requirement):
    assert requirement.specifier.contains(version(requirement.name))


@pytest.mark.xdist_group("architecture")
def test_tests_are_grouped_by_what_they_deploy(request: pytest.FixtureRequest):
    """A pytest that pytest-xdist does not know groups none, and everything is deployed by each worker."""
    grouped = getattr(request.config.option, "loadgroup", False)  # in a worker of --dist loadgroup

    assert request.node.nodeid.endswith("@architecture") == grouped
