"""The trained parts of `local/shapes`, and the pipeline they end up in: stock classes of small sizes."""

from __future__ import annotations

import re
from typing import Any, Final

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from codec import COMPONENTS
from world import BACKGROUNDS, COLOURS, DIRECTIONS, SENTENCES, SHAPES

SHIFT: Final = 1.0  # of the noise schedule, in sampling and in most of the training: all levels of noise alike
TEXT: Final = 64  # width of the text encoder
SPECIAL: Final = ("<pad>", "</s>", "<unk>")
FILLERS: Final = tuple(sorted(set(re.findall(r"\w+|[,.]", re.sub(r"{\w+}", "", " ".join(SENTENCES))))))
WORDS: Final = (*SPECIAL, *SHAPES, *COLOURS, *DIRECTIONS, *BACKGROUNDS, *FILLERS)


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, those of the sentences and no others, in lower case; every other word is one and the same to it."""
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    upwards, downwards = (normalizers.Replace(Regex(f"{way}wards?"), way) for way in ("up", "down"))
    made.normalizer = normalizers.Sequence([normalizers.Lowercase(), upwards, downwards])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def text_encoder() -> UMT5EncoderModel:
    config = UMT5Config(
        vocab_size=len(WORDS),
        d_model=TEXT,
        d_kv=16,
        d_ff=2 * TEXT,
        num_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=WORDS.index("<pad>"),
        eos_token_id=WORDS.index("</s>"),
        decoder_start_token_id=WORDS.index("<pad>"),
    )
    return UMT5EncoderModel(config)


def transformer() -> WanTransformer3DModel:
    """One token stands for 16 x 16 pixels of three frames: 48 tokens for a clip."""
    return WanTransformer3DModel(
        patch_size=(3, 2, 2),
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=COMPONENTS,
        out_channels=COMPONENTS,
        text_dim=TEXT,
        freq_dim=64,
        ffn_dim=384,
        num_layers=4,
        rope_max_seq_len=32,
    )


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=SHIFT)


def pipeline(
    vae: AutoencoderKLWan, words: PreTrainedTokenizerFast, text: UMT5EncoderModel, denoiser: WanTransformer3DModel
) -> WanPipeline:
    made = WanPipeline(
        tokenizer=words, text_encoder=text.eval(), vae=vae, scheduler=scheduler(), transformer=denoiser.eval()
    )
    made.set_progress_bar_config(disable=True)
    return made


class Padded:
    """Attention to a sentence as the pipeline pads it, without computing the padding.

    The pipeline fills a sentence up with zeros, 512 positions unless told otherwise, and Wan's attention looks at those
    too. They are all alike, so one zero with the logarithm of their number added to its score stands for them all.
    """

    def __init__(self, plain: Any) -> None:
        self.plain, self.bias = plain, torch.zeros(1)

    def __call__(
        self, attention: Any, hidden: torch.Tensor, text: torch.Tensor, mask: None = None, rotary: None = None
    ) -> Any:
        return self.plain(attention, hidden, text, self.bias, rotary)
