"""The layers as `sam build` makes them, and what each function loads of them while it starts."""

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.stack import REPOSITORY, source

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("layers")]  # built once

FUNCTIONS = sorted(app.parent.name for app in (REPOSITORY / "functions").glob("*/app.py"))
LAYERS = sorted(name for name, said in source()["Resources"].items() if said["Type"] == "AWS::Serverless::LayerVersion")
MACHINES = {"RuntimeLayerArm64": 183, "RuntimeLayerX86": 62}  # e_machine of ELF: AArch64, x86-64
LAMBDA_PYTHON = REPOSITORY / ".venv-lambda" / "bin" / "python"

# Nobody needs them, or only some images do, which then load them: each is 5 to 100 ms of every cold start.
NOT_AT_INIT = {
    *("boto3", "s3transfer", "aws_xray_sdk", "pydantic", "pillow_heif", "PIL.ImageCms", "PIL.features"),
    *("aws_lambda_powertools.event_handler", "aws_lambda_powertools.utilities.parser"),
}


@pytest.fixture(scope="module")
def layers(tmp_path_factory) -> dict[str, Path]:
    """What goes into /opt/python, by the layer's logical id."""
    folder = tmp_path_factory.mktemp("layers")
    tools = [str(REPOSITORY / ".venv" / "bin"), str(REPOSITORY / ".tools" / "bin"), os.environ["PATH"]]
    built = {}
    for name in LAYERS:
        content = REPOSITORY / source()["Resources"][name]["Properties"]["ContentUri"]
        artifacts = folder / name
        subprocess.run(
            ["make", "--silent", "-C", content, f"build-{name}"],
            env=os.environ | {"ARTIFACTS_DIR": str(artifacts), "PATH": os.pathsep.join(tools)},
            check=True,
        )
        built[name] = artifacts / "python"
    return built


def modules_at_init(function: str, layers: dict[str, Path]) -> set[str]:
    """Modules that a cold function has loaded before its first invocation, on an interpreter with Lambda's packages."""
    runtime_layer = layers["RuntimeLayerArm64" if os.uname().machine in ("arm64", "aarch64") else "RuntimeLayerX86"]
    path = [REPOSITORY / "functions" / function, runtime_layer, layers["PipelineLayer"]]
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "ImagePipeline",
    }
    command = [LAMBDA_PYTHON, "-P", "-c", "import app, json, sys; print(json.dumps(list(sys.modules)))"]
    started = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(started.stdout))


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_has_bytecode_that_python_uses_unchecked(layers, layer: str):
    sources = list(layers[layer].rglob("*.py"))

    assert sources
    for file in sources:
        bytecode = Path(importlib.util.cache_from_source(file)).read_bytes()
        # PEP 552: a magic number, then flags: 1 for a hash of the source, which 2 more would have checked.
        assert bytecode[:8] == importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little"), file
        assert bytecode[8:16] == importlib.util.source_hash(file.read_bytes()), file


@pytest.mark.parametrize(("layer", "machine"), MACHINES.items())
def test_native_code_is_for_the_layer_s_architecture(layers, layer: str, machine: int):
    libraries = [file for file in layers[layer].rglob("*.so*") if file.is_file()]

    assert libraries
    for library in libraries:
        start = library.read_bytes()[:20]
        assert start[:4] == b"\x7fELF", library
        assert struct.unpack_from("<H", start, 18) == (machine,), library


@pytest.mark.skipif(sys.platform != "linux", reason="the layers' native code is Linux's")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_cold_function_loads_only_what_it_needs(layers, function: str):
    loaded = modules_at_init(function, layers)

    assert {"app", "imagepipeline.aws", "botocore.session"} <= loaded
    assert not loaded & NOT_AT_INIT
    assert not [name for name in loaded if name.startswith("PIL.") and name.endswith("ImagePlugin")]
    assert ("PIL" in loaded) == (function == "thumbnails")
