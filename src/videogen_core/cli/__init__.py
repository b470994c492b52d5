"""The command line ``videogen``: the Python interface with arguments instead of keywords.

`main` is the script. Everything else, typer and rich included, is imported when it runs.

With ``--json`` a command prints exactly one JSON document on standard output. Money is text, dates are ISO 8601, and
the shapes are promised:

==============  =====================================================================================================
command         document
==============  =====================================================================================================
any, on error   ``{"error": {"type", "message", "hint", ...}}``, what `VideogenError.to_dict` gives
generate        `Result.to_dict`
batch           `BatchReport.to_dict`; the results file holds a `BatchRow` on each line
compare         ``{"prompt", "rows": [{"model", "offer", "estimate": {"low", "high"}, "cost", "seconds", "seed",
                "job_id", "result" or null, "error" or null}, ...], "cost", "sheet" or null}``
submit, cancel  `Job.to_dict`
jobs            ``{"jobs": [Job.to_dict, ...]}``
jobs --unknown  the same, each with ``"unknown": {"reason", "asked_at", "held", "reference", "search", "console",
                "on_unknown"}``
jobs JOB        `Job.to_dict` with ``"events": [Event.to_dict, ...]``
jobs settle     `Job.to_dict`
resume          ``{"jobs": [{"job_id", "result" or null, "error" or null}, ...]}``
route           `Route.to_dict`
estimate        `Quote.to_dict`
check           ``{"valid": bool, "violations": [Violation.to_dict, ...]}``
models          ``{"models": [rows as --json-schema describes them], "not_ready": {provider or offer: reason}}``
  --refresh     ``{"asked": count, "changed": {offer: [sentence, ...]}}``
emulate         ``{"name", "api_url", "delivery_url", "environment": {variable: value}}``, and it goes on
new-plugin      ``{"name", "kind", "folder", "files": [relative path, ...]}``
budgets         ``{"budgets": [BudgetState.to_dict with "state": ok, warning, exhausted or blocked, ...]}``
budgets set,    one of these
  acknowledge
budgets remove  ``{"removed": name}``
costs           ``{"by", "since", "until", "lines": [CostLine.to_dict, ...], "total": CostLine.to_dict}``
ledger          ``{"location", "schema", "latest", "unfinished", "unknown", "budgets"}``
ledger check    ``{"ok": bool, "faults": [sentence, ...]}``
ledger migrate  ``{"from", "to"}``
ledger export   with or without ``--json``: a document on each line, ``{"job", "events"}`` or ``{"budget"}``
ledger vacuum   ``{"deleted", "before" or null}``
plugins         ``{"plugins": [{"name", "kind", "distribution", "version", "state", "error", "plugin_api", "hooks",
                "faults", "models", "ready", "reason", "setup"}, ...]}``
plugins verify  ``{"plugin", "distribution", "version", "plugin_api", "core", "ok", "suite", "promises": [row, ...],
                "failures": [...], "excused": [...], "timed_out"}``; the JSON reference has the rows
catalog lint    ``{"ok": bool, "offers": count, "remarks": [{"catalogue", "offer", "rule", "level", "message"}, ...]}``
catalog stale   ``{"ok": bool, "days", "stale": [Fact with "age", ...], "retiring": [...]}``
catalog diff    ``{"old", "new", "differences": [Difference, ...]}``
doctor          ``{"ok": bool, "environment": [{"name", "value", "ok", "hint"}, ...], "plugins": [as above, with
                "online": {"ok", "message"} or null], "advice": [sentence, ...]}``
config          ``{"settings": [{"name", "value", "source"}, ...], "files": [{"path", "found"}, ...]}``
==============  =====================================================================================================

Exit codes: 0 done, 1 internal error, 2 bad request, usage or configuration, or an examination that found something, 3
budget, 4 provider, 5 timeout (the job can be resumed), 130 interrupted and 143 terminated (likewise), 141 the reader of
a pipe went away.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; None = the process's.

    Returns:
        The exit code.
    """
    try:
        from .run import run
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:] if arguments is None else list(arguments))
