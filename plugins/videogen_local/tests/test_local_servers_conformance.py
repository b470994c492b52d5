"""Servers before the tests that every provider passes: each dialect against its emulator."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from servers_openai import OpenaiAlone
from servers_sglang import SglangAlone
from servers_vllm import VllmOmniAlone
from videogen_core import ModelSpec, Task
from videogen_core.testing.conformance import ProviderSuite, Quoted, Rig

_NO_STOP = "the server has no way to stop a job that it has taken"


class TestVllmOmni(ProviderSuite):
    provider = VllmOmniAlone
    quotes: ClassVar[Any] = [Quoted("server", {"duration": 5, "resolution": "480p"}, "0.05")]  # 5 x 10 s x 0.001
    option_values: ClassVar[Any] = {
        "lora": [{"name": "ink", "path": "/loras/ink", "scale": 0.8}, {"name": "oil", "path": "/loras/oil"}],
        "extra": [{"preencode_mp4": True}, {"preencode_mp4": False}],
    }

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        return "it goes with guidance, of the other expert" if field.endswith(".guidance_scale_2") else ""


class TestSglang(ProviderSuite):
    provider = SglangAlone
    quotes: ClassVar[Any] = [Quoted("server", {"duration": 5, "resolution": "480p"}, "0.05")]

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        if field == "seed":
            return "where none is given one is drawn, so that no two creates are alike; test_local_servers looks at it"
        return "it goes with guidance, of the other expert" if field.endswith(".guidance_scale_2") else ""

    @pytest.mark.xfail(reason=_NO_STOP)
    async def test_a_job_is_cancelled_or_says_that_it_cannot_be(self, rig: Rig) -> None:
        await super().test_a_job_is_cancelled_or_says_that_it_cannot_be(rig)


class TestOpenai(ProviderSuite):
    provider = OpenaiAlone
    quotes: ClassVar[Any] = [Quoted("server", {"duration": 8, "resolution": "720p"}, "0.08")]

    @pytest.mark.xfail(reason=_NO_STOP)
    async def test_a_job_is_cancelled_or_says_that_it_cannot_be(self, rig: Rig) -> None:
        await super().test_a_job_is_cancelled_or_says_that_it_cannot_be(rig)
