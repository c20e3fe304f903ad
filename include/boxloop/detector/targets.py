"""What a box teaches, by where it came from: its place and class, its class alone, or nothing.

Boxes that the detector made itself are noisy in three ways, and each has a remedy (NOTE-RCNN, Gao
et al., ICCV 2019): a doubtful detection beside an adopted box is neither object nor background, and
an adopted box may teach its class while places are learnt from people's boxes alone.

Model Garden's parsers carry one number with each box, its class id. So the id carries the origin,
from the decoder to the loss. With K = number of classes, the background included:

    1 .. K-1      teaches place and class
    K+1 .. 2K-1   teaches the class alone: the id less K
    2K            teaches nothing
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


def encode_origins(example: Labels, origins: Any, k: int, config: TrainConfig) -> Labels:
    """Return a decoded example whose class ids say what its boxes teach.

    Args:
        example: what Model Garden's decoder returns; doubtful boxes have class id `k`.
        origins: of its boxes, strings, shape (N,).
        k: number of classes, the background included.
        config: switches what is to be told apart; with all off, class ids are as they were.
    """
    if not config.ignore_doubtful:
        keep = tf.where(example["groundtruth_classes"] != k)[:, 0]
        per_box = {name: tf.gather(v, keep) for name, v in example.items() if PER_BOX in name}
        example, origins = {**example, **per_box}, tf.gather(origins, keep)
    ids = example["groundtruth_classes"]
    coded = tf.where(ids == k, tf.cast(2 * k, ids.dtype), ids)
    if not config.box_loss_on_adopted:
        coded = tf.where(origins == ADOPTED, coded + k, coded)
    return {**example, "groundtruth_classes": coded}


def retinanet_labels(images: Any, labels: Labels, *, k: int) -> tuple[Any, Labels]:
    """Take anchors out of the loss as their boxes' ids say.

    Args:
        images: passed on.
        labels: of RetinaNet's parser, batched: `cls_targets` by level, -1 for background;
            `cls_weights` and `box_weights` of the anchors of all levels, shape (batch, anchors).
        k: number of classes, the background included.
    """
    targets = labels["cls_targets"]
    flat = tf.concat([tf.reshape(t, [tf.shape(t)[0], -1]) for t in targets.values()], axis=1)
    box_weights = labels["box_weights"] * _mask(flat < k, labels["box_weights"])
    cls_weights = labels["cls_weights"] * _mask(flat < 2 * k, labels["cls_weights"])
    # The loss divides by the positives that have a box loss; classes must count all positives
    positives = tf.reduce_sum(labels["box_weights"] * _mask(flat < 2 * k, labels["box_weights"]))
    share = (tf.reduce_sum(box_weights) + 1.0) / (positives + 1.0)
    return images, {
        **labels,
        "cls_targets": {level: _class_of(t, k) for level, t in targets.items()},
        "cls_weights": cls_weights * share,
        "box_weights": box_weights,
    }


def rcnn_labels(images: Any, labels: Labels, *, k: int) -> tuple[Any, Labels]:
    """Take anchors out of the region proposal network's loss as their boxes' ids say.

    Args:
        images: passed on.
        labels: of the R-CNN parser, for one image: `anchor_boxes`, `rpn_score_targets` (1 object,
            0 background, -1 neither) and `rpn_box_targets` by level; `gt_boxes` (M, 4) and
            `gt_classes` (M,), padded with -1.
        k: number of classes, the background included.
    """
    scores, boxes = dict(labels["rpn_score_targets"]), dict(labels["rpn_box_targets"])
    is_box = labels["gt_classes"] >= 0
    ids = tf.pad(tf.boolean_mask(labels["gt_classes"], is_box), [[0, 1]])  # 0 is far away
    places = tf.boolean_mask(labels["gt_boxes"], is_box)
    places = tf.pad(places, [[0, 1], [0, 0]], constant_values=-9.0)
    for level in scores:
        nearest = _nearest_ids(labels["anchor_boxes"][level], places, ids)
        nearest = tf.reshape(nearest, tf.shape(scores[level]))
        in_doubt = (nearest == 2 * k) & (scores[level] == 1)
        scores[level] = tf.where(in_doubt, tf.cast(-1, scores[level].dtype), scores[level])
        learns_place = tf.repeat(nearest < k, 4, axis=-1)
        boxes[level] = tf.where(learns_place, boxes[level], tf.zeros_like(boxes[level]))
    return images, {**labels, "rpn_score_targets": scores, "rpn_box_targets": boxes}


def rcnn_losses(
    build: Callable[[Labels, Labels], tuple[Any, Any]], k: int, outputs: Labels, labels: Labels
) -> tuple[Any, Any]:
    """Return class and box loss of the second stage, each from the boxes that teach it.

    Args:
        build: Model Garden's `_build_frcnn_losses`.
        k: number of classes, the background included.
        outputs: of the model; `class_targets`, and `class_targets_1` .. of a cascade, hold ids.
        labels: passed on.
    """
    # K, of the doubtful, is no class: Model Garden weighs such a region's cross entropy with 0
    class_loss, _ = build(_with_targets(outputs, partial(_class_of, k=k)), labels)
    _, box_loss = build(_with_targets(outputs, partial(_place_of, k=k)), labels)
    return class_loss, box_loss


def _with_targets(outputs: Mapping[str, Any], change: Callable[[Any], Any]) -> Labels:
    targets = {name: change(v) for name, v in outputs.items() if name.startswith("class_targets")}
    return {**outputs, **targets}


def _class_of(ids: Any, k: int) -> Any:
    return tf.where(ids > k, ids - tf.cast(k, ids.dtype), ids)


def _place_of(ids: Any, k: int) -> Any:
    return tf.where(ids > k, tf.zeros_like(ids), ids)


def _nearest_ids(anchors: Any, boxes: Any, ids: Any) -> Any:
    """Return the id of the box that each anchor overlaps most, the last where it overlaps none."""
    anchors = tf.reshape(anchors, [-1, 4])
    iou = iou_similarity.IouSimilarity()(anchors, tf.cast(boxes, anchors.dtype))
    nearest = tf.argmax(iou, axis=-1, output_type=tf.int32)
    far = tf.size(ids) - 1
    return tf.gather(ids, tf.where(tf.reduce_max(iou, axis=-1) > 0, nearest, far))


def _mask(is_kept: Any, like: Any) -> Any:
    return tf.reshape(tf.cast(is_kept, like.dtype), tf.shape(like))
