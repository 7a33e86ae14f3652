import pytest

from imagepipeline import config
from imagepipeline.errors import ConfigError


@pytest.fixture
def setting(monkeypatch):
    """Give the setting `LIMIT` a value, or with None take it away."""

    def give(value):
        if value is None:
            monkeypatch.delenv("LIMIT", raising=False)
        else:
            monkeypatch.setenv("LIMIT", value)

    return give


def test_a_text_is_read_without_the_spaces_around_it(setting):
    setting(" images \n")

    assert config.text("LIMIT") == "images"


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize(
    "read",
    [
        config.text,
        config.switch,
        lambda name: config.number(name, 0, 1),
        lambda name: config.whole_number(name, 0, 1),
    ],
    ids=["text", "switch", "number", "whole_number"],
)
def test_a_missing_setting_is_named(setting, read, value):
    setting(value)

    with pytest.raises(ConfigError, match=r"^LIMIT: is not set$"):
        read("LIMIT")


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("100", 100), ("82.5", 82.5), ("1e1", 10)])
def test_a_number_may_be_anything_between_its_bounds_and_the_bounds_too(setting, value, number):
    setting(value)

    assert config.number("LIMIT", 0, 100) == number


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("many", '"many" is not a number'),
        ("1,5", '"1,5" is not a number'),
        ("-0.1", "-0.1 is not between 0 and 100"),
        ("100.1", "100.1 is not between 0 and 100"),
        ("nan", "nan is not between 0 and 100"),
        ("inf", "inf is not between 0 and 100"),
    ],
)
def test_any_other_number_is_refused_with_what_would_be_right(setting, value, problem):
    setting(value)

    with pytest.raises(ConfigError) as refused:
        config.number("LIMIT", 0, 100)

    assert str(refused.value) == f"LIMIT: {problem}"


@pytest.mark.parametrize(("value", "number"), [("1", 1), ("104857600", 104_857_600), ("1e6", 1_000_000)])
def test_a_whole_number_comes_as_an_int(setting, value, number):
    setting(value)

    read = config.whole_number("LIMIT", 1, 10**9)

    assert (read, type(read)) == (number, int)


def test_half_a_pixel_is_refused(setting):
    setting("1.5")

    with pytest.raises(ConfigError, match=r'^LIMIT: "1\.5" is not a whole number$'):
        config.whole_number("LIMIT", 1, 10)


@pytest.mark.parametrize(("value", "on"), [("true", True), ("false", False)])
def test_a_switch_is_true_or_false(setting, value, on):
    setting(value)

    assert config.switch("LIMIT") is on


@pytest.mark.parametrize("value", ["True", "yes", "1", "on"])
def test_a_switch_is_not_guessed(setting, value):
    setting(value)

    with pytest.raises(ConfigError, match=f'^LIMIT: "{value}" is neither true nor false$'):
        config.switch("LIMIT")


def test_a_choice_is_one_of_its_options(setting):
    setting("record")

    assert config.choice("LIMIT", "off", "record") == "record"
    with pytest.raises(ConfigError, match=r'^LIMIT: "record" is none of off, on'):
        config.choice("LIMIT", "off", "on")
