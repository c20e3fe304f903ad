"""Every path of a run, named once. Pure: nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """The artifacts of one experiment; `uri` is `<root>/experiments/<id>`, a folder or gs://."""

    uri: str

    @classmethod
    def of(cls, root: str, experiment_id: str) -> Run:
        """Return the run `experiment_id` below the artifact root."""
        return cls(f"{root.rstrip('/')}/experiments/{experiment_id}")

    @property
    def experiment(self) -> str:
        """The settings of the run, every default written out: YAML."""
        return f"{self.uri}/experiment.yaml"

    @property
    def truth(self) -> str:
        """True boxes of pool images, where they are known. Only the report may read them."""
        return f"{self.uri}/dataset/truth.parquet"

    @property
    def set_aside(self) -> str:
        """Input that could not be used: CSV of path and reason."""
        return f"{self.uri}/dataset/set_aside.csv"

    @property
    def report(self) -> str:
        """The page for people."""
        return f"{self.uri}/report/index.html"

    @property
    def report_summary(self) -> str:
        """The same figures for programs."""
        return f"{self.uri}/report/summary.json"

    def dataset(self, round_number: int) -> str:
        """Folder of the dataset version that `round_number` trains on."""
        return f"{self.uri}/dataset/round_{round_number:02d}"

    @property
    def final_dataset(self) -> str:
        """Folder of the data set that the finished rounds came to, with all boxes of people."""
        return f"{self.uri}/dataset/final"

    def round(self, round_number: int) -> str:
        """Folder of everything a round makes."""
        return f"{self.uri}/round_{round_number:02d}"

    def records(self, round_number: int) -> str:
        """Folder of the TFRecord shards that a round adds."""
        return f"{self.round(round_number)}/records"

    def checkpoints(self, round_number: int) -> str:
        """Folder of the state of the training, to go on from, and its TensorBoard events."""
        return f"{self.round(round_number)}/checkpoints"

    def weights(self, round_number: int) -> str:
        """Folder of the trained detector's weights, and nothing else."""
        return f"{self.round(round_number)}/weights"

    def events(self, round_number: int) -> str:
        """Folder of the evaluation's TensorBoard events."""
        return f"{self.round(round_number)}/events"

    def evaluation_events(self, round_number: int) -> str:
        """TensorBoard events of the evaluations up to this round."""
        return f"{self.events(round_number)}/events.out.tfevents.evaluation"

    def model(self, round_number: int) -> str:
        """Folder of the exported SavedModel."""
        return f"{self.round(round_number)}/model"

    def detections(self, round_number: int, part: int, num_parts: int, digest: str) -> str:
        """Detections in one part of the candidate pool, from 1: Parquet."""
        name = f"detections-{part:05d}-of-{num_parts:05d}-{digest}.parquet"
        return f"{self.round(round_number)}/detections/{name}"

    def adoptions(self, round_number: int) -> str:
        """What the oracle said to each candidate image: Parquet."""
        return f"{self.round(round_number)}/adoptions.parquet"

    def calibration(self, round_number: int) -> str:
        """Score threshold of each class and what it rests on: JSON."""
        return f"{self.round(round_number)}/calibration.json"

    def proposed_boxes(self, round_number: int) -> str:
        """Boxes the detector has in the next dataset version, unless people object: Parquet."""
        return f"{self.round(round_number)}/proposed_boxes.parquet"

    def queue(self, round_number: int) -> str:
        """What people are asked about: Parquet."""
        return f"{self.round(round_number)}/review/queue.parquet"

    def decisions(self, round_number: int) -> str:
        """Folder of what people decided, one JSON object each, while the round waits for them."""
        return f"{self.round(round_number)}/review/decisions"

    def closed_review(self, round_number: int) -> str:
        """The decisions that `merge` took; those that come later are too late: JSON."""
        return f"{self.round(round_number)}/review/closed.json"

    def evaluation(self, round_number: int) -> str:
        """Metrics of the round's detector on the held-out split: JSON."""
        return f"{self.round(round_number)}/evaluation.json"

    def evaluated_images(self, round_number: int) -> str:
        """What the detector found and missed in each held-out image: Parquet."""
        return f"{self.round(round_number)}/evaluation/images.parquet"

    def evaluated_detections(self, round_number: int) -> str:
        """Detections in the held-out images: Parquet."""
        return f"{self.round(round_number)}/evaluation/detections.parquet"

    def validation_detections(self, round_number: int) -> str:
        """Detections in the validation images, which the oracle's thresholds rest on: Parquet."""
        return f"{self.round(round_number)}/evaluation/validation.parquet"

    def summary(self, round_number: int) -> str:
        """The round in one small file, linked to the round before: JSON."""
        return f"{self.round(round_number)}/summary.json"

    def marker(self, round_number: int, task: str) -> str:
        """Completion marker of a task: written last, trusted by readers."""
        return f"{self.round(round_number)}/done/{task}.json"

    def lease(self, round_number: int) -> str:
        """Who may write the round's checkpoints: JSON, while a trainer runs."""
        return f"{self.round(round_number)}/train.lease"

    def export_lease(self, round_number: int) -> str:
        """Who may write the round's bundle: JSON, while it is exported."""
        return f"{self.round(round_number)}/export.lease"

    def heartbeat(self, round_number: int) -> str:
        """Changes while somebody waits for the round's training."""
        return f"{self.round(round_number)}/train.heartbeat"

    def digests(self, round_number: int, task: str) -> str:
        """Digests of the files that a task wrote: JSON, written before the task's marker."""
        return f"{self.round(round_number)}/digests/{task}.json"

    def collected(self, round_number: int) -> str:
        """What `boxloop gc` has removed of the round, and when: JSON."""
        return f"{self.round(round_number)}/gc.json"

    def timing(self, round_number: int, task: str) -> str:
        """When a task ran and for how long: JSON."""
        return f"{self.round(round_number)}/timings/{task}.json"

    def run_digests(self, task: str) -> str:
        """Digests of the files that a task of no round wrote: JSON."""
        return f"{self.uri}/digests/{task}.json"

    @property
    def decision(self) -> str:
        """Whether the run's last detector became the champion, and why: JSON."""
        return f"{self.uri}/promotion/decision.json"

    @property
    def champion_detections(self) -> str:
        """What the champion found in this run's test images, if it had to be asked: Parquet."""
        return f"{self.uri}/promotion/champion_detections.parquet"


@dataclass(frozen=True)
class Library:
    """The images that nights have gathered; `uri` is `<root>/nightly/<name>`."""

    uri: str

    @classmethod
    def of(cls, root: str, name: str) -> Library:
        """Return the library `name` below the artifact root."""
        return cls(f"{root.rstrip('/')}/nightly/{name}")

    def image(self, sha256: str, suffix: str) -> str:
        """A picture, named by its content; never changed."""
        return f"{self.uri}/images/{sha256[:2]}/{sha256}{suffix}"

    def version(self, digest: str) -> str:
        """Folder of a dataset version, named by its content; never changed."""
        return f"{self.uri}/versions/{digest}"

    def intake(self, digest: str) -> str:
        """What a night found in the inbox, file by file: JSON, named by its content."""
        return f"{self.uri}/intakes/{digest}.json"

    @property
    def nights(self) -> str:
        """Folder of the nights' records."""
        return f"{self.uri}/nights"

    def night(self, number: int) -> str:
        """What a night took in and left: JSON, written once, after all that it names."""
        return f"{self.nights}/{number:06d}.json"

    def doctor(self, experiment_id: str) -> str:
        """The doctor's page of what a night found in the inbox."""
        return f"{self.uri}/doctor/{experiment_id}.html"


@dataclass(frozen=True)
class Champions:
    """The history of a champion; `uri` is `<root>/champions/<name>`."""

    uri: str

    @classmethod
    def of(cls, root: str, name: str) -> Champions:
        """Return the history of the champion `name` below the artifact root."""
        return cls(f"{root.rstrip('/')}/champions/{name}")

    def record(self, number: int) -> str:
        """Which detector is the champion from this record on: JSON, written once."""
        return f"{self.uri}/{number:06d}.json"
