"""What the trainer can be told: the model and its weights, the schedule, the machine, the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from boxloop.setting_checks import check, check_option

STARTS = ("previous_round", "detector", "backbone", "nothing")
MULTI_WORKER = "multi_worker"
FORMATS = ("checkpoint", "torch_lite0", "torch_mobilenet_v2")


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """Pretrained weights: where they come from and how to know them."""

    source: str
    """package:NAME for a file of an installed package, or https://, gs://, or a path."""
    sha256: str | None = None
    """Of the file. Weights from a network are not used without."""
    file: str | None = None
    """The file inside the package or archive; for a checkpoint its prefix, such as ckpt-33264."""
    format: str = "checkpoint"
    """checkpoint (of Model Garden), torch_lite0 or torch_mobilenet_v2."""
    num_classes: int | None = None
    """Of a whole detector's class head, the background included; None for a backbone."""
    licence: str = "unknown"
    trained_on: str = "unknown"

    def __post_init__(self) -> None:
        check_option("weights.format", self.format, FORMATS)
        check(
            self.sha256 is None or (len(self.sha256) == 64 and set(self.sha256) <= set(_HEX)),
            f"weights.sha256 must be 64 hexadecimal digits, got {self.sha256!r}",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A zoo entry: a Model Garden experiment, its overrides and its pretrained weights."""

    name: str
    experiment: str
    """Name in Model Garden's experiment registry, such as retinanet_mobile_coco."""
    task: str
    """What people call it: RetinaNet, Faster R-CNN, Cascade R-CNN."""
    input_size: list[int]
    """Height and width in pixels, multiples of 2**max_level; images are fitted into it."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Model Garden settings laid over the experiment's own."""
    backbone: WeightsConfig | None = None
    """Pretrained weights of the backbone alone."""
    detector: WeightsConfig | None = None
    """Pretrained weights of the whole detector; its class head is replaced."""
    coco_map: float | None = None
    """Published AP on COCO (IoU 0.5 to 0.95), in percent, of the model closest to this one."""
    coco_source: str | None = None
    """Who published it, and for which input size."""

    def __post_init__(self) -> None:
        check(
            len(self.input_size) == 2 and all(side > 0 for side in self.input_size),
            f"model.input_size must be height and width, got {self.input_size}",
        )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes to training images, boxes following; the default is Model Garden's own."""

    flip: bool = True
    """Mirror half of the images. Off where left and right differ, such as for digits."""
    scale_min: float = 0.8
    """Smallest zoom; 1 fills the model's input."""
    scale_max: float = 1.2
    """Largest zoom; above 1 the image is cropped."""
    brightness: float = 0.0
    """Largest change of brightness, as a share of the full range, in [0, 1)."""
    colour: float = 0.0
    """Largest relative change of contrast and saturation, in [0, 1); hue changes a tenth of it."""
    rotation: float = 0.0
    """Largest angle in degrees, at most 45; boxes grow to hold what they held."""
    rand_augment: int = 0
    """RandAugment of colours, 0 to 10; 0 is off, 5 is mild, 10 the paper's strength."""
    mosaic: float = 0.0
    """Share of training images that are four images put together."""
    paste: float = 0.0
    """Share of training images that get a box of another image pasted in, rare classes first."""

    def __post_init__(self) -> None:
        for name in ("brightness", "colour"):
            value = getattr(self, name)
            check(0 <= value < 1, f"train.augment.{name} must be in [0, 1), got {value}")
        for name in ("mosaic", "paste"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"train.augment.{name} must be in [0, 1], got {value}")
        check(
            0 < self.scale_min <= self.scale_max,
            f"train.augment.scale_min must be in (0, scale_max], got {self.scale_min} "
            f"and {self.scale_max}",
        )
        check(
            0 <= self.rotation <= 45,
            f"train.augment.rotation must be in [0, 45] degrees, got {self.rotation}",
        )
        check(
            0 <= self.rand_augment <= 10,
            f"train.augment.rand_augment must be in [0, 10], got {self.rand_augment}",
        )


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """What the arithmetic runs on."""

    strategy: str = "one_device"
    """one_device; mirrored: all GPUs of this machine; multi_worker: all GPUs, or the processors, of
    several hosts, as many as the launcher's option `hosts` says (docs/operator.md); or tpu. Each
    device has an equal share of batch_size."""
    precision: str = "float32"
    """float32, mixed_float16 (GPUs) or mixed_bfloat16 (TPUs, new GPUs): half the memory."""
    xla: bool = False
    """Compile the training step with XLA; takes minutes to start, GPUs only."""
    tpu: str | None = None
    """Name or grpc:// address of the TPU, for strategy tpu."""

    def __post_init__(self) -> None:
        strategies = ("one_device", "mirrored", MULTI_WORKER, "tpu")
        check_option("train.device.strategy", self.strategy, strategies)
        precisions = ("float32", "mixed_float16", "mixed_bfloat16")
        check_option("train.device.precision", self.precision, precisions)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, how fast and on what a round trains."""

    steps: int = 200
    """Optimiser steps a round; time grows in proportion."""
    images: int | None = None
    """Images seen a round; where it is given, steps is not looked at."""
    batch_size: int = 16
    """Images a step, over all devices; memory grows in proportion."""
    learning_rate: float = 0.05
    """Peak of the schedule that each round runs anew."""
    schedule: str = "cosine"
    """cosine: falls smoothly to 0; step: a tenth of it after 70 % of the
    steps, a hundredth after 90 %."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises to its peak."""
    clip_norm: float = 10.0
    """Largest norm of all gradients together; 0 is no limit."""
    ema: float = 0.0
    """Decay of the moving average of the weights, such as 0.998; it becomes the
    detector. 0: off."""
    start: str = "previous_round"
    """What a round begins with: previous_round (the first round: the model's pretrained detector,
    else its backbone); detector, backbone or nothing: the same in every round."""
    continue_from: str | None = None
    """Folder of a finished round, such as <run>/round_03: the first round goes on from its weights.
    Its classes must be those of the data. Only with start: previous_round."""
    continue_digest: str | None = None
    """Of those weights, as `boxloop champion show` tells it; others are refused."""
    freeze_backbone: bool | int = False
    """true: train decoder and heads only, faster and less exact; a number: only for so many steps
    of each round."""
    evaluate_every: int | None = None
    """Evaluate on the validation split every so many steps, for TensorBoard and keep: best."""
    keep: str = "last"
    """The checkpoint that becomes the round's detector: last, or best by validation mAP@0.5."""
    balance_classes: bool = True
    """Show images of rare classes more often (repeat-factor sampling)."""
    box_loss_on_adopted: bool = True
    """Off: adopted boxes teach the class alone, and people's boxes alone teach where to draw."""
    ignore_doubtful: bool = True
    """Detections that were not adopted, in an adopted image, are neither object nor background;
    off: background."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    deterministic: bool = True
    """Same seed, same weights: images are read by one thread. Off where reading is the limit."""
    checkpoint_interval: int = 200
    """Steps between checkpoints: what a killed task loses at the most."""

    @property
    def total_steps(self) -> int:
        """Optimiser steps a round."""
        return self.steps if self.images is None else math.ceil(self.images / self.batch_size)

    @property
    def frozen_steps(self) -> int:
        """Steps at the start of a round in which the backbone does not learn."""
        if isinstance(self.freeze_backbone, bool):
            return self.total_steps if self.freeze_backbone else 0
        return min(self.freeze_backbone, self.total_steps)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_interval", "images", "evaluate_every"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"train.{name} must be at least 1, got {value}")
        check(self.learning_rate > 0, f"train.learning_rate must be > 0, got {self.learning_rate}")
        check(self.clip_norm >= 0, f"train.clip_norm must be >= 0, got {self.clip_norm}")
        check(0 <= self.ema < 1, f"train.ema must be in [0, 1), got {self.ema}")
        check(
            self.freeze_backbone >= 0,
            f"train.freeze_backbone must be true, false or steps, got {self.freeze_backbone}",
        )
        check(
            0 <= self.warmup_steps < self.total_steps,
            f"train.warmup_steps must be in [0, train.steps), got {self.warmup_steps} of "
            f"{self.total_steps}",
        )
        check_option("train.start", self.start, STARTS)
        check(
            self.continue_from is None or self.start == "previous_round",
            f"train.continue_from needs train.start previous_round, got {self.start!r}",
        )
        check_option("train.schedule", self.schedule, ("cosine", "step"))
        check_option("train.keep", self.keep, ("last", "best"))
        check(
            self.keep == "last" or self.evaluate_every is not None,
            "train.keep: best needs train.evaluate_every, such as 100 steps",
        )
        check(
            self.evaluate_every is None or self.device.strategy != MULTI_WORKER,
            "train.evaluate_every does not go with train.device.strategy multi_worker: each host "
            "would evaluate on its own part; leave it out, the task evaluate measures every round",
        )
        check(
            self.evaluate_every is None or self.device.precision == "float32",
            "train.evaluate_every needs train.device.precision float32: Model Garden's suppression "
            f"of overlaps takes nothing else, got {self.device.precision}",
        )
        check(
            self.ema == 0 or self.device.precision != "mixed_float16",
            "train.ema does not go with mixed_float16: Model Garden averages under its loss scale; "
            "take mixed_bfloat16 or float32",
        )


_HEX = "0123456789abcdef"
