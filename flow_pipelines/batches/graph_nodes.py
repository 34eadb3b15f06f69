"""Facts about ComfyUI's own nodes: which are never outputs, and the range of their numbers.

Source: `nodes.py` and `comfy_extras` of github.com/comfyanonymous/ComfyUI. Where its releases
differ, the widest range is taken: what one of them runs is not refused here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from flow_pipelines.batches.keys import MAX_SEED


class Bounds(NamedTuple):
    """What ComfyUI takes for a number; both ends are allowed."""

    minimum: float
    maximum: float
    whole: bool = False
    """True: an INT, of which ComfyUI cuts decimals off without a word."""


_SEED = Bounds(0, MAX_SEED, whole=True)
_STEPS = Bounds(1, 10_000, whole=True)
_STEP = Bounds(0, 10_000, whole=True)
_CFG = Bounds(0, 100)
_SHARE = Bounds(0, 1)
_SIDE = Bounds(16, 16_384, whole=True)
_TARGET_SIDE = Bounds(0, 16_384, whole=True)
_COUNT = Bounds(1, 4096, whole=True)
_FACTOR = Bounds(0.01, 8)
_CONTROL = Bounds(0, 10)
_LORA = Bounds(-100, 100)

_BOUNDS: Mapping[str, Mapping[str, Bounds]] = {
    "KSampler": {"seed": _SEED, "steps": _STEPS, "cfg": _CFG, "denoise": _SHARE},
    "KSamplerAdvanced": {
        "noise_seed": _SEED,
        "steps": _STEPS,
        "cfg": _CFG,
        "start_at_step": _STEP,
        "end_at_step": _STEP,
    },
    "SamplerCustom": {"noise_seed": _SEED, "cfg": _CFG},
    "RandomNoise": {"noise_seed": _SEED},
    "BasicScheduler": {"steps": _STEPS, "denoise": _SHARE},
    "EmptyLatentImage": {"width": _SIDE, "height": _SIDE, "batch_size": _COUNT},
    "EmptySD3LatentImage": {"width": _SIDE, "height": _SIDE, "batch_size": _COUNT},
    "ImageScale": {"width": _TARGET_SIDE, "height": _TARGET_SIDE},
    "LatentUpscale": {"width": _TARGET_SIDE, "height": _TARGET_SIDE},
    "ImageScaleBy": {"scale_by": _FACTOR},
    "LatentUpscaleBy": {"scale_by": _FACTOR},
    "ControlNetApply": {"strength": _CONTROL},
    "ControlNetApplyAdvanced": {
        "strength": _CONTROL,
        "start_percent": _SHARE,
        "end_percent": _SHARE,
    },
    "LoraLoader": {"strength_model": _LORA, "strength_clip": _LORA},
    "LoraLoaderModelOnly": {"strength_model": _LORA},
    "CLIPSetLastLayer": {"stop_at_clip_layer": Bounds(-24, -1, whole=True)},
    "FluxGuidance": {"guidance": Bounds(0, 100)},
}

_NEVER_OUTPUTS = frozenset(
    """
    KSampler KSamplerAdvanced SamplerCustom SamplerCustomAdvanced RandomNoise BasicScheduler
    BasicGuider KSamplerSelect CheckpointLoaderSimple CheckpointLoader unCLIPCheckpointLoader
    DiffusersLoader UNETLoader VAELoader CLIPLoader DualCLIPLoader TripleCLIPLoader
    CLIPVisionLoader ControlNetLoader DiffControlNetLoader StyleModelLoader GLIGENLoader
    UpscaleModelLoader LoraLoader LoraLoaderModelOnly LoadImage LoadImageMask LoadLatent
    CLIPTextEncode CLIPTextEncodeSDXL CLIPTextEncodeFlux CLIPSetLastLayer CLIPVisionEncode
    ConditioningCombine ConditioningAverage ConditioningConcat ConditioningSetArea
    ConditioningSetAreaPercentage ConditioningSetMask ConditioningSetTimestepRange
    ConditioningZeroOut unCLIPConditioning GLIGENTextBoxApply StyleModelApply FluxGuidance
    ControlNetApply ControlNetApplyAdvanced InpaintModelConditioning VAEDecode VAEDecodeTiled
    VAEEncode VAEEncodeTiled VAEEncodeForInpaint EmptyLatentImage EmptySD3LatentImage
    LatentUpscale LatentUpscaleBy LatentFromBatch RepeatLatentBatch LatentComposite LatentBlend
    LatentRotate LatentFlip LatentCrop SetLatentNoiseMask ImageScale ImageScaleBy ImageInvert
    ImageBatch ImagePadForOutpaint EmptyImage ImageUpscaleWithModel ModelSamplingAuraFlow
    ModelSamplingSD3 ModelSamplingFlux
    """.split()  # noqa: SIM905 - names to look up, not a page of quotes
)
_SOUNDS_LIKE_AN_OUTPUT = re.compile(
    r"save|preview|show|display|output|export|combine|send|upload", re.IGNORECASE
)


def bounds_of(class_type: str, field: str) -> Bounds | None:
    """Return what ComfyUI takes for a number; None: not known."""
    return _BOUNDS.get(class_type, {}).get(field)


def may_be_output(class_type: str, *, ends: bool) -> bool:
    """Return whether a node may be an output node; `ends`: no other node is plugged into it.

    Of nodes that are not ComfyUI's own only the service knows. One that hands something on and
    saves it besides mostly says so by its name.
    """
    if class_type in _NEVER_OUTPUTS:
        return False
    return ends or _SOUNDS_LIKE_AN_OUTPUT.search(class_type) is not None
