"""Fields that say what a round trains on, what it trains, for how long, and when rounds end."""

from __future__ import annotations

from boxloop.train_settings import STARTS
from boxloop.zoo import model_names
from boxloop_airflow.form.field import choice, number, text, whole

HOUR = 3600
_STARTS = (
    "the round before",
    "a pretrained detector",
    "a pretrained backbone",
    "nothing: random weights",
)

DATA = {
    "data_uri": text(
        "Data location",
        "data.uri",
        "Folder or gs:// prefix with images/, annotations/ and image_labels.csv, such as "
        "/data/boards. The demo draws its own; the other experiments here need one.",
    ),
    "given_splits": choice(
        "Splits",
        "data.given_splits",
        {"given": "as image_labels.csv says", "anew": "dealt anew"},
        "Which images are for training, validation and test.",
        {"given": True, "anew": False},
    ),
    "split_ratio": number(
        "Split ratio",
        "data.split_ratio",
        1,
        100,
        "Training images for each validation image, such as 9. A larger ratio trains on more "
        "images and measures with fewer.",
    ),
    "boxed_share": number(
        "Boxed share",
        "data.boxed_share",
        0.01,
        1,
        "Share of the boxed training images that keeps its boxes, such as 0.2. The rest plays the "
        "pool, to try active learning on data that is boxed already.",
    ),
}
MODEL = {
    "model": text(
        "Model",
        "model",
        "Name of a file in configs/models, without .yaml; `boxloop zoo` compares them. Larger "
        "models are more exact, slower, and take more memory.",
        examples=model_names(),
    ),
    "start": choice(
        "Start of a round",
        "train.start",
        dict(zip(STARTS, _STARTS, strict=True)),
        "Weights that a round begins with. All but the first choice begin anew each time, and "
        "need more steps for the same result.",
    ),
    "batch_size": whole(
        "Batch size",
        "train.batch_size",
        1,
        4096,
        "Images a step, such as 16. Memory and the time of a step grow in proportion.",
    ),
    "learning_rate": number(
        "Learning rate",
        "train.learning_rate",
        0.000001,
        10,
        "Peak of each round's schedule, such as 0.05. One that is too high ends training with a "
        "loss that is no number.",
    ),
}
ROUNDS = {
    "rounds": whole(
        "Rounds",
        "rounds",
        1,
        99,
        "Number of rounds; the experiments that come with Boxloop have 7. The time of a run grows "
        "in proportion.",
    ),
    "steps": whole(
        "Steps a round",
        "train.steps",
        1,
        1_000_000,
        "Optimiser steps in each round, one batch of images each, such as 250. Training time "
        "grows in proportion.",
    ),
    "adoption_rate": number(
        "Stop: few adopted",
        "stop.adoption_rate",
        0,
        1,
        "Stop when a round adopts less than this share of its training images, such as 0.02. "
        "0 never stops for it.",
    ),
    "plateau_rounds": whole(
        "Stop: no gain",
        "stop.plateau_rounds",
        0,
        99,
        "Stop after so many rounds on end whose gain in mAP may be chance, such as 2. 0 never "
        "stops for it.",
    ),
    "max_hours": number(
        "Stop: hours of work",
        "stop.seconds",
        0,
        8784,
        "Hours that the run's tasks may take, such as 8; the round at work is finished. 0 is no "
        "limit.",
        scale=HOUR,
    ),
    "max_images": whole(
        "Stop: training images",
        "stop.images",
        0,
        100_000_000,
        "Stop when the training set has so many images, such as 5000. 0 is no limit.",
    ),
    "max_review_hours": number(
        "Stop: hours of review",
        "stop.human_seconds",
        0,
        8784,
        "Hours that people may spend on answers in all rounds, such as 2. 0 is no limit.",
        scale=HOUR,
    ),
}
