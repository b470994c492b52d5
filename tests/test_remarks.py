"""What a provider says of how it would go about a request, where a route is explained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from test_readiness import Picky, client
from videogen_core import ModelSpec, VideoRequest


class Talking(Picky):
    """Says of one of its offers what it is told, and breaks on another."""

    def check_offer(self, spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        return

    def remark(
        self,
        spec: ModelSpec,
        request: VideoRequest,
        environment: Mapping[str, str],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> str:
        if spec.name == "pro":
            raise RuntimeError("a bug")
        return f"{request.duration:g} s, {settings['pace']}, {folder.name}" if spec.name == "paper" else ""


def test_a_route_says_how_a_provider_would_go_about_it(tmp_path: Path) -> None:
    with client(tmp_path, Talking(tmp_path), providers={"acme": {"pace": "slowly"}}) as videogen:
        route = videogen.route("a boat", providers="acme", allow_unknown_price=True)
        lines = {line.split()[1]: line for line in route.explain().splitlines()}
        assert len(route.candidates) == 3  # a provider that breaks while it talks loses no offer
        assert f"{route.chosen.request.duration:g} s, slowly, acme" in lines["acme/paper"]
        assert "slowly" not in lines["acme/pro"] + lines["acme/pro-max"]
