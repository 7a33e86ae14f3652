"""Selecting the files to upload, and their keys."""

import os
from pathlib import Path

import pytest

from cli.files import select


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")


def keys(*paths: str, prefix: str = "") -> list[str]:
    selection = select([Path(path) for path in paths], prefix)
    assert selection.problems == []
    return [item.key for item in selection.items]


def problem(*paths: str, prefix: str = "") -> str:
    [problem] = select([Path(path) for path in paths], prefix).problems
    return problem


def test_the_key_of_a_file_is_its_name(here: Path) -> None:
    touch("holiday/2024/cat.jpg")

    assert keys("holiday/2024/cat.jpg") == ["uploads/cat.jpg"]


def test_files_in_a_directory_keep_their_relative_paths(here: Path) -> None:
    touch("holiday/trip/a.jpg", "holiday/trip/day 1/b.jpg")

    assert keys("holiday/trip") == ["uploads/trip/a.jpg", "uploads/trip/day 1/b.jpg"]


@pytest.mark.parametrize("spelling", ["trip", "trip/", "./trip", "trip/../trip", "trip/day/.."])
def test_a_directory_has_one_name_however_it_is_written(here: Path, spelling: str) -> None:
    touch("trip/day/a.jpg")

    assert keys(spelling) == ["uploads/trip/day/a.jpg"]


def test_the_current_directory_has_its_real_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch("trip/a.jpg")
    monkeypatch.chdir("trip")

    assert keys(".") == ["uploads/trip/a.jpg"]


def test_a_prefix_precedes_names_and_directories(here: Path) -> None:
    touch("cat.jpg", "trip/a.jpg")

    assert keys("cat.jpg", "trip", prefix="2024/june") == ["uploads/2024/june/cat.jpg", "uploads/2024/june/trip/a.jpg"]


@pytest.mark.parametrize("name", ["a+b %25.jpg", "caf\u00e9.jpg", "cafe\u0301.jpg", "[red]😀.jpg", "new\nline.jpg"])
def test_names_are_used_unchanged(here: Path, name: str) -> None:
    touch(name)

    assert keys(name) == [f"uploads/{name}"]


def test_hidden_files_in_a_directory_are_skipped_and_counted(here: Path) -> None:
    touch("trip/a.jpg", "trip/.DS_Store", "trip/Thumbs.db", "trip/.git/HEAD", "trip/.git/config")

    selection = select([Path("trip")])

    assert [item.key for item in selection.items] == ["uploads/trip/a.jpg"]
    assert selection.hidden == 3


def test_a_hidden_file_given_by_name_is_selected(here: Path) -> None:
    touch(".cover.jpg")

    assert keys(".cover.jpg") == ["uploads/.cover.jpg"]


def test_links_are_followed_and_keep_their_names(here: Path) -> None:
    touch("original.jpg", "elsewhere/b.jpg", "trip/c.jpg")
    Path("trip/linked.jpg").symlink_to(Path("original.jpg").absolute())
    Path("trip/folder").symlink_to(Path("elsewhere").absolute())

    assert keys("trip") == ["uploads/trip/c.jpg", "uploads/trip/folder/b.jpg", "uploads/trip/linked.jpg"]


def test_a_link_to_a_parent_directory_is_not_followed(here: Path) -> None:
    touch("trip/day/a.jpg")
    Path("trip/day/up").symlink_to(Path("trip").absolute())

    assert keys("trip") == ["uploads/trip/day/a.jpg"]


def test_a_missing_path_is_reported(here: Path) -> None:
    assert problem("nowhere.jpg") == "nowhere.jpg: no such file"


def test_a_broken_link_is_reported(here: Path) -> None:
    touch("trip/a.jpg")
    Path("trip/broken.jpg").symlink_to("nowhere.jpg")

    assert problem("trip") == "trip/broken.jpg: the link is broken"


def test_an_empty_directory_is_reported(here: Path) -> None:
    touch("empty/.DS_Store")

    assert problem("empty") == "empty: there are no files in this directory"


def test_a_special_file_is_reported(here: Path) -> None:
    os.mkfifo("pipe.jpg")

    assert problem("pipe.jpg") == "pipe.jpg: it is neither a file nor a directory"


def test_an_unreadable_file_is_reported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch("secret.jpg")

    # Whoever runs the tests as root can read every file.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    assert problem("secret.jpg") == "secret.jpg: cannot be read (Permission denied)"


def test_two_files_with_the_same_key_are_reported(here: Path) -> None:
    touch("june/cat.jpg", "july/cat.jpg")

    assert problem("june/cat.jpg", "july/cat.jpg") == (
        "july/cat.jpg: it would have the same key as june/cat.jpg: uploads/cat.jpg"
    )


def test_a_key_may_have_at_most_1024_bytes(here: Path) -> None:
    touch("\u00e9.jpg")  # 6 bytes
    room = 1024 - len("uploads/") - len("/") - 6

    assert keys("\u00e9.jpg", prefix="p" * room)
    assert problem("\u00e9.jpg", prefix="p" * (room + 1)) == (
        "\u00e9.jpg: its key would have 1,025 bytes; S3's limit is 1,024"
    )


def test_a_name_that_is_not_utf_8_is_reported(here: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    touch(name)

    assert problem(name).endswith("its name is not valid UTF-8, which S3 requires of keys")


def test_all_problems_are_reported_at_once(here: Path) -> None:
    touch("good.jpg")

    selection = select([Path("one.jpg"), Path("good.jpg"), Path("two.jpg")])

    assert selection.problems == ["one.jpg: no such file", "two.jpg: no such file"]
