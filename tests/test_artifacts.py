from boxloop.artifacts import Run


def test_a_run_lies_below_the_root_whatever_its_kind() -> None:
    assert Run.of("gs://bucket/root/", "first") == Run("gs://bucket/root/experiments/first")
    assert Run.of("/data", "first").summary(3) == "/data/experiments/first/round_03/summary.json"


def test_no_two_artifacts_share_a_place() -> None:
    run = Run("x")
    places = [run.experiment, run.truth, run.set_aside, run.report, run.report_summary]
    for number in (1, 12):
        places += [run.dataset(number), run.records(number), run.checkpoints(number)]
        places += [run.model(number), run.adoptions(number), run.evaluation(number)]
        places += [run.evaluated_images(number), run.evaluated_detections(number)]
        places += [run.evaluation_events(number)]
        places += [run.summary(number), run.marker(number, "train"), run.timing(number, "train")]
        places += [run.detections(number, part, 2, "ab") for part in (1, 2)]
        places += [run.detections(number, 1, 3, "ab"), run.detections(number, 1, 2, "cd")]
    assert len(set(places)) == len(places)
    assert not [place for place in places if not place.startswith("x/")]
