"""What the oracle can be told: who judges, how strictly, what people are asked, when to stop."""

from __future__ import annotations

from dataclasses import dataclass

from boxloop.setting_checks import check, check_option

LABELS, HUMAN, BOTH, NOBODY = "labels", "human", "both", "none"
JUDGES = (LABELS, HUMAN, BOTH, NOBODY)
GATED, STUDY = "gated", "study"
DIVERSITY = "diversity"
STRATEGIES = ("value", "least_confidence", "entropy", "margin", DIVERSITY, "random")


@dataclass(frozen=True, kw_only=True)
class OracleConfig:
    """Which detections join the training set."""

    by: str = LABELS
    """Who judges. labels: a detection is held against its image's label; human: people judge, on
    the review page; both: labels first, and people where they are not sure; none: nothing joins
    (a control)."""
    mode: str = GATED
    """gated: the gates below, and every box is judged anew each round; study: the rule of 2018,
    class equals label and the best score wins, once and for ever."""
    min_score: float = 0.1
    """Score in [0, 1] that a detection must reach in any case."""
    target_precision: float = 0.95
    """Share of adopted boxes that should be right. How far a box must be ahead of the next one of
    its class in its image is chosen for each class so that this holds on the validation boxes."""
    min_agreement: float = 0.0
    """IoU, in [0, 1], that a box must keep when its image is mirrored and made smaller. Above 0,
    prediction takes three times as long, and in docs/oracle.md it did not pay."""
    rival_lead: float = 1.0
    """A box is refused if one of another class covers it with a score that is higher by this or
    more. 0: with any higher score; 1: never."""
    several: bool = True
    """Adopt every detection in an image that passes all gates; false: the best alone."""
    score_weights: bool = False
    """Adopted boxes count in training by their score; false: as much as those of people."""
    class_cap: float = 1.0
    """Boxes of one class that a round may adopt, the best scores first, as a multiple of what the
    class has by then: 1 lets it double at the most. 0: no limit, as by the study's rule always."""
    doubt_score: float = 0.25
    """Further detections in an adopted image that reach this score are nobody's business in
    training: neither object nor background. Above 1, all of it is background, as in the study."""
    hidden_share: float = 0.0
    """Share of the boxed training images, such as 0.2, that play the pool with their boxes hidden:
    what the oracle adopts there is held against them, in the growth table. The finished data set
    has those boxes back."""

    def __post_init__(self) -> None:
        check_option("oracle.by", self.by, JUDGES)
        check_option("oracle.mode", self.mode, (GATED, STUDY))
        for name in ("min_score", "min_agreement", "rival_lead"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"oracle.{name} must be in [0, 1], got {value}")
        target, share = self.target_precision, self.hidden_share
        check(0 < target < 1, f"oracle.target_precision must be in (0, 1), got {target}")
        check(0 <= share <= 0.5, f"oracle.hidden_share must be in [0, 0.5], got {share}")
        check(self.class_cap >= 0, f"oracle.class_cap must be >= 0, got {self.class_cap}")
        check(self.doubt_score > 0, f"oracle.doubt_score must be > 0, got {self.doubt_score}")

    @property
    def asks_people(self) -> bool:
        """Whether a round waits for people."""
        return self.by in (HUMAN, BOTH)


@dataclass(frozen=True, kw_only=True)
class ReviewConfig:
    """What people are asked in a round, where `oracle.by` is human or both."""

    strategy: str = "value"
    """Which images come first. value: what an answer is expected to bring for its seconds;
    least_confidence, entropy, margin: where the detector is least sure; diversity: images that
    differ, the same number of each class; random."""
    items: int = 100
    """Images a round at the most."""
    hours: float = 24.0
    """How long a round waits for people, then goes on with what there is."""
    verify_seconds: float = 1.8
    """What it takes a person to say yes or no to a box, until the page has measured it."""
    draw_seconds: float = 7.0
    """What it takes to draw one (extreme clicking, Papadopoulos et al., ICCV 2017)."""

    @property
    def needs_embeddings(self) -> bool:
        """Whether the strategy compares images by what the detector's backbone makes of them."""
        return self.strategy == DIVERSITY

    def __post_init__(self) -> None:
        check_option("review.strategy", self.strategy, STRATEGIES)
        check(self.items >= 1, f"review.items must be at least 1, got {self.items}")
        check(
            0.001 <= self.hours <= 24 * 366,
            f"review.hours must be in [0.001, 8784], at most a year, got {self.hours}",
        )
        for name in ("verify_seconds", "draw_seconds"):
            value = getattr(self, name)
            check(value > 0, f"review.{name} must be > 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class StopConfig:
    """When further rounds no longer pay; the first rule that holds ends the run. 0: not asked."""

    adoption_rate: float = 0.02
    """A round, but for the first, adopted less than this share of the images that it trained on."""
    plateau_rounds: int = 0
    """So many rounds on end whose gain in mAP@0.5 may be chance (its 95 % interval reaches 0)."""
    agreement: float = 0.0
    """Share of the pool's images, such as 0.98, in which two rounds on end found the same."""
    seconds: float = 0.0
    """Time that the run's tasks have taken."""
    images: int = 0
    """Images in the training set."""
    human_seconds: float = 0.0
    """Time that people have spent on reviewing."""

    def __post_init__(self) -> None:
        for name in ("adoption_rate", "agreement"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"stop.{name} must be in [0, 1], got {value}")
        for name in ("plateau_rounds", "seconds", "images", "human_seconds"):
            value = getattr(self, name)
            check(value >= 0, f"stop.{name} must be >= 0, got {value}")
