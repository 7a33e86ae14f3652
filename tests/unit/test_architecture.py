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
def nodes(module: str) -> list[ast.AST]:
    """Every node of a module's syntax tree."""
    return list(ast.walk(ast.parse(modules()[module].read_text())))


@cache
def imports(module: str) -> frozenset[str]:
    """What a module itself imports: modules of ours by their full name, others by their top package."""
    found = set()
    for node in nodes(module):
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


def test_the_layer_s_docstring_names_each_of_its_modules_once():
    table = ast.get_docstring(ast.parse(modules()["imagepipeline"].read_text())).split("\n\n")[1]
    named = re.findall(r"\w+", " ".join(re.sub(r"^ *\S.*?  +", "", line) for line in table.splitlines()))

    assert sorted(named) == sorted({name.split(".")[1] for name in under("imagepipeline") if "." in name})


def test_the_foundations_need_nothing_but_the_standard_library():
    for module in STANDARD_LIBRARY_ONLY:
        assert reach(module) <= set(STANDARD_LIBRARY_ONLY), module


def test_what_decides_reaches_neither_aws_nor_the_environment():
    for module in set(under("imagepipeline")) - EDGE:
        reached = reach(module)
        assert third_party(reached) <= IMAGING, module
        assert not reached & EDGE, module


def test_one_module_of_the_layer_makes_clients():
    imported = {
        module: {alias.name for node in nodes(module) if isinstance(node, ast.Import) for alias in node.names}
        for module in under("imagepipeline")
    }

    assert [module for module, names in imported.items() if "botocore.session" in names] == ["imagepipeline.aws"]


def test_one_module_of_what_is_deployed_reads_the_environment():
    def names(module: str) -> set[str]:
        attributes = {node.attr for node in nodes(module) if isinstance(node, ast.Attribute)}
        imported = {alias.name for node in nodes(module) if isinstance(node, ast.ImportFrom) for alias in node.names}
        return attributes | imported

    deployed = under("imagepipeline") + under("functions")

    assert [module for module in deployed if names(module) & ENVIRONMENT] == ["imagepipeline.config"]


def test_what_is_deployed_imports_what_is_deployed():
    for module in under("imagepipeline") + under("functions"):
        reached = reach(module)
        assert ours(reached) <= {"imagepipeline"}, module  # and so no function another
        assert third_party(reached) <= DEPLOYED, module


def test_functions_leave_imaging_and_aws_to_the_layer():
    for module in under("functions"):
        assert third_party(imports(module) - sys.stdlib_module_names) <= {"aws_lambda_powertools"}, module


def test_the_command_needs_only_foundations_of_the_pipeline():
    for module in under("cli"):
        reached = reach(module)
        assert ours(reached) <= {"cli", "imagepipeline"}, module
        assert reached & set(under("imagepipeline")) <= {"imagepipeline", *STANDARD_LIBRARY_ONLY}, module
        assert third_party(reached) <= {"boto3", "botocore", "rich"}, module


def test_the_deployment_shares_the_command_s_modules():
    for module in under("deployment"):
        reached = reach(module)
        assert ours(reached) <= {"deployment", "cli", "imagepipeline"}, module
        assert reached & set(under("imagepipeline")) <= {"imagepipeline", *STANDARD_LIBRARY_ONLY}, module


def test_the_local_run_imports_the_pipeline_only_through_the_command():
    for module in under("local"):
        assert ours(set(imports(module))) <= {"local", "deployment", "cli"}, module


def test_benchmarks_measure_the_pipelines_own_code():
    # Three deploy the system and measure it as a whole; what anything costs is the command's to say.
    whole = {"bench.usage", "bench.api", "bench.emulated"}
    for module in under("bench"):
        system = {"local", "deployment", "cli"} if module in whole else {"cli"}
        assert ours(reach(module)) <= {"bench", "imagepipeline"} | system, module


def test_nothing_imports_tests():
    for module in set(modules()) - set(under("tests")):
        assert "tests" not in ours(set(imports(module))), module


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


distributions = cache(packages_distributions)


def imported_distributions(importers: Iterable[str]) -> set[str]:
    """Distributions that these modules import directly."""
    by_package = distributions()
    packages = {name for module in importers for name in imports(module)}
    return {normal(distribution) for package in packages for distribution in by_package.get(package, [])}


def test_every_requirement_is_used():
    used = imported_distributions(modules()) | NEEDED_OTHERWISE.keys()

    for file in ("requirements/dev.in", "layers/runtime/requirements.in", "requirements/lambda.in"):
        assert requirements(file) <= used, file


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
