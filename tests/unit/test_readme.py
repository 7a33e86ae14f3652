"""README.md, the pages it links to and the hooks agree with the repository."""

import re
from pathlib import Path

import pytest

from imagepipeline import renditions
from tests.template.stack import source

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
ONLY_FOR_THE_LOCAL_RUN = {"RequireTls"}


def test_every_parameter_is_in_the_table_with_its_default():
    table = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*)`? \|", README, re.M))
    defaults = {name: str(parameter["Default"]) or "empty" for name, parameter in source()["Parameters"].items()}

    assert table == {name: value for name, value in defaults.items() if name not in ONLY_FOR_THE_LOCAL_RUN}


@pytest.mark.parametrize("option", renditions.FITS + renditions.FOCUSES + renditions.FORMATS + renditions.FILTERS)
def test_every_option_of_a_rendition_is_documented(option: str):
    assert re.search(rf"^\| .*`{option}`.*\|$", README, re.M)


def test_the_examples_of_renditions_are_valid():
    for example in re.findall(r"(?:[a-z]+=\d+x\d+[a-z0-9:=]* ?)+", README):
        assert renditions.parse(example)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    for file, heading in re.findall(r"\]\((?!https:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not heading or heading in anchors(target), f"{file}#{heading}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_of_make_exists(page: Path):
    makefile = (REPOSITORY / "Makefile").read_text()

    for target in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_pre_commit_hook_is_a_linter_of_make():
    makefile = (REPOSITORY / "Makefile").read_text()
    linters = re.search(r"^LINTERS := (.*)$", makefile, re.M)[1].split()

    entries = re.findall(r"entry: (.*)", (REPOSITORY / ".pre-commit-config.yaml").read_text())

    assert entries
    assert set(entries) <= {f"make {linter}" for linter in linters}
