"""A trained detector as others call it: the signatures of the exported SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import config_definitions
from official.vision.modeling import retinanet_model
from official.vision.ops import anchor, preprocess_ops

from boxloop.inference.portable import Spec, check_shapes

SIGNATURES = ("serving_default", "image_tensor", "tf_example", "candidates")
MAX_PARALLEL_IMAGES = 32

Outputs = dict[str, Any]


class Serving(tf.Module):  # type: ignore[misc]
    """Detects in encoded images, in tensors and in tf.Examples.

    Each of them gives, for a batch of B images and N detections at the most:

    - detection_boxes, (B, N, 4): ymin, xmin, ymax, xmax in pixels of the image;
    - detection_scores, (B, N), best first; detection_classes, (B, N), ids of the label map;
    - num_detections, (B,): how many of the N are detections; the rest is 0.
    """

    def __init__(self, config: config_definitions.ExperimentConfig, model: Any) -> None:
        """Wrap a model.

        Args:
            config: of the model, `apply_nms` off.
            model: built from it, with its trained weights.
        """
        super().__init__()
        self.model = model
        is_retinanet = isinstance(model, retinanet_model.RetinaNetModel)  # others always give them
        self._features_wanted = {"output_intermediate_features": True} if is_retinanet else {}
        self._rules = config.task.model.detection_generator
        self._keep_aspect_ratio = config.task.train_data.parser.keep_aspect_ratio
        self._input_size = list(config.task.model.input_size[:2])
        self._anchors = _anchors(config.task.model)
        frames = tf.TensorSpec([None, *self._input_size, 3], tf.float32, name="frames")
        self.candidates = tf.function(self._candidates, input_signature=[frames])

    def signatures(self) -> dict[str, Any]:
        """Return the functions of SIGNATURES, ready for tf.saved_model.save."""
        strings = tf.TensorSpec([None], tf.string)
        images = tf.TensorSpec([None, None, None, 3], tf.uint8)
        named = zip(
            SIGNATURES,
            (
                self._signature(self._detect_encoded, strings, "image_bytes"),
                self._signature(self._detect_images, images, "images"),
                self._signature(self._detect_examples, strings, "examples"),
                self.candidates.get_concrete_function(),
            ),
            strict=True,
        )
        return dict(named)

    def _signature(self, function: Callable[[Any], Outputs], spec: Any, name: str) -> Any:
        named = tf.TensorSpec(spec.shape, spec.dtype, name=name)
        return tf.function(function, input_signature=[named]).get_concrete_function()

    def _candidates(self, frames: Any) -> Outputs:
        """Return boxes in the frame (B, A, 1 or C, 4) and scores (B, A, C), none dropped.

        And a vector an image, (B, D): what the backbone's coarsest level has on average, by which
        images can be compared.

        Args:
            frames: shape (B, H, W, 3), RGB, 0 to 255.
        """
        count = tf.shape(frames)[0]
        images = preprocess_ops.normalize_image(
            frames, offset=preprocess_ops.MEAN_RGB, scale=preprocess_ops.STDDEV_RGB
        )
        outputs = self.model.call(
            images=images,
            image_shape=tf.tile(tf.constant([self._input_size], tf.float32), [count, 1]),
            anchor_boxes={
                level: tf.tile(boxes[None], [count, 1, 1, 1])
                for level, boxes in self._anchors.items()
            },
            training=False,
            **self._features_wanted,
        )
        return {
            "boxes": outputs["decoded_boxes"],
            "scores": outputs["decoded_box_scores"],
            "embeddings": self._embed(outputs),
        }

    def _embed(self, outputs: Outputs) -> Any:
        """Return the mean over all places of the backbone's coarsest level, float32, shape (B, D).

        Of those that the detector looks at: some backbones have another, which it never trains.
        """
        level = max(self.model.backbone.output_specs, key=int)
        of_rcnn = outputs.get("backbone_features")
        features = outputs[f"backbone_{level}"] if of_rcnn is None else of_rcnn[level]
        return tf.reduce_mean(tf.cast(features, tf.float32), axis=[1, 2])

    def _detect_encoded(self, contents: Any) -> Outputs:
        def prepare(content: Any) -> tuple[Any, Any, Any]:
            return self._fit(_decode(content))

        return self._detect(*self._prepare_all(prepare, contents))

    def _detect_images(self, images: Any) -> Outputs:
        return self._detect(*self._prepare_all(self._fit, images))

    def _detect_examples(self, examples: Any) -> Outputs:
        feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        return self._detect_encoded(tf.io.parse_example(examples, feature)["image/encoded"])

    def _prepare_all(self, prepare: Callable[[Any], Any], inputs: Any) -> Any:
        pair = tf.TensorSpec([2], tf.float32)
        specs = (tf.TensorSpec([*self._input_size, 3], tf.float32), pair, pair)
        with tf.device("cpu:0"):
            return tf.map_fn(
                prepare,
                inputs,
                fn_output_signature=specs,
                parallel_iterations=MAX_PARALLEL_IMAGES,
            )

    def _fit(self, pixels: Any) -> tuple[Any, Any, Any]:
        """Scale an image into the frame as boxloop.inference.portable.fit does.

        Returns:
            The frame; its pixels a pixel of the image, yx; the image's height and width.
        """
        size = tf.shape(pixels)[:2]
        ratio = tf.constant(self._input_size, tf.float64) / tf.cast(size, tf.float64)
        if self._keep_aspect_ratio:
            ratio = tf.reduce_min(ratio) * tf.ones_like(ratio)
        wanted = tf.cast(tf.round(tf.cast(size, tf.float64) * ratio), tf.int32)
        wanted = tf.clip_by_value(wanted, 1, self._input_size)
        mean = tf.constant(preprocess_ops.MEAN_RGB)
        scaled = tf.image.resize(tf.cast(pixels, tf.float32) - mean, wanted)
        frame = tf.image.pad_to_bounding_box(scaled, 0, 0, *self._input_size) + mean
        return frame, tf.cast(wanted / size, tf.float32), tf.cast(size, tf.float32)

    def _detect(self, frames: Any, scale_yx: Any, size: Any) -> Outputs:
        candidates = self.candidates(frames)
        to_image = _clipped_to(scale_yx, size)
        inside = to_image(candidates["boxes"])
        has_area = tf.reduce_all(inside[..., :2] < inside[..., 2:], axis=-1)
        boxes, scores, classes, counts = tf.image.combined_non_max_suppression(
            candidates["boxes"],
            tf.where(has_area, candidates["scores"], 0),  # 0 is never above the threshold
            max_output_size_per_class=self._rules.max_num_detections,
            max_total_size=self._rules.max_num_detections,
            iou_threshold=self._rules.nms_iou_threshold,
            score_threshold=self._rules.pre_nms_score_threshold,
            clip_boxes=False,
        )
        is_detection = tf.sequence_mask(counts, self._rules.max_num_detections, tf.int32)
        return {
            "detection_boxes": to_image(boxes[:, :, None])[:, :, 0],
            "detection_scores": scores,
            "detection_classes": (tf.cast(classes, tf.int32) + 1) * is_detection,
            "num_detections": counts,
        }


def _clipped_to(scale_yx: Any, size: Any) -> Callable[[Any], Any]:
    """Return what brings boxes, shape (B, N, M, 4), from the frames to inside their images."""
    scale, limit = (tf.tile(each[:, None, None], [1, 1, 1, 2]) for each in (scale_yx, size))
    return lambda boxes: tf.clip_by_value(boxes / scale, 0, limit)


def _decode(content: Any) -> Any:
    """Decode a JPEG, PNG, GIF or BMP; a JPEG by the exact transform that OpenCV takes too."""
    pixels = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def load_candidates(
    folder: Path, spec: Spec, *, compiled: bool
) -> Callable[[Any], tuple[Any, Any, Any]]:
    """Load what `Serving.candidates` does from an exported model, its outputs as a tuple.

    The last, the embeddings, is None for a model that was exported before there were any.

    Args:
        folder: with the SavedModel.
        spec: its description.
        compiled: by XLA, which takes a minute at the first call of a shape, with float16 where
            TensorFlow knows it to be safe. For GPUs, and graphs without suppression inside.

    Raises:
        ValueError: if it is the description of another model.
    """
    if compiled:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision": True})
    model = tf.saved_model.load(str(folder))
    signature = model.signatures["candidates"]
    frames_spec = signature.structured_input_signature[1]["frames"]
    scores_spec = signature.structured_outputs["scores"]
    check_shapes(spec, frames_spec.shape.as_list(), scores_spec.shape.as_list(), str(folder))

    def candidates(frames: Any) -> tuple[Any, Any, Any]:
        outputs = model.signatures["candidates"](frames=frames)  # holds on to the variables
        return outputs["boxes"], outputs["scores"], outputs.get("embeddings")

    function: Callable[[Any], tuple[Any, Any, Any]] = tf.function(candidates, jit_compile=compiled)
    return function


def _anchors(model: Any) -> dict[str, Any]:
    """Return the anchor boxes of each level as constants, shape (h, w, anchors * 4)."""
    generator = anchor.build_anchor_generator(
        min_level=model.min_level,
        max_level=model.max_level,
        num_scales=model.anchor.num_scales,
        aspect_ratios=model.anchor.aspect_ratios,
        anchor_size=model.anchor.anchor_size,
    )
    return {level: boxes.numpy() for level, boxes in generator(model.input_size[:2]).items()}
