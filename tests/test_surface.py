"""The public surface, checked: sync and async twins, exported names, docstrings, the error tree."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import videogen
import videogen_core
from architecture import SOURCE, files, is_type_checking, parsed

# --- sync and async are the same words --------------------------------------------------------------------------

ASYNC_ONLY = {"on"}  # the seam through which the sync client and the module functions make theirs


def described(function: Callable[..., object]) -> str:
    """A signature in words that are the same for a pair of twins."""
    return re.sub(r"\bAsync(?=[A-Z])", "", str(inspect.signature(function)))


def public_members(cls: type) -> dict[str, Any]:
    """Own and inherited members without an underscore, and the constructor."""
    names = {name for base in cls.__mro__[:-1] for name in vars(base) if not name.startswith("_")}
    return {name: inspect.getattr_static(cls, name) for name in sorted(names | {"__init__"})}


PAIRS: list[tuple[type, type]] = [(videogen.Client, videogen.AsyncClient), (videogen.Job, videogen.AsyncJob)]


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=["Client", "Job"])
def test_the_classes_are_twins(sync: type, asynchronous: type) -> None:
    ours, theirs = public_members(sync), public_members(asynchronous)
    assert set(ours) == set(theirs) - ASYNC_ONLY
    for name, member in ours.items():
        if isinstance(member, property):
            assert isinstance(theirs[name], property), name
            assert member.__doc__ == theirs[name].__doc__, name
            continue
        assert described(member) == described(theirs[name]), name
        assert inspect.getdoc(member) == inspect.getdoc(theirs[name]), name
        assert name == "__init__" or inspect.getdoc(member), f"{name} has no docstring"


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=["Client", "Job"])
def test_the_async_twin_is_async(sync: type, asynchronous: type) -> None:
    for name, member in public_members(sync).items():
        if inspect.isfunction(member) and name not in ("__init__", "to_dict"):
            twin = inspect.getattr_static(asynchronous, name)
            assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin), name


def test_the_functions_are_the_clients_methods() -> None:
    methods = {n: m for n, m in public_members(PAIRS[0][0]).items() if inspect.isfunction(m)}
    for name in methods.keys() - {"__init__", "close"}:
        for function, of in ((name, videogen.Client), (f"a{name}", videogen.AsyncClient)):
            assert function in videogen.__all__
            twin = getattr(videogen, function)
            model = getattr(of, name)
            assert str(inspect.signature(twin)) == str(_without_self(model)), function
            assert f"`{of.__name__}.{name}`" in (inspect.getdoc(twin) or ""), (
                f"{function} does not say where to read on"
            )
            assert inspect.iscoroutinefunction(twin) == (of is videogen.AsyncClient), function


def _without_self(function: Callable[..., object]) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


# --- exported names ---------------------------------------------------------------------------------------------


def _lazy_table() -> dict[str, str]:
    for node in ast.walk(parsed(SOURCE / "__init__.py")):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            table: dict[str, str] = ast.literal_eval(node.value)
            return table
    raise AssertionError("there is no _HOME in videogen_core/__init__.py")


def _seen_by_type_checkers() -> dict[str, str]:
    found: dict[str, str] = {}
    for node in parsed(SOURCE / "__init__.py").body:
        if isinstance(node, ast.If) and is_type_checking(node):
            for statement in [part for part in node.body if isinstance(part, ast.ImportFrom)]:
                for alias in statement.names:
                    assert alias.asname == alias.name, f"{alias.name}: a re-export is written `X as X`"
                    found[alias.name] = statement.module or ""
    return found


def test_both_import_names_export_the_same() -> None:
    assert videogen.__all__ == videogen_core.__all__
    assert sorted(set(videogen_core.__all__)) == sorted(videogen_core.__all__)
    assert list(videogen_core.__all__) == ["__version__", *sorted(_lazy_table())]
    for name in videogen_core.__all__:
        value, same = getattr(videogen, name), getattr(videogen_core, name)
        assert value is same or value == same  # the version is read afresh each time
    assert set(dir(videogen)) >= set(videogen.__all__)


def test_type_checkers_see_what_runs() -> None:
    assert _seen_by_type_checkers() == _lazy_table()


def test_an_unknown_name_is_an_attribute_error() -> None:
    for module in (videogen, videogen_core):
        with pytest.raises(AttributeError, match="nonsense"):
            _ = module.nonsense


@pytest.mark.parametrize("name", sorted(set(_lazy_table().values())))
def test_a_module_lists_what_it_offers(name: str) -> None:
    module = importlib.import_module(f"videogen_core.{name}")
    listed = list(getattr(module, "__all__", ()))
    assert {export for export, home in _lazy_table().items() if home == name} <= set(listed)
    missing = [entry for entry in listed if not hasattr(module, entry)]
    assert missing == []


def test_the_whole_error_tree_is_exported() -> None:
    def below(cls: type) -> set[type]:
        found = {cls}
        for sub in cls.__subclasses__():
            found |= below(sub)
        return found

    errors = importlib.import_module("videogen_core.errors")
    ours = {cls.__name__ for cls in below(errors.VideogenError) if cls.__module__ == errors.__name__}
    assert ours == set(errors.__all__)
    assert ours <= set(videogen.__all__)
    drawn = set(re.findall(r"\b\w+Error\b", errors.__doc__ or ""))
    assert drawn == ours, "the drawing at the top of errors.py"
    for name in ours:
        assert {base.__module__ for base in getattr(videogen, name).__mro__} <= {errors.__name__, "builtins"}


def _undocumented(name: str, value: object) -> Iterator[str]:
    if inspect.isclass(value):
        if not (value.__doc__ or "").strip():
            yield name
        for attribute, member in vars(value).items():
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if attribute.startswith("_") or not (inspect.isfunction(function) or isinstance(function, property)):
                continue
            if not inspect.getdoc(getattr(value, attribute) if inspect.isfunction(function) else function):
                yield f"{name}.{attribute}"
    elif inspect.isfunction(value) and not value.__doc__:
        yield name


def test_every_public_name_is_documented() -> None:
    bare = [where for name in videogen.__all__ for where in _undocumented(name, getattr(videogen, name))]
    assert bare == []


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parsed(path))
