"""Errors: the documented tree is the real one, and each survives a pickle, a copy, a process and JSON."""

from __future__ import annotations

import copy
import json
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from videogen_core import errors
from videogen_core.errors import (
    BudgetExceededError,
    DownloadError,
    NoRouteError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
    UnsupportedRequestError,
    VideogenError,
)
from videogen_core.limits import Violation
from videogen_core.routing import Rejection

CLASSES = sorted((getattr(errors, name) for name in errors.__all__), key=lambda cls: cls.__name__)
VIOLATION = Violation(
    field="duration", value=5.0, allowed=[4.0, 8.0], nearest=4.0, message="duration: 5 is not possible."
)
REJECTION = Rejection(offer="veo/veo-3.1-fast", reason="cost", message="estimated at $3.20, max_cost is $1")


def example(cls: type[VideogenError]) -> VideogenError:
    """An error of the class with every attribute set."""
    known: dict[str, Any] = {"hint": "Try again later.", "job_id": "vg-1"}
    if issubclass(cls, ProviderError):
        known |= {
            "provider": "veo",
            "model": "veo/veo-3.1-fast",
            "code": "429",
            "status_code": 429,
            "request_id": "r-1",
        }
        known |= {"retryable": True, "charged": False, "retry_after": 2.5, "accepted": False}
    if cls is UnsupportedRequestError:
        known["violations"] = [VIOLATION]
    if cls is NoRouteError:
        known["rejected"] = [REJECTION]
    return cls("It went wrong.", **known)


def facts_of(error: VideogenError) -> tuple[Any, ...]:
    return type(error), error.args, vars(error)


def returned(error: VideogenError) -> VideogenError:
    return error


def raised(error: VideogenError) -> None:
    raise error


def documented_tree() -> dict[str, str | None]:
    """Class -> parent, read off the drawing in the module's docstring."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([\s│├└─]*)(\w+Error)\b", line)
        if match:
            depth, name = len(match[1]), match[2]
            above = [(d, n) for d, n in above if d < depth]
            found[name] = above[-1][1] if above else None
            above.append((depth, name))
    return found


def test_the_documented_tree_is_the_real_one() -> None:
    real = {cls.__name__: cls.__base__.__name__ if cls is not VideogenError else None for cls in CLASSES}
    assert documented_tree() == real


def test_no_error_has_a_foreign_base() -> None:
    for cls in CLASSES:
        foreign = [base for base in cls.__mro__ if base.__module__ not in (errors.__name__, "builtins")]
        assert foreign == []


def test_every_error_defined_is_exported() -> None:
    defined = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)}
    assert defined == set(errors.__all__)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_pickle_and_copy_keep_every_attribute(cls: type[VideogenError], again: Any) -> None:
    error = example(cls)
    assert facts_of(again(error)) == facts_of(error)


def test_errors_cross_a_process_pool_both_ways() -> None:
    examples = [example(cls) for cls in CLASSES]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert [facts_of(e) for e in pool.map(returned, examples)] == [facts_of(e) for e in examples]
        for error in examples:
            with pytest.raises(VideogenError) as caught:
                pool.submit(raised, error).result()
            assert (caught.type, str(caught.value)) == (type(error), str(error))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_str_says_what_happened_and_what_to_do(cls: type[VideogenError]) -> None:
    assert str(example(cls)) == "It went wrong.\nHint: Try again later."
    assert str(cls("It went wrong.")) == "It went wrong."


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_to_dict_is_plain_json(cls: type[VideogenError]) -> None:
    data = example(cls).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["type"] == cls.__name__
    assert (data["message"], data["hint"], data["job_id"]) == ("It went wrong.", "Try again later.", "vg-1")


def test_to_dict_carries_what_the_class_knows() -> None:
    assert example(UnsupportedRequestError).to_dict()["violations"][0]["nearest"] == 4.0
    assert example(NoRouteError).to_dict()["rejected"] == [REJECTION.to_dict()]
    provider = example(RateLimitError).to_dict()
    assert (provider["status_code"], provider["retry_after"], provider["charged"]) == (429, 2.5, False)
    assert "code" not in BudgetExceededError("Too dear.").to_dict()


def test_what_is_true_of_a_class_holds_unless_the_plugin_knows_better() -> None:
    assert RateLimitError("Slow down.").retryable
    assert RateLimitError("Slow down.").charged is False
    assert RateLimitError("Slow down.", retryable=False, charged=True).retryable is False
    assert ProviderUnavailableError("Down.").charged is None
    assert ProviderUnavailableError.curable_elsewhere
    assert not issubclass(DownloadError, ProviderError)
