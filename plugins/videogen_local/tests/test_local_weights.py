"""Sizes from safetensors headers: exact, without torch; what is damaged or a pickle is refused in a sentence."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from videogen_core import RequestError
from videogen_local.families import FAMILIES, Nearest
from videogen_local.memory import of_folder
from videogen_local.weights import read_component, read_header, read_weights

_SIZES = {"F32": 4, "BF16": 2, "F8_E4M3": 1}


def packed(tensors: dict[str, tuple[str, list[int]]], **more: Any) -> bytes:
    """A safetensors file by its specification, written without the library."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}} | more
    place = 0
    for name, (kind, shape) in tensors.items():
        size = _SIZES[kind]
        for side in shape:
            size *= side
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(place)


BLOCKS: dict[str, tuple[str, list[int]]] = {
    "patch.weight": ("BF16", [8, 4]),
    "blocks.0.attn.weight": ("BF16", [10, 10]),
    "blocks.0.attn.bias": ("BF16", [10]),
    "blocks.1.attn.weight": ("BF16", [10, 30]),
    "blocks.1.norm.weight": ("F32", [5]),
    "scale": ("F32", []),
}


@pytest.fixture
def component(tmp_path: Path) -> Path:
    folder = tmp_path / "transformer"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def test_sizes_blocks_and_layers_are_added_up(component: Path) -> None:
    (component / "model.safetensors").write_bytes(packed(BLOCKS))
    found = read_component(component)
    assert found is not None
    assert found.elements == 32 + 100 + 10 + 300 + 5 + 1
    assert found.size == 2 * (32 + 100 + 10 + 300) + 4 * 6
    assert found.largest_block == 305
    assert found.largest_leaf == 300
    assert found.files == ("model.safetensors",)


def test_a_component_without_blocks_counts_as_one(component: Path) -> None:
    (component / "model.safetensors").write_bytes(packed({"a.weight": ("F32", [3]), "b.weight": ("F32", [4])}))
    found = read_component(component)
    assert found is not None
    assert (found.largest_block, found.largest_leaf) == (7, 4)


def test_the_header_says_what_torch_loads(component: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    module = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 3)).to(torch.bfloat16)
    save_file(module.state_dict(), component / "model.safetensors")
    found = read_component(component)
    assert found is not None
    assert found.elements == sum(one.numel() for one in module.parameters())
    assert found.size == sum(one.numel() * one.element_size() for one in module.parameters())


def test_shards_are_added_up(component: Path) -> None:
    (component / "m-00001-of-00002.safetensors").write_bytes(packed({"blocks.0.weight": ("BF16", [4])}))
    (component / "m-00002-of-00002.safetensors").write_bytes(packed({"blocks.1.weight": ("BF16", [6])}))
    index = {
        "weight_map": {
            "blocks.0.weight": "m-00001-of-00002.safetensors",
            "blocks.1.weight": "m-00002-of-00002.safetensors",
        }
    }
    (component / "m.safetensors.index.json").write_text(json.dumps(index))
    (component / "stray.safetensors").write_bytes(b"no part of the model")
    found = read_component(component)
    assert found is not None
    assert found.elements == 10


def test_of_several_precisions_the_plain_one_counts_or_the_one_that_is_asked_for(component: Path) -> None:
    (component / "model.safetensors").write_bytes(packed({"w.weight": ("F32", [8])}))
    (component / "model.fp16.safetensors").write_bytes(packed({"w.weight": ("BF16", [8])}))
    plain, half = read_component(component), read_component(component, variant="fp16")
    assert plain is not None
    assert half is not None
    assert (plain.size, half.size) == (32, 16)


def test_what_has_no_weights_is_left_out(tmp_path: Path, component: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    (component / "model.safetensors").write_bytes(packed(BLOCKS))
    assert set(read_weights(tmp_path, ["tokenizer", "transformer", "not there"])) == {"transformer"}


WHOLE = packed(BLOCKS)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "header does not fit"),
        (b"1234567", "header does not fit"),
        (struct.pack("<Q", 2**63) + b"{}", "header does not fit"),
        (struct.pack("<Q", 10) + b"{}", "header does not fit"),
        (struct.pack("<Q", 4) + b"no {", "no JSON"),
        (struct.pack("<Q", 2) + b"[]", "no table"),
        (struct.pack("<Q", 2) + b"\xff\xff", "no JSON"),
        (WHOLE[:-1], "cut off"),
        (WHOLE[: len(WHOLE) // 2], "header does not fit|cut off"),
        (WHOLE + b"\0", "too long"),
        (packed({}, a={"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}), "entry of 'a'"),
        (packed({}, a={"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}), "entry of 'a'"),
        (packed({}, a={"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}), "entry of 'a'"),
        (packed({}, a=7), "entry of 'a'"),
        (b"\x80\x04\x95" + b"pickle" * 9, "header does not fit"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name(component: Path, content: bytes, says: str) -> None:
    (component / "model.safetensors").write_bytes(content)
    with pytest.raises(RequestError, match=rf"transformer/model\.safetensors is damaged: .*({says})") as caught:
        read_component(component)
    assert caught.value.hint == "Download the model again."


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    with suppress(RequestError):
        read_header(path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "weights.pt"])
def test_pickles_are_refused(component: Path, name: str) -> None:
    (component / name).write_bytes(b"\x80\x04.")
    with pytest.raises(RequestError, match=f"{name} is no safetensors file; such files can run code"):
        read_component(component)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "no index"),
        ("[]", "no index"),
        ('{"weight_map": 3}', "no index"),
        ('{"weight_map": {}}', "names files"),
        ('{"weight_map": {"a": "../other/m.safetensors"}}', "names files"),
        ('{"weight_map": {"a": "m.bin"}}', "names files"),
        ('{"weight_map": {"a": 3}}', "no index|names files"),
        ('{"weight_map": {"a": "gone.safetensors"}}', r"gone\.safetensors is missing, one of 1 files"),
    ],
)
def test_an_index_that_is_wrong_is_refused(component: Path, index: str, says: str) -> None:
    (component / "m.safetensors.index.json").write_text(index)
    with pytest.raises(RequestError, match=says):
        read_component(component)


def test_a_folder_s_footprint_reads_headers_and_configurations(tmp_path: Path, component: Path) -> None:
    (component / "model.safetensors").write_bytes(packed(BLOCKS))
    (component / "config.json").write_text('{"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2}')
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "vae.safetensors").write_bytes(packed({"w.weight": ("F32", [1000])}))
    (tmp_path / "vae" / "config.json").write_text("broken")
    clip = Nearest(frames=81, width=832, height=480)
    found = of_folder(tmp_path, FAMILIES["WanPipeline"], vae_bytes=4)(clip)
    assert found.components == {"transformer": 448 * 2, "vae": 4000}
    assert found.denoise == 48 * 24 * 32_760
    assert found.largest_group == 2 * 1000  # the VAE has no blocks and counts as one
