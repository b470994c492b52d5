"""Content blocks: how to recognise one in Google's words, and what its support codes mean."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources

from videogen_core import ContentPolicyError

__all__ = ["blocked", "is_block", "support_codes"]

_CODES = re.compile(r"support codes?:?\s*([\d][\d,\s]*)", re.IGNORECASE)
_WORDS = re.compile(
    r"safety|usage guidelines|content polic|responsible ai|prompt could not be submitted|might violate|"
    r"\b(PROHIBITED_CONTENT|BLOCKLIST|SPII|SAFETY|RECITATION)\b",
    re.IGNORECASE,
)
_OF_SOUND = re.compile(r"\baudio\b", re.IGNORECASE)


@cache
def _categories() -> tuple[dict[str, str], dict[str, str]]:
    """Support code -> category, and category -> meaning."""
    text = resources.files(__package__).joinpath("support_codes.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return {code: name for name, codes in table["codes"].items() for code in codes}, table["meaning"]


def support_codes(text: str) -> list[str]:
    """The support codes that a message holds."""
    return [code for found in _CODES.findall(text) for code in re.findall(r"\d+", found)]


def is_block(text: str) -> bool:
    """Whether a message is about content. Only to be asked where the status leaves that open."""
    return bool(support_codes(text)) or _WORDS.search(text) is not None


def blocked(
    reason: str,
    *,
    model: str | None = None,
    charged: bool | None = False,
    accepted: bool | None = None,
    status_code: int | None = None,
    request_id: str | None = None,
) -> ContentPolicyError:
    """The error of a content block, with Google's reason as it came.

    Args:
        reason: Google's words.
        model: Offer id.
        charged: Whether it was paid for; the filters of Veo are free.
        accepted: See `ProviderError`.
        status_code: HTTP status.
        request_id: Google's id of the request.
    """
    codes = support_codes(reason)
    known, meaning = _categories()
    names = list(dict.fromkeys(known.get(code, "unknown") for code in codes))
    why = "; ".join(meaning[name] for name in names if name in meaning)
    if _OF_SOUND.search(reason) and not codes:
        hint = (
            "The filter of sound varies from try to try: the same request often succeeds; Veo makes silent clips, too."
        )
    else:
        hint = f"{why[:1].upper()}{why[1:]}. " if why else ""
        hint += "Change the prompt or the inputs."
    return ContentPolicyError(
        f"Google's content filter blocked it: {reason.strip() or 'no reason is given'}",
        provider="veo",
        model=model,
        code=",".join(names) or None,
        status_code=status_code,
        request_id=request_id,
        charged=charged,
        accepted=accepted,
        hint=hint,
    )
