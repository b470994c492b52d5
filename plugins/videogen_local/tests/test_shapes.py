"""`local/shapes`, the small model that ships with the plugin: what its folder holds, and what it draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shapes_rig import scorer, world

FOLDER = Path(__file__).resolve().parents[1] / "src" / "videogen_local" / "shapes"

ABOUT_TWO_MEGABYTES = 2_900_000
FIRST_SEED = 41_000  # training drew no noise from these
HANDFUL = (*(scene for scene in world.SCENES if scene.held_out),)[::2]


def test_the_folder_is_small_and_holds_nothing_but_data() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors"}
    assert sum(path.stat().st_size for path in files) < ABOUT_TWO_MEGABYTES


def test_every_component_is_a_stock_class() -> None:
    index = json.loads((FOLDER / "model_index.json").read_text(encoding="utf-8"))
    components = {name: tuple(value) for name, value in index.items() if isinstance(value, list) and value[0]}
    assert index["_class_name"] == "WanPipeline"
    assert components == {
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        "text_encoder": ("transformers", "UMT5EncoderModel"),
        "tokenizer": ("transformers", "PreTrainedTokenizerFast"),
        "transformer": ("diffusers", "WanTransformer3DModel"),
        "vae": ("diffusers", "AutoencoderKLWan"),
    }


def test_no_file_names_the_machine_it_was_made_on() -> None:
    for path in FOLDER.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert '"/' not in text, path
        assert "_name_or_path" not in json.loads(text), path


pytestmark = pytest.mark.filterwarnings("default")  # torch, diffusers and transformers warn of each other's plans


@pytest.fixture(scope="module")
def score() -> Iterator[Any]:
    """The script that makes clips with plain diffusers, on one thread: two on a busy machine take ten times as long."""
    torch = pytest.importorskip("torch", reason="pip install 'videogen-local[torch]'")
    pytest.importorskip("diffusers", reason="pip install 'videogen-local[torch]'")
    import score as script

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield script
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pipeline(score: Any) -> Any:
    return score.load(FOLDER)


def test_it_draws_what_no_training_showed_it(score: Any, pipeline: Any) -> None:
    """Combinations that were held out, with fresh seeds: the scorer counts what is right."""
    total = scorer.tally(score.clips(pipeline, HANDFUL, iter(range(FIRST_SEED, 2**31))))
    assert total.clips == 12
    assert min(total.colour, total.direction, total.background) >= 11, total
    assert total.shape >= 10, total


def test_it_draws_the_shapes_that_training_showed_it(score: Any, pipeline: Any) -> None:
    seen = [scene for scene in world.SCENES if not scene.held_out][::8]
    total = scorer.tally(score.clips(pipeline, seen, iter(range(FIRST_SEED, 2**31))))
    assert total.clips == 12
    assert total.shape >= 10, total


def test_the_sentence_decides_and_the_seed_varies(score: Any, pipeline: Any) -> None:
    circle, square = world.Scene("circle", "red", "left", "white"), world.Scene("square", "blue", "down", "black")
    first = score.clip(pipeline, circle.sentence(), seed=FIRST_SEED)
    assert (score.clip(pipeline, circle.sentence(), seed=FIRST_SEED) == first).all()
    assert (score.clip(pipeline, circle.sentence(), seed=FIRST_SEED + 1) != first).any()
    other = scorer.read(score.clip(pipeline, square.sentence(), seed=FIRST_SEED))
    assert other.colour == "blue"
    assert scorer.read(first).colour == "red"


@pytest.mark.parametrize("template", range(1, len(world.SENTENCES)))
def test_other_words_for_it_do_as_well(score: Any, pipeline: Any, template: int) -> None:
    scene = world.Scene("circle", "green", "right", "black")
    reading = scorer.read(score.clip(pipeline, scene.sentence(template).capitalize(), seed=FIRST_SEED + template))
    assert (reading.colour, reading.direction, reading.background) == ("green", "right", "black")


def test_the_length_that_sentences_are_padded_to_does_not_matter(score: Any, pipeline: Any) -> None:
    """Wan's attention looks at the padding; a model that minded would draw something else for another length."""
    scene = world.Scene("square", "yellow", "up", "black")
    for length in (32, 226, 512):
        padded = partial(pipeline, max_sequence_length=length)
        reading = scorer.read(score.clip(padded, scene.sentence(), seed=FIRST_SEED))
        assert (reading.colour, reading.direction, reading.background) == ("yellow", "up", "black"), length


def test_the_autoencoder_gives_back_what_it_is_given(pipeline: Any) -> None:
    import torch

    drawn = torch.from_numpy(world.draw(world.Scene("triangle", "purple", "down", "white")))
    clip = drawn.permute(3, 0, 1, 2)[None] * 2 - 1
    with torch.no_grad():
        back = pipeline.vae.decode(pipeline.vae.encode(clip).latent_dist.mode()).sample
    assert ((back - clip) / 2).square().mean() < 10**-2.2  # 22 dB
    assert scorer.read(((back[0].permute(1, 2, 3, 0) + 1) / 2).numpy()).shape == "triangle"
