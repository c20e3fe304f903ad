import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.reviews import DOUBTED, SURE, answer, decision, make_run, queue_table

from boxloop import review, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import to_parquet
from boxloop.oracle.answers import Decision


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path)


def reject(image_id: str = "a/sure.jpg") -> Decision:
    return decision(image_id, "reject")


def actions(run: Run) -> list[str]:
    return [one.action for one in review.read_decisions(run, 1)[0]]


def test_rounds_with_a_queue_are_found(tmp_path: Path) -> None:
    run = make_run(tmp_path, rounds=3)
    storage.delete(run.queue(2))  # nobody was asked
    assert review.reviewed_rounds(run) == [1, 3]


def test_what_is_recorded_is_read_in_the_order_in_which_it_came(run: Run) -> None:
    made = [
        decision("b/doubted.jpg", "accept", DOUBTED),
        reject(),
        decision("a/sure.jpg", "undo"),
    ]
    names = [review.record(run, 1, one) for one in made]
    found, set_aside = review.read_decisions(run, 1)
    assert [one.name for one in found] == names == sorted(names)
    assert [one.action for one in found] == ["accept", "reject", "undo"]
    assert set_aside == {}


def test_a_decision_comes_after_those_of_a_machine_whose_clock_is_ahead(run: Run) -> None:
    ahead = f"{2**62:020d}-0123abcd.json"
    storage.write_bytes(f"{run.decisions(1)}/{ahead}", answer())
    storage.write_bytes(f"{run.decisions(1)}/{'9' * 20}-zz.json", b"")  # nobody's clock
    assert review.record(run, 1, decision("a/sure.jpg", "undo")) > ahead
    assert actions(run) == ["reject", "undo"]


def test_bad_files_are_set_aside_with_their_reasons(run: Run) -> None:
    review.record(run, 1, reject())
    folder = run.decisions(1)
    storage.write_bytes(f"{folder}/half.json", answer()[:40])
    storage.write_bytes(f"{folder}/other.json", answer(round=7))
    storage.write_bytes(f"{folder}/huge.json", b" " * 3_000_000)
    found, set_aside = review.read_decisions(run, 1)
    assert len(found) == 1
    assert list(set_aside) == ["half.json", "huge.json", "other.json"]
    assert "is not JSON" in set_aside["half.json"]
    assert "is larger than" in set_aside["huge.json"]
    assert "round is 7" in set_aside["other.json"]
    assert review.progress(run, 1)["set_aside"] == set_aside


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (decision("x.jpg", "reject"), "is not in the queue"),
        (decision("a/sure.jpg", "correct"), "needs at least one box"),
        (decision("a/sure.jpg", "accept", DOUBTED), "another box than the proposed"),
        (decision("a/sure.jpg", "reject", seconds=float("nan")), "seconds is none"),
        (decision("a/sure.jpg", "reject", round=2), "round is 2"),
    ],
)
def test_a_bad_decision_is_not_saved(run: Run, made: Decision, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        review.record(run, 1, made)
    assert storage.list_files(run.decisions(1)) == []


def test_a_round_that_asks_nobody_takes_no_decision(run: Run) -> None:
    for work in (review.read_decisions, review.progress, review.read_review):
        with pytest.raises(ValueError, match="round 2 has no review queue"):
            work(run, 2)
    with pytest.raises(ValueError, match="round 2 has no review queue"):
        review.record(run, 2, reject())
    assert review.close(run, 2) == []
    assert not review.is_closed(run, 2)


def test_a_queue_that_was_made_anew_is_seen(run: Run) -> None:
    assert len(review.read_review(run, 1).queue) == 3
    storage.write_bytes(run.queue(1), to_parquet(queue_table().head(1)))
    assert review.read_review(run, 1).queue["image_id"].tolist() == ["a/sure.jpg"]


def test_closing_freezes_what_is_there(run: Run) -> None:
    review.record(run, 1, reject())
    storage.write_bytes(f"{run.decisions(1)}/half.json", b"{")
    first = review.close(run, 1)
    before = review.progress(run, 1)
    with pytest.raises(ValueError, match="the review of round 1 is closed"):
        review.record(run, 1, decision("a/sure.jpg", "undo"))
    storage.write_bytes(f"{run.decisions(1)}/{'1' * 20}-late.json", answer(action="undo"))
    assert review.close(run, 1) == first
    assert [one.action for one in first] == ["reject"]
    assert review.progress(run, 1) == before
    assert list(before["set_aside"]) == ["half.json"]


def test_closing_goes_on_where_it_was_killed(run: Run) -> None:
    review.record(run, 1, reject())
    storage.swap_bytes(run.closed_review(1), None, review._CLOSING)
    with pytest.raises(ValueError, match="is closed"):
        review.record(run, 1, reject("b/doubted.jpg"))
    assert [one.image_id for one in review.close(run, 1)] == ["a/sure.jpg"]


@pytest.mark.parametrize("is_before", [True, False])
def test_what_comes_in_the_moment_of_closing_is_taken_or_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    write = storage.write_bytes

    def close_beside(uri: str, data: bytes) -> None:
        monkeypatch.undo()
        if not is_before:
            write(uri, data)
        review.close(run, 1)
        if is_before:
            write(uri, data)

    monkeypatch.setattr(storage, "write_bytes", close_beside)
    if is_before:
        with pytest.raises(ValueError, match="was closed just now"):
            review.record(run, 1, reject())
        assert storage.list_files(run.decisions(1)) == []
        assert review.close(run, 1) == []
    else:
        name = review.record(run, 1, reject())
        assert [one.name for one in review.close(run, 1)] == [name]


def test_who_closes_second_gets_what_the_first_saw(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = review._read_files
    firsts: list[list[Decision]] = []

    def read_while_another_closes(run: Run, number: int) -> tuple[list[Decision], dict[str, str]]:
        monkeypatch.undo()
        found = read(run, number)
        storage.write_bytes(f"{run.decisions(1)}/0-late.json", answer())
        firsts.append(review.close(run, 1))
        return found

    monkeypatch.setattr(review, "_read_files", read_while_another_closes)
    assert review.close(run, 1) == firsts[0]
    assert len(firsts[0]) == 1


def test_all_who_close_at_once_get_the_same_and_nothing_taken_is_lost(run: Run) -> None:
    starting = threading.Barrier(8)

    def record() -> list[str]:
        starting.wait()
        taken = []
        for _ in range(30):
            try:
                taken.append(review.record(run, 1, reject()))
            except ValueError:
                break
        return taken

    def close(late: float) -> list[Decision]:
        starting.wait()
        threading.Event().wait(late)
        return review.close(run, 1)

    with ThreadPoolExecutor(8) as pool:
        recorders = [pool.submit(record) for _ in range(4)]
        closers = [pool.submit(close, late) for late in (0.01, 0.01, 0.02, 0.02)]
    taken = {name for one in recorders for name in one.result()}
    assert {one.name for one in review.read_decisions(run, 1)[0]} == taken
    assert all(closer.result() == closers[0].result() for closer in closers)


def test_progress_counts_images_and_all_the_time_spent(run: Run) -> None:
    review.record(run, 1, decision("a/sure.jpg", "accept", SURE, seconds=2.0))
    review.record(run, 1, decision("b/doubted.jpg", "skip", seconds=1.0, author="ben"))
    review.record(run, 1, decision("b/bare.v2.jpg", "reject", seconds=3.0, author="ben"))
    review.record(run, 1, decision("b/bare.v2.jpg", "undo", seconds=0.5, author="ben"))
    assert review.progress(run, 1) == {
        "items": 3,
        "done": 1,
        "skipped": 1,
        "seconds": 6.5,
        "by_author": {"anna": {"done": 1, "seconds": 2.0}, "ben": {"done": 0, "seconds": 4.5}},
        "set_aside": {},
        "is_closed": False,
    }


@pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
def test_a_review_may_lie_in_a_bucket(tmp_path: Path, bucket: str, run: Run) -> None:
    storage.upload_folder(Path(run.uri), f"{bucket}/review/cards")
    remote = Run(f"{bucket}/review/cards")
    review.record(remote, 1, reject())
    storage.write_bytes(f"{remote.decisions(1)}/empty.json", b"")
    storage.write_bytes(f"{remote.decisions(1)}/huge.json", b" " * 2_000_000)
    first = review.close(remote, 1)
    assert [one.image_id for one in first] == ["a/sure.jpg"]
    assert review.close(remote, 1) == first
    told = review.progress(remote, 1)
    assert list(told["set_aside"]) == ["empty.json", "huge.json"]
    assert "is larger than" in told["set_aside"]["huge.json"]


def test_a_decision_that_arrived_is_known_by_its_token(run: Run) -> None:
    assert not review.has_arrived(run, 1, "0123abcd")
    assert review.record(run, 1, reject(), "0123abcd").endswith("-0123abcd.json")
    assert review.has_arrived(run, 1, "0123abcd")
    assert not review.has_arrived(run, 1, "0123abce")


def test_a_round_is_unanswered_until_somebody_answers_or_it_is_closed(tmp_path: Path) -> None:
    run = make_run(tmp_path, rounds=3)
    assert review.is_unanswered(run, 1)
    review.record(run, 1, decision("a/sure.jpg", "skip"))
    review.close(run, 2)
    storage.delete(run.queue(3))  # nobody is asked
    assert [review.is_unanswered(run, number) for number in (1, 2, 3)] == [False] * 3
