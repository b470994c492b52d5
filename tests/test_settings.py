"""One value per setting, from the strongest source that has it, and no secret ever shown."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from videogen_core import ConfigurationError, load_settings


def load(tmp_path: Path, environ: dict[str, str] | None = None, **arguments: Any) -> Any:
    (tmp_path / "work").mkdir(exist_ok=True)
    env = {"VIDEOGEN_CONFIG_DIR": str(tmp_path / "user"), **(environ or {})}
    return load_settings(environ=env, folder=tmp_path / "work", **arguments)


def test_the_strongest_source_wins(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "work").mkdir()
    levels: list[tuple[str, Decimal]] = []
    (tmp_path / "user" / "config.toml").write_text('max_cost = "1"')
    levels.append(("user", load(tmp_path).max_cost))
    (tmp_path / "work" / "videogen.toml").write_text('max_cost = "2"')
    levels.append(("project", load(tmp_path).max_cost))
    (tmp_path / "work" / ".env").write_text("VIDEOGEN_MAX_COST=3\n")
    levels.append((".env", load(tmp_path).max_cost))
    levels.append(("environment", load(tmp_path, {"VIDEOGEN_MAX_COST": "4"}).max_cost))
    levels.append(("argument", load(tmp_path, {"VIDEOGEN_MAX_COST": "4"}, max_cost="5").max_cost))
    assert levels == [("user", 1), ("project", 2), (".env", 3), ("environment", 4), ("argument", 5)]


def test_every_value_says_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "videogen.toml").write_text("timeout = 30.5")
    shown = {name: (value, source) for name, value, source in load(tmp_path, {"VIDEOGEN_SANDBOX": "1"}).shown()}
    assert shown["timeout"] == ("30.5", str(tmp_path / "work" / "videogen.toml"))
    assert shown["sandbox"] == ("True", "environment")
    assert shown["patience"] == ("120.0", "default")


def test_the_cache_has_a_place_an_age_and_a_size(tmp_path: Path) -> None:
    settings = load(tmp_path, {"VIDEOGEN_HOME": str(tmp_path / "home"), "VIDEOGEN_CACHE_BYTES": "0"})
    assert settings.cache_folder == tmp_path / "home" / "cache"
    assert (settings.cache_days, settings.cache_bytes) == (30, 0)
    assert load(tmp_path, {"VIDEOGEN_CACHE_DAYS": "0.5"}).cache_bytes == 10 * 1024**3


def test_provider_tables_are_laid_over_each_other_and_their_values_not_shown(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "user" / "config.toml").write_text(
        '[providers.acme]\nkey = "hunter2"\n[providers.zenith]\nregion = "eu"'
    )
    (tmp_path / "user" / "config.toml").chmod(0o600)
    (tmp_path / "work" / "videogen.toml").write_text('[providers.zenith]\nregion = "us"')
    settings = load(tmp_path, {"ACME_KEY": "hunter2"})
    assert settings.provider("acme") == {"key": "hunter2"}
    assert settings.provider("zenith") == {"region": "us"}
    assert settings.environment["ACME_KEY"] == "hunter2"
    assert "hunter2" not in repr(settings) + str(settings.shown()) + repr(settings.environment)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"VIDEOGEN_TIMEOUT": "soon"}, "timeout"),
        ({"VIDEOGEN_TIMEOUT": "-1"}, "timeout"),
        ({"VIDEOGEN_TIMEOUT": "nan"}, "timeout"),
        ({"VIDEOGEN_SANDBOX": "perhaps"}, "sandbox"),
        ({"VIDEOGEN_MAX_COST": "NaN"}, "max_cost"),
        ({"VIDEOGEN_MAX_COST": "-5"}, "max_cost"),
        ({"VIDEOGEN_CONCURRENCY": "0"}, "concurrency"),
        ({"VIDEOGEN_CACHE_DAYS": "0"}, "cache_days: expected a positive number of days"),
        ({"VIDEOGEN_CACHE_DAYS": "inf"}, "cache_days"),
        ({"VIDEOGEN_CACHE_BYTES": "-1"}, "cache_bytes"),
        ({"VIDEOGEN_CACHE_BYTES": "1.5"}, "cache_bytes"),
    ],
)
def test_a_bad_value_is_refused_with_its_source(tmp_path: Path, environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        load(tmp_path, environ)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timeout = ", "not valid TOML"),
        ("tiemout = 3", "unknown setting 'tiemout'"),
        ("timeout = [1]", "timeout"),
        ("models = 3", "models"),
        ("override = 3", "override"),
        ("providers = 3", "providers"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "videogen.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        load(tmp_path)
    assert "videogen.toml" in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "videogen.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"videogen\.toml"):
        load(tmp_path)


def test_unknown_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="hmoe"):
        load(tmp_path, hmoe="/tmp")


# --- files that hold keys


def written(path: Path, text: str, mode: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


KEYS = {
    ".env": "ACME_API_KEY=hunter2\n",
    "videogen.toml": '[providers.acme]\ntoken = "hunter2"\n',
    "nested": '[providers.acme.eu]\nclient_secret = "hunter2"\n',
}


@pytest.mark.promise("R3")
@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_file_of_keys_that_everybody_may_read_is_refused(tmp_path: Path, kind: str, mode: int) -> None:
    path = written(tmp_path / "work" / kind.replace("nested", "videogen.toml"), KEYS[kind], mode)
    with pytest.raises(ConfigurationError, match="every user of this machine") as caught:
        load(tmp_path)
    assert caught.value.hint == f"Run: chmod 600 {path}"
    assert "hunter2" not in str(caught.value)
    path.chmod(0o600)
    load(tmp_path)


@pytest.mark.promise("R3")
@pytest.mark.parametrize(
    ("name", "text", "mode"),
    [
        (".env", "VIDEOGEN_MAX_COST=3\nACME_REGION=eu\n", 0o644),
        (".env", "ACME_KEY=\nACME_KEY_FILE=/run/key\n", 0o644),
        (".env", KEYS[".env"], 0o640),
        ("videogen.toml", "[providers.acme]\nconcurrency = 4\n", 0o644),
        ("videogen.toml", KEYS["videogen.toml"], 0o600),
        ("videogen.toml", KEYS["videogen.toml"], 0o660),
    ],
)
def test_other_files_are_read_whoever_may_read_them(tmp_path: Path, name: str, text: str, mode: int) -> None:
    written(tmp_path / "work" / name, text, mode)
    load(tmp_path)


@pytest.mark.promise("P2", "R2")
@pytest.mark.parametrize("content", [b"ACME_KEY=hunter2\nB=\xff\n", b"\xff\xfe"])
def test_an_env_file_that_is_no_text_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".env").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read: it is not UTF-8") as caught:
        load(tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.promise("R2")
def test_a_refused_value_is_not_echoed(tmp_path: Path) -> None:
    for text in (
        'models = "hunter2"',
        'providers = "hunter2"',
        'providers = {acme = "hunter2"}',
        'sandbox = "hunter2"',
    ):
        written(tmp_path / "work" / "videogen.toml", text, 0o600)
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path)
        assert "hunter2" not in str(caught.value)
    for variable in ("TIMEOUT", "MAX_COST", "CONCURRENCY", "SANDBOX"):
        written(tmp_path / "work" / "videogen.toml", "", 0o600)
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path, {f"VIDEOGEN_{variable}": "hunter2"})
        assert "hunter2" not in str(caught.value)
