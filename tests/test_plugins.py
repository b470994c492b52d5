"""Plugins are found by name, loaded when wanted, and cannot take each other down."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from vendor import Acme, AcmeSession, offer
from videogen_core import (
    Client,
    ConfigurationError,
    ModelNotFoundError,
    ModelSpec,
    PluginError,
    Provider,
    UnsupportedRequestError,
)
from videogen_core.cli import main
from videogen_core.plugins import EXTENSIONS, GROUP, Plugins
from videogen_core.registry import Registry
from videogen_core.sandbox.plugin import SandboxProvider
from videogen_core.settings import load_settings

GOOD = """
    from videogen_core import hookimpl, Provider, Session
    class Good(Provider):
        name = "{name}"
        def models(self): return ()
        def connect(self, context): raise AssertionError
    @hookimpl
    def videogen_provider(): return Good()
"""


def entry_point(
    folder: Path, name: str, body: str, distribution: str = "", group: str = GROUP
) -> importlib.metadata.EntryPoint:
    """A plugin module on disk, with the metadata of a distribution that ships it."""
    distribution = distribution or f"videogen-{name}"
    module = f"plugin_{distribution.replace('-', '_')}_{abs(hash(str(folder))) % 10**8}"
    (folder / f"{module}.py").write_text(textwrap.dedent(body).replace("{name}", name))
    info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    (found,) = importlib.metadata.PathDistribution(info).entry_points
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise RuntimeError('broken at import')", "broken at import"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import a_vendor_sdk_that_is_not_there", "a_vendor_sdk_that_is_not_there"),
        ("x = 1", "no videogen_provider hook"),
        (GOOD.replace("return Good()", "return 'provider'"), "returned str"),
        (GOOD.replace("return Good()", "raise ValueError('in the hook')"), "in the hook"),
        (GOOD.replace('name = "{name}"', 'name = "other"'), "calls itself 'other'"),
        (GOOD.replace('name = "{name}"', 'name = "{name}"; plugin_api = 99'), "plugin API 99"),
        (GOOD.replace("return ()", "raise OSError('no catalogue')"), "no catalogue"),
        (GOOD.replace("return ()", "return ['x']"), "no ModelSpec"),
        (GOOD.replace("def videogen_provider()", "def videogen_provider(extra)"), "extra"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_broken_plugin_is_reported_and_the_others_work(folder: Path, body: str, says: str) -> None:
    bad, good = entry_point(folder, "bad", body), entry_point(folder, "good", GOOD)
    plugins = Plugins(entry_points=[bad, good])
    states = {plugin.name: plugin.state for plugin in plugins.load_all()}
    assert states == {"bad": "failed", "good": "loaded"}
    assert says in plugins.plugin("bad").error
    with pytest.raises(PluginError, match=r"videogen-bad 1\.2"):
        plugins.provider("bad")
    assert plugins.provider("good").name == "good"


def test_nothing_is_imported_before_it_is_wanted(folder: Path) -> None:
    plugins = Plugins(entry_points=[entry_point(folder, n, GOOD) for n in ("one", "two")])
    assert plugins.names() == ["one", "two"]
    assert [plugins.plugin(n).state for n in plugins.names()] == ["found", "found"]
    plugins.load("two")
    assert [plugins.plugin(n).state for n in plugins.names()] == ["found", "loaded"]


def test_two_plugins_of_one_name_are_both_refused(folder: Path) -> None:
    twins = [entry_point(folder, "veo", GOOD, "videogen-veo"), entry_point(folder, "veo", GOOD, "evil-veo")]
    for order in (twins, twins[::-1]):
        plugins = Plugins(entry_points=order)
        with pytest.raises(PluginError, match=r"videogen-veo.*evil-veo|evil-veo.*videogen-veo"):
            plugins.provider("veo")
    assert Plugins(entry_points=[twins[0], twins[0]]).provider("veo"), "the same one seen twice is one"


def test_plugins_can_be_chosen_and_blocked(folder: Path) -> None:
    points = [entry_point(folder, n, GOOD) for n in ("one", "two", "three")]
    chosen = Plugins("one, two", entry_points=points)
    assert [p.state for p in chosen.load_all()] == ["loaded", "blocked", "loaded"]
    blocked = Plugins("-two", entry_points=points)
    assert [p.state for p in blocked.load_all()] == ["loaded", "loaded", "blocked"]


def test_a_catalogue_file_is_read_once_in_a_process() -> None:
    assert SandboxProvider().models() is SandboxProvider().models()


def test_a_provider_can_be_passed_in_without_packaging(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)]) as videogen:
        assert [spec.id for spec in videogen.models(provider="acme")] == ["acme/paper"]
        assert {spec.provider for spec in videogen.models()} == {"acme", "sandbox"}
    with pytest.raises(PluginError, match="Two providers named 'acme' were passed in"):
        Client(home=tmp_path / "home", plugins=[Acme(tmp_path), Acme(tmp_path)])


class Priced(Acme):
    """Offers what its settings and its own folder say."""

    def offers(
        self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
    ) -> tuple[ModelSpec, ...]:
        if settings.get("price") == "much":
            raise ConfigurationError("providers.acme.price: 'much' is no number.")
        here = [path.name for path in sorted(folder.glob("*"))]
        return tuple(offer("acme", name, settings.get("price")) for name in ("paper", *here))


def test_offers_may_depend_on_the_user_s_settings_and_on_what_the_provider_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "providers" / "acme"
    (folder / "pulled").mkdir(parents=True)
    settings = {"home": tmp_path / "home", "providers": {"acme": {"price": "0.25"}}}
    with Client(**settings, plugins=[Priced(tmp_path)]) as videogen:
        assert [spec.id for spec in videogen.models(provider="acme")] == ["acme/paper", "acme/pulled"]
        assert videogen.estimate("a boat", model="acme/paper", duration=2).low == Decimal("0.50")


def test_offers_that_the_settings_forbid_leave_the_provider_out_and_say_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no number"):
        Client(home=tmp_path, providers={"acme": {"price": "much"}}, plugins=[Priced(tmp_path)])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            """
import typer
app = typer.Typer()
@app.command()
def pull(name: str): print('pulled', name)
@app.command()
def rm(name: str): raise SystemExit(3)
""",
            "pulled wan",
        ),
        ("raise RuntimeError('no such library')", "The commands of 'acme', commanding:app, cannot be used"),
    ],
)
def test_a_plugin_brings_commands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], body: str, said: str
) -> None:
    (folder / "commanding.py").write_text(body)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "commanding", raising=False)
    point = entry_point(folder, "acme", GOOD.replace('name = "{name}"', 'name = "{name}"; commands = "commanding:app"'))
    monkeypatch.setattr("videogen_core.plugins._entry_points", lambda: (point,))
    code = main(["acme", "pull", "wan"])
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert code == (0 if "pulled" in said else 2)
    if code == 0:
        main(["--help"])
        assert "videogen acme …" in capsys.readouterr().out
        assert main(["acme", "--help"]) == 0
        assert "pull" in capsys.readouterr().out
    assert main(["acne"]) == 2, "a word that is no plugin is a mistake"


def registry(tmp_path: Path, *providers: Provider, **settings: Any) -> Registry:
    return Registry(load_settings(home=tmp_path / "home", **settings), extra=providers)


def test_a_name_that_nobody_offers_suggests_names_and_what_to_install(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)]) as videogen:
        with pytest.raises(ModelNotFoundError, match="paper") as caught:
            videogen.estimate(model="papr")
        assert "Did you mean" in (caught.value.hint or "")
        with pytest.raises(ModelNotFoundError) as caught:
            videogen.estimate(model="veo-3.1-fast")
        assert "pip install videogen-veo" in (caught.value.hint or "")


def test_the_user_s_file_overrides_prices_and_adds_models_and_aliases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more.toml").write_text(
        """
        source = "my contract"
        as_of = 2026-11-01
        [override."acme/paper"]
        prices = [{ amount = 0.07 }]
        [aliases]
        cheap = "paper"
        [[models]]
        id = "acme/card"
        modes = [{ tasks = ["text_to_video"], durations = [1] }]
        """
    )
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)], catalog=tmp_path / "more.toml") as videogen:
        assert str(videogen.estimate(model="cheap", duration=2)) == "$0.14"
        assert videogen.estimate(model="card").amount is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videogen.toml").write_text('[aliases]\nfolded = "paper"')
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)]) as videogen:
        assert str(videogen.estimate(model="folded")) == "$0.10"


def test_a_pinned_name_loads_one_plugin_only(tmp_path: Path) -> None:
    one = registry(tmp_path, Acme(tmp_path))
    one.catalog(["acme/paper"])
    assert one.plugins.plugin("sandbox").state == "found"
    one.catalog(["paper"])
    assert one.plugins.plugin("sandbox").state == "loaded"


def test_readiness_names_what_is_missing_and_survives_a_broken_check(tmp_path: Path) -> None:
    class Broken(Acme):
        def check_ready(self, environment: object, settings: object) -> None:
            raise ZeroDivisionError("oops")

    broken = Broken(tmp_path, name="broken", offers=(offer("broken"),))
    reasons = registry(tmp_path, Acme(tmp_path), broken, providers={"acme": {"key": "missing"}}).not_ready()
    assert reasons["acme"] == "ACME_KEY is not set."
    assert "ZeroDivisionError" in reasons["broken"]


def test_listing_checking_and_routing_import_no_vendor_sdk_and_no_http(tmp_path: Path) -> None:
    code = """
        import sys, videogen
        videogen.models(); videogen.check("a", model="sandbox"); videogen.route("a", model="sandbox").explain()
        heavy = {"httpx", "av", "PIL", "apsw", "typer", "rich", "stamina"} & set(sys.modules)
        sys.exit(f"loaded {heavy}" if heavy else 0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_offer_whose_provider_has_no_plugin_is_not_chosen(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(
        'source = "me"\nas_of = 2026-11-01\n[[models]]\nid = "ghost/paper"\n'
        'modes = [{ tasks = ["text_to_video"], durations = [1] }]\nprices = [{ amount = 0.001 }]\n'
    )
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)], catalog=tmp_path / "more.toml") as videogen:
        route = videogen.route(model="paper")
        assert route.chosen.offer == "acme/paper"
        assert [(r.offer, r.reason) for r in route.rejected] == [("ghost/paper", "not_ready")]


def test_a_provider_can_be_pinged(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)]) as videogen:
        assert "no free check" in videogen.ping("acme")
        with pytest.raises(PluginError):
            videogen.ping("nobody")


EXTENSION = """
    from videogen_core import hookimpl
    @hookimpl
    def videogen_prepare(request): return {{"prompt": request.prompt + " by {name}"}}
""".replace("{{", "{").replace("}}", "}")


def extension(folder: Path, name: str, body: str = EXTENSION, distribution: str = "") -> importlib.metadata.EntryPoint:
    return entry_point(folder, name, body, distribution or f"house-{name}", EXTENSIONS)


def test_extensions_are_found_apart_from_providers(folder: Path) -> None:
    found = [entry_point(folder, "acme", GOOD), extension(folder, "acme"), extension(folder, "style")]
    plugins = Plugins(entry_points=found)
    assert plugins.names() == ["acme"]
    assert [(p.name, p.kind, p.hooks, p.api) for p in plugins.extensions()] == [
        ("acme", "extension", ("videogen_prepare",), 2),
        ("style", "extension", ("videogen_prepare",), 2),
    ]
    assert [(p.name, p.kind, p.state) for p in plugins.load_all()] == [
        ("acme", "provider", "loaded"),
        ("acme", "extension", "loaded"),
        ("style", "extension", "loaded"),
    ]


@pytest.mark.promise("G1")
def test_extensions_are_chosen_and_blocked_like_providers(folder: Path) -> None:
    found = [entry_point(folder, "acme", GOOD), extension(folder, "style")]
    assert Plugins("-style", entry_points=found).extensions() == []
    assert Plugins("acme", entry_points=found).extensions() == [], "what is not on the list is not loaded"
    assert [p.name for p in Plugins("style", entry_points=found).extensions()] == ["style"]


@pytest.mark.promise("T10", "G1")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise RuntimeError('broken')", "broken"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("x = 1", "implements no hook"),
        (GOOD, "implements no hook of an extension"),
        (EXTENSION.replace("videogen_prepare", "videogen_prepares"), "videogen_prepares"),
        (EXTENSION.replace("(request)", "(request, keys)"), "keys"),
        (EXTENSION + "    plugin_api = 3\n", "newer than this core's"),
        ("from videogen_core import what_is_to_come", "another version of videogen-core"),
    ],
)
def test_a_broken_extension_is_named_and_the_others_work(folder: Path, body: str, says: str) -> None:
    plugins = Plugins(entry_points=[extension(folder, "bad", body), extension(folder, "good")])
    assert [p.name for p in plugins.extensions()] == ["good"]
    (bad,) = [p for p in plugins.load_all() if p.name == "bad"]
    assert (bad.state, says in bad.error) == ("failed", True), bad.error


@pytest.mark.promise("T10")
def test_two_extensions_of_one_name_are_both_refused(folder: Path) -> None:
    twins = [extension(folder, "style", distribution=name) for name in ("house-style", "evil-style")]
    plugins = Plugins(entry_points=twins)
    assert plugins.extensions() == []
    assert "house-style and evil-style" in plugins.load_all()[0].error


HOSTILE_MODELS = {
    "an endless list": ("itertools.repeat(GOOD)", "more than 20000"),
    "something else": ("['x']", "no ModelSpec"),
    "no list": ("7", "not a list"),
    "a wrong type": ("[msgspec.structs.replace(GOOD, title=7)]", "not sound"),
    "not a number": ("[msgspec.structs.replace(GOOD, latency=Latency(typical=float('nan')))]", "not sound"),
    "another's": ("[msgspec.structs.replace(GOOD, id='other/x')]", "not bad/"),
}


@pytest.mark.promise("T10", "G2")
@pytest.mark.parametrize("what", HOSTILE_MODELS)
def test_offers_that_are_none_are_refused(folder: Path, what: str) -> None:
    expression, says = HOSTILE_MODELS[what]
    body = """
        import datetime, itertools, msgspec
        from videogen_core import hookimpl, Latency, Mode, ModelSpec, Provider, Task
        GOOD = ModelSpec(id="{name}/x", modes=(Mode(tasks=(Task.TEXT_TO_VIDEO,)),), source="s",
                         as_of=datetime.date(2026, 1, 1))
        class Bad(Provider):
            name = "{name}"
            def models(self): return EXPRESSION
            def connect(self, context): raise AssertionError
        @hookimpl
        def videogen_provider(): return Bad()
    """.replace("EXPRESSION", expression)
    plugins = Plugins(entry_points=[entry_point(folder, "bad", body), entry_point(folder, "good", GOOD)])
    assert plugins.load("bad").state == "failed"
    assert says in plugins.plugin("bad").error
    assert plugins.provider("good").name == "good"


@pytest.mark.promise("T10", "G2")
def test_a_plugin_that_changes_what_it_is_given_changes_nothing_of_ours(tmp_path: Path) -> None:
    class Vandal(Acme):
        def advice(self, spec: Any, request: Any) -> tuple[str, ...]:
            request.options.clear()
            spec.options.clear()
            return ()

        def connect(self, context: Any) -> Any:
            return VandalSession(self)

    class VandalSession(AcmeSession):
        async def prepare(self, call: Any) -> dict[str, Any]:
            call.request.options["acme"]["script"]["end"] = "failed"
            return {}

        async def submit(self, call: Any) -> Any:
            done = await super().submit(call)
            call.spec.options.clear()
            call.request.options.clear()
            return done

        async def poll(self, job: Any) -> Any:
            found = await super().poll(job)
            job.handle["n"] = "vandalised"
            job.request.options.clear()
            job.spec.options.clear()
            return found

    script = {"acme": {"script": {"polls": 2}}}
    with Client(home=tmp_path / "home", plugins=[Vandal(tmp_path)]) as videogen:
        for _ in range(2):
            videogen.generate("a boat", model="paper", options=script)
        for job in videogen.jobs():
            assert job.record.request.options == script
            assert job.record.attempt.request.options == script
            assert job.record.attempt.handle == {"n": 0}
        assert list(videogen.models(provider="acme")[0].options) == ["script"]


HOSTILE = {
    "hangs": ("import time; time.sleep(60)", "took more than"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "leaves": ("import os; os._exit(3)", "exit code 3"),
}


@pytest.mark.promise("T10", "G1")
def test_a_plugin_that_hangs_or_ends_the_process_is_named_and_never_imported_here(folder: Path) -> None:
    found = [entry_point(folder, name, body) for name, (body, _) in HOSTILE.items()]
    hostile = extension(folder, "hostile", HOSTILE["hangs"][0])
    plugins = Plugins(entry_points=[*found, hostile, extension(folder, "fine"), entry_point(folder, "good", GOOD)])
    plugins.examine(seconds=8)
    states = {plugin.name: plugin for plugin in plugins.load_all()}
    assert (states["fine"].state, states["hostile"].state) == ("loaded", "failed")
    assert "took more than" in states["hostile"].error
    assert states["good"].state == "loaded"
    for name, (_, says) in HOSTILE.items():
        assert states[name].state == "failed"
        assert says in states[name].error
        with pytest.raises(PluginError, match=f"videogen-{name} 1.2"):
            plugins.provider(name)


@pytest.mark.promise("T10", "G1", "R1")
def test_what_is_imported_for_a_look_sees_no_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-canary")
    seen = folder / "seen"
    body = f"import os; open({str(seen)!r}, 'a').write(str('ACME_API_KEY' in os.environ))"
    Plugins(entry_points=[entry_point(folder, "curious", body)]).examine()
    assert seen.read_text() == "False"


def test_a_wrong_option_is_no_reason_to_choose_another_provider(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'source = "https://coral.example"\nas_of = 2026-11-01\n[[models]]\nid = "coral/paper"\n'
        "default = { duration = 1 }\nprices = [{ amount = 0.01 }]\n"
        '[[models.modes]]\ntasks = ["text_to_video"]\ndurations = [1]\n'
    )
    wrong = {"acme": {"colour": "blue"}}
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path)], catalog=tmp_path / "own.toml") as videogen:
        with pytest.raises(UnsupportedRequestError, match=r"options\.acme\.colour: unknown option"):
            videogen.route("a boat", model="paper", options=wrong)
        with pytest.raises(UnsupportedRequestError, match=r"options\.acme\.colour: unknown option"):
            videogen.generate("a boat", options=wrong)
        assert [v.field for v in videogen.check("a boat", model="paper", options=wrong)] == ["options.acme.colour"]
