"""What a box teaches, and how much: its place and class, its class alone, or nothing.

Boxes that the detector made itself are noisy in three ways, and each has a remedy (NOTE-RCNN, Gao
et al., ICCV 2019): a doubtful detection beside an adopted box is neither object nor background, and
an adopted box may teach its class while places are learnt from people's boxes alone. And a box may
count for less than another: its weight.

Model Garden's parsers carry one number with each box, its class id. So the id carries the rest too,
from the decoder to the loss. With K = number of classes, the background included, an id above K is
K * code + class, where class 1 .. K-1 is what the box teaches and 0 says that it teaches nothing:

    code 2n       teaches place and class, with a weight of 1 - n/8
    code 2n + 1   teaches the class alone, with a weight of 1 - n/8

So the ids of people's boxes are plain class ids. Weights are rounded to eighths, 1/8 at least. A
weight multiplies the loss of a box; what Model Garden divides the sum by is still the number of
boxes' anchors or regions, so that a doubtful box does not teach the background around it more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf
from official.vision.ops import iou_similarity

from boxloop.data.dataset import ADOPTED
from boxloop.train_settings import TrainConfig

Labels = dict[str, Any]
PER_BOX = "groundtruth_"  # how Model Garden names what a decoded example has for each box
LEVELS = 8  # of weights
_RPN_WEIGHTS, _TARGETS = "rpn_weights", "class_targets"


def encode_boxes(
    example: Labels, origins: Any, weights: Any, k: int, config: TrainConfig
) -> Labels:
    """Return a decoded example whose class ids say what its boxes teach.

    Args:
        example: what Model Garden's decoder returns; doubtful boxes have class id `k`.
        origins: of its boxes, strings, shape (N,).
        weights: of its boxes, in (0, 1], shape (N,).
        k: number of classes, the background included.
        config: switches what is to be told apart; with all off, and weights of 1, class ids are
            as they were.
    """
    if not config.ignore_doubtful:
        keep = tf.where(example["groundtruth_classes"] != k)[:, 0]
        per_box = {name: tf.gather(v, keep) for name, v in example.items() if PER_BOX in name}
        example = {**example, **per_box}
        origins, weights = tf.gather(origins, keep), tf.gather(weights, keep)
    ids = example["groundtruth_classes"]
    level = tf.clip_by_value(tf.round((1 - weights) * LEVELS), 0, LEVELS - 1)
    code = 2 * tf.cast(level, ids.dtype)
    if not config.box_loss_on_adopted:
        code += tf.cast(origins == ADOPTED, ids.dtype)
    coded = tf.where(ids == k, tf.cast(2 * k, ids.dtype), ids + k * code)
    return {**example, "groundtruth_classes": coded}


def retinanet_labels(images: Any, labels: Labels, *, k: int) -> tuple[Any, Labels]:
    """Weigh anchors in the loss as their boxes' ids say.

    Args:
        images: passed on.
        labels: of RetinaNet's parser, batched: `cls_targets` by level, -1 for background;
            `cls_weights` and `box_weights` of the anchors of all levels, shape (batch, anchors).
        k: number of classes, the background included.
    """
    targets = labels["cls_targets"]
    flat = tf.concat([tf.reshape(t, [tf.shape(t)[0], -1]) for t in targets.values()], axis=1)
    weights = _like(_weight_of(flat, k), labels["box_weights"])
    teaches_class = _like(_class_of(flat, k) < k, labels["box_weights"])
    places = labels["box_weights"] * _like(_teaches_place(flat, k), labels["box_weights"])
    # The loss divides by 1 + the sum of box weights: undone here, so that it divides by 1 + the
    # number of anchors, for places of those that teach a place, for classes of all positives
    count, total = tf.reduce_sum(places), tf.reduce_sum(places * weights)
    box_weights = places * weights / (count + 1.0 - total)
    positives = tf.reduce_sum(labels["box_weights"] * teaches_class)
    share = (tf.reduce_sum(box_weights) + 1.0) / (positives + 1.0)
    return images, {
        **labels,
        "cls_targets": {level: _class_of(t, k) for level, t in targets.items()},
        "cls_weights": labels["cls_weights"] * teaches_class * weights * share,
        "box_weights": box_weights,
    }


def rcnn_labels(images: Any, labels: Labels, *, k: int) -> tuple[Any, Labels]:
    """Take anchors out of the region proposal network's loss, or weigh them, as ids say.

    Args:
        images: passed on.
        labels: of the R-CNN parser, for one image: `anchor_boxes`, `rpn_score_targets` (1 object,
            0 background, -1 neither) and `rpn_box_targets` by level; `gt_boxes` (M, 4) and
            `gt_classes` (M,), padded with -1.
        k: number of classes, the background included.

    Returns:
        The images and the labels, with `rpn_weights` for `rpn_losses`.
    """
    scores, boxes, weights = dict(labels["rpn_score_targets"]), dict(labels["rpn_box_targets"]), {}
    is_box = labels["gt_classes"] >= 0
    ids = tf.pad(tf.boolean_mask(labels["gt_classes"], is_box), [[0, 1]])  # 0 is far away
    places = tf.boolean_mask(labels["gt_boxes"], is_box)
    places = tf.pad(places, [[0, 1], [0, 0]], constant_values=-9.0)
    for level in scores:
        nearest = _nearest_ids(labels["anchor_boxes"][level], places, ids)
        nearest = tf.reshape(nearest, tf.shape(scores[level]))
        in_doubt = (_class_of(nearest, k) == k) & (scores[level] == 1)
        scores[level] = tf.where(in_doubt, tf.cast(-1, scores[level].dtype), scores[level])
        learns_place = tf.repeat(_teaches_place(nearest, k), 4, axis=-1)
        boxes[level] = tf.where(learns_place, boxes[level], tf.zeros_like(boxes[level]))
        weights[level] = _weight_of(nearest, k)
    changed = {"rpn_score_targets": scores, "rpn_box_targets": boxes, _RPN_WEIGHTS: weights}
    return images, {**labels, **changed}


def rpn_losses(
    build: Callable[[Labels, Labels], tuple[Any, Any]], outputs: Labels, labels: Labels
) -> tuple[Any, Any]:
    """Return score and box loss of the region proposal network, weights in their gradients.

    Args:
        build: Model Garden's `_build_rpn_losses`.
        outputs: of the model; `rpn_scores` and `rpn_boxes` by level.
        labels: of `rcnn_labels`, batched.
    """
    scores, boxes = dict(outputs["rpn_scores"]), dict(outputs["rpn_boxes"])
    for level, weights in labels[_RPN_WEIGHTS].items():
        is_object = labels["rpn_score_targets"][level] == 1
        scores[level] = _weigh(scores[level], tf.where(is_object, weights, 1.0))
        boxes[level] = _weigh(boxes[level], tf.repeat(weights, 4, axis=-1))
    return build({**outputs, "rpn_scores": scores, "rpn_boxes": boxes}, labels)


def rcnn_losses(
    build: Callable[[Labels, Labels], tuple[Any, Any]], k: int, outputs: Labels, labels: Labels
) -> tuple[Any, Any]:
    """Return class and box loss of the second stage, each from the boxes that teach it.

    Weights are in their gradients, not in their values.

    Args:
        build: Model Garden's `_build_frcnn_losses`.
        k: number of classes, the background included.
        outputs: of the model; `class_targets`, and `class_targets_1` .. of a cascade, hold ids.
        labels: passed on.
    """
    weighed = {**outputs}
    for name, ids in outputs.items():
        if name.startswith(_TARGETS):
            weights = _weight_of(ids, k)[..., None]
            for kind in ("class_outputs", "box_outputs"):
                output = kind + name.removeprefix(_TARGETS)
                weighed[output] = _weigh(outputs[output], weights)
    # K, of the doubtful, is no class: Model Garden weighs such a region's cross entropy with 0
    class_loss, _ = build(_with_targets(weighed, partial(_class_of, k=k)), labels)
    _, box_loss = build(_with_targets(weighed, partial(_place_of, k=k)), labels)
    return class_loss, box_loss


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _weigh(values: Any, weights: Any) -> Any:
    """Return the values; what learns through them does so by these weights.

    Model Garden's losses of R-CNNs take no weights. As each value goes into one term of a sum
    alone, and what that is divided by does not hang on the values, this is the gradient of the
    weighted loss.
    """
    return tf.identity(values), lambda upstream: (upstream * weights, None)


def _with_targets(outputs: Mapping[str, Any], change: Callable[[Any], Any]) -> Labels:
    targets = {name: change(v) for name, v in outputs.items() if name.startswith(_TARGETS)}
    return {**outputs, **targets}


def _class_of(ids: Any, k: int) -> Any:
    """Return class ids; K where nothing is taught, and -1, of the background, as it is."""
    rest = ids % k
    return tf.where(ids > k, tf.where(rest == 0, tf.cast(k, ids.dtype), rest), ids)


def _place_of(ids: Any, k: int) -> Any:
    return tf.where(_teaches_place(ids, k), _class_of(ids, k), tf.zeros_like(ids))


def _teaches_place(ids: Any, k: int) -> Any:
    return (ids < k) | ((ids // k % 2 == 0) & (ids % k > 0))


def _weight_of(ids: Any, k: int) -> Any:
    """Return weights, float32; 1 for the background."""
    level = tf.where(ids > k, ids // k // 2, tf.zeros_like(ids))
    return 1 - tf.cast(level, tf.float32) / LEVELS


def _nearest_ids(anchors: Any, boxes: Any, ids: Any) -> Any:
    """Return the id of the box that each anchor overlaps most, the last where it overlaps none."""
    anchors = tf.reshape(anchors, [-1, 4])
    iou = iou_similarity.IouSimilarity()(anchors, tf.cast(boxes, anchors.dtype))
    nearest = tf.argmax(iou, axis=-1, output_type=tf.int32)
    far = tf.size(ids) - 1
    return tf.gather(ids, tf.where(tf.reduce_max(iou, axis=-1) > 0, nearest, far))


def _like(values: Any, like: Any) -> Any:
    return tf.reshape(tf.cast(values, like.dtype), tf.shape(like))
