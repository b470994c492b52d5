"""The engine on this machine before the tests that every provider passes: real pipelines, on the processor."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest

from here_alone import PIPELINES, HereAlone
from here_bench import Bench
from local_rig import need_torch
from videogen_core import ModelSpec, Task
from videogen_core.testing.conformance import ProviderSuite

need_torch()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch

    import tiny

torch.set_num_threads(1)
_FOLDER = tempfile.TemporaryDirectory(prefix="videogen-pipelines-")
PLACE = Path(_FOLDER.name) / "pipelines"
STYLE = Path(_FOLDER.name) / "style.safetensors"
_NO_ANSWER = "nothing is sent, so no answer can be refused, broken or late"
_IN_THE_JOB = "the clip comes from this machine's own disk; nothing is fetched"


def _lay_out() -> None:
    """`local/shapes`, and a tiny pipeline that takes pictures, with sizes that tell its shapes apart."""
    import videogen_local

    shipped = Path(videogen_local.__file__).parent / "shapes"
    shutil.copytree(shipped, PLACE / "shapes")
    folder = tiny.save("wan-frames", PLACE / "wan-frames")
    notes = folder / "videogen.toml"
    notes.write_text(notes.read_text(encoding="utf-8").replace("size = [16, 16]", "size = [256, 256]"), "utf-8")
    from safetensors.torch import save_file

    save_file({"style": torch.zeros(1)}, STYLE)
    os.environ[PIPELINES] = str(PLACE)


_lay_out()


@pytest.mark.filterwarnings("ignore")
class TestHere(ProviderSuite):
    provider = HereAlone
    workshop = Bench
    speed = 1.0
    request_ids = False
    option_values: ClassVar[Any] = {
        "loras": [[str(STYLE)], [{"path": str(STYLE), "scale": 0.5}]],
        "attention": ["native", "_native_math"],
    }
    excused: ClassVar[Any] = {
        "test_the_emulator_charges": "what a clip costs is the user's own rate times measured seconds",
        "test_what_it_says_of_lost_creates_fits_together": "there is no emulator whose kind it could be held against",
        "test_an_unknown_status_is_waited_out": "the words for how a job is are this plugin's own",
        **dict.fromkeys(
            (
                "test_a_refused_create_costs_nothing",
                "test_a_limit_is_waited_out",
                "test_an_unreachable_vendor_is_asked_again",
                "test_a_vendor_that_stays_away_is_reported",
                "test_a_poll_that_fails_loses_nothing",
                "test_a_poll_that_hangs_does_not_hold_the_user",
                "test_a_poll_that_is_refused_leaves_the_job_to_be_resumed",
                "test_a_broken_answer_to_a_poll_is_an_error_of_ours",
                "test_a_broken_answer_to_a_create_is_never_a_refusal",
                "test_a_bad_end_says_so_and_what_it_cost",
                "test_an_upload_that_fails_is_repeated",
                "test_the_key_shows_nowhere",
            ),
            _NO_ANSWER,
        ),
        **dict.fromkeys(
            (
                "test_a_download_that_fails_is_made_good",
                "test_no_key_goes_to_the_file_server",
                "test_no_key_follows_a_redirect",
                "test_what_the_vendor_keeps_no_longer_is_said_to_be_gone",
            ),
            _IN_THE_JOB,
        ),
    }

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        if field == "seed":
            return "where none is given one is drawn, so that no two orders are alike; test_local_clips looks at it"
        if field.endswith(".num_frames"):
            return "it has to agree with the duration; test_local_orders looks at it"
        if field.endswith((".width", ".height")):
            return "it takes the place of resolution and aspect ratio; test_local_clips looks at it"
        if field.endswith(".devices"):
            return "it takes as many devices; test_local_team looks at it"
        return ""
