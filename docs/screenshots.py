"""The pictures in docs/images, made anew from a real Airflow and real runs.

    python docs/screenshots.py                                   # a whole demo first: 15 minutes
    python docs/screenshots.py --run .boxloop/experiments/ID     # a finished run: 4 minutes
    python docs/screenshots.py --run RUN --only form airflow   # some of the pictures

Starts an Airflow of its own in a temporary folder, triggers `active_learning` in it, opens its
pages in the Chromium of this machine, and writes one PNG a picture. A finished run is copied and
triggered again under its own id: its tasks find that all is done, so Airflow shows it within a
minute, but with the durations of looking, not of training; the pages that read the run itself show
the real ones. `review-page` runs one round of its own that asks people. A page that is not there
is told and left out, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from boxloop.artifacts import Run
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG, DEMO, interruptible
from boxloop.local_airflow.server import AirflowServer, free_ports

IMAGES = Path(__file__).with_name("images")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
WIDTH, HEIGHT, TALL = 1280, 800, 1150
MOST_BYTES = 300_000
ASKS = "asks-people"
AUGMENT = ("rotation=10", "colour=0.3", "mosaic=0.4")
BOXLOOP = [sys.executable, "-m", "boxloop"]


@dataclass(frozen=True)
class Scene:
    """All that a picture may be taken of."""

    browser: Browser
    server: AirflowServer
    client: AirflowClient
    run: Run
    run_id: str
    board: str
    folder: Path


def main() -> int:
    """Take the pictures; return 1 if one could not be taken."""
    options = _options()
    failed = []
    with interruptible(), _scene(options.run, options.experiment) as scene:
        for name in options.only:
            try:
                PICTURES[name](scene, options.to / f"{name}.png")
                sys.stdout.write(f"{options.to / name}.png\n")
            except (BrowserError, RuntimeError, subprocess.CalledProcessError) as error:
                failed.append(name)
                sys.stdout.write(f"{name}: not taken: {str(error).splitlines()[0]}\n")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make docs/images anew.")
    parser.add_argument("--run", type=Path, help="folder of a finished run; it is copied")
    parser.add_argument("--experiment", default=DEMO, help="what to run where --run names nothing")
    parser.add_argument("--to", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--only", nargs="+", default=[*PICTURES], choices=[*PICTURES])
    return parser.parse_args()


@contextlib.contextmanager
def _scene(finished: Path | None, experiment: str) -> Iterator[Scene]:
    """Start Airflow, TensorBoard and a browser, with a finished run in it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screenshots-")))
        root = folder / "runs"
        board = _tensorboard(stack, root / "experiments")
        environment = {"BOXLOOP_ROOT": str(root), "BOXLOOP_TENSORBOARD_URL": board}
        server = stack.enter_context(
            AirflowServer(folder / "home", port=0, environment=environment)
        )
        client = stack.enter_context(server.client())
        _wait(lambda: client.has_dag(DAG), 120, "the DAG")
        client.unpause(DAG)
        params = {"experiment": experiment}
        run_id = Path(experiment).stem
        if finished is not None:
            run_id = finished.name
            shutil.copytree(finished, root / "experiments" / run_id)
            params = {"experiment": str(root / "experiments" / run_id / "experiment.yaml")}
        client.trigger(DAG, run_id, {**params, "experiment_id": run_id})
        _wait(lambda: client.run_state(DAG, run_id) in ("success", "failed"), 3600, run_id)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=_browser(), args=FLAGS)
        stack.callback(browser.close)
        yield Scene(browser, server, client, Run.of(str(root), run_id), run_id, board, folder)


def _browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError(f"no browser is installed: none of {', '.join(BROWSERS)}")
    return found


def _tensorboard(stack: contextlib.ExitStack, folder: Path) -> str:
    port = free_ports(0)[0]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--reload_interval", "5"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return f"http://127.0.0.1:{port}"


def _grid(scene: Scene, path: Path) -> None:
    with _page(scene, f"/dags/{DAG}/runs/{scene.run_id}") as page:
        page.get_by_text("round", exact=False).first.wait_for(timeout=20_000)
        expand = page.get_by_label("Expand all task groups")
        if expand.count():
            expand.first.click()
        _take(page, path)


def _form(scene: Scene, path: Path) -> None:
    with _page(scene, f"/dags/{DAG}", TALL) as page:
        page.get_by_role("button", name="Trigger").first.click()
        dialog = page.get_by_role("dialog")
        dialog.wait_for(timeout=20_000)
        sections = dialog.locator("button[aria-expanded=false]")
        if sections.count():
            sections.first.click()
        _take(page, path)


def _rounds(scene: Scene, path: Path) -> None:
    with _page(scene, f"/dags/{DAG}/runs/{scene.run_id}/plugin/rounds", TALL) as page:
        page.frame_locator("iframe").locator("table").first.wait_for(timeout=20_000)
        _take(page, path)


def _review(scene: Scene, path: Path) -> None:
    params = {"experiment": DEMO, "experiment_id": ASKS, "rounds": 1, "oracle": "both"}
    scene.client.trigger(DAG, ASKS, params)
    _wait(lambda: _state(scene, ASKS, "round.match_labels") == "awaiting_input", 900, ASKS)
    with _page(scene, f"/dags/{DAG}/runs/{ASKS}/plugin/review", TALL) as page:
        frame = page.frame_locator("iframe")
        frame.locator("#picture").wait_for(timeout=20_000)
        classes = frame.get_by_role("button", name=re.compile(r" 0\D\d+$"))  # 0 of so many
        most = max(classes.all(), key=lambda each: int(each.inner_text().rpartition("/")[2]))
        most.click()
        _take(page, path)
    scene.client.fail_run(DAG, ASKS)


def _state(scene: Scene, run_id: str, task: str) -> str | None:
    found = {i["task_id"]: i["state"] for i in scene.client.task_instances(DAG, run_id)}
    if "failed" in found.values():
        raise RuntimeError(f"run {run_id} has failed")
    return found.get(task)


def _report(scene: Scene, path: Path) -> None:
    with _page(scene, Path(scene.run.report).resolve().as_uri(), TALL) as page:
        _take(page, path)


def _doctor(scene: Scene, path: Path) -> None:
    """Spoil a copy of the run's images, and have them looked at."""
    source = Path(yaml.safe_load(Path(scene.run.experiment).read_text())["data"]["uri"])
    shutil.copytree(source, scene.folder / "photos")
    _spoil(scene.folder / "photos")
    command = [*BOXLOOP, "doctor", "photos", "--html", "doctor.html"]
    # its exit code is 1: it has found something
    subprocess.run(command, cwd=scene.folder, capture_output=True, check=False)
    with _page(scene, (scene.folder / "doctor.html").as_uri()) as page:
        _take(page, path)


def _spoil(folder: Path) -> None:
    """Break an image, an annotation and a few boxes."""
    images = sorted((folder / "images").rglob("*.*"))
    images[0].write_bytes(images[0].read_bytes()[:2000])
    files = sorted((folder / "annotations").rglob("*.xml"))
    files[1].write_text("<annotation><object>")
    for number, (old, new) in enumerate((("<xmax>", "<xmax>9"), ("<xmin>", "<xmin>-"))):
        text = files[2 + number].read_text()
        files[2 + number].write_text(text.replace(old, new))


def _augmented(scene: Scene, path: Path) -> None:
    settings = [part for name in AUGMENT for part in ("--set", f"train.augment.{name}")]
    command = [*BOXLOOP, "train", "--show-augmented", scene.run.experiment, "--count", "2"]
    target = scene.folder / "augmented.png"
    subprocess.run([*command, *settings, "--output", str(target)], capture_output=True, check=True)
    _shrink(target.read_bytes(), path)


def _board(scene: Scene, path: Path) -> None:
    with _page(scene, f"{scene.board}/?tagFilter=mAP|loss#timeseries") as page:
        page.locator("card-view").first.wait_for(timeout=60_000)
        _take(page, path)


PICTURES: dict[str, Callable[[Scene, Path], None]] = {
    "form": _form,
    "airflow": _grid,
    "rounds-page": _rounds,
    "report": _report,
    "doctor": _doctor,
    "augmented": _augmented,
    "tensorboard": _board,
    "review-page": _review,
}
"""Name of a picture to what takes it."""


@contextlib.contextmanager
def _page(scene: Scene, url: str, height: int = HEIGHT) -> Iterator[Page]:
    """Open a page, of Airflow unless the address says otherwise."""
    page = scene.browser.new_page(viewport={"width": WIDTH, "height": height})
    try:
        page.goto(url if "://" in url else f"{scene.server.url}{url}")
        yield page
    finally:
        page.close()


def _take(page: Page, path: Path) -> None:
    """Write what is seen once it has settled."""
    with contextlib.suppress(BrowserError):
        page.wait_for_load_state("networkidle", timeout=5000)  # pages that poll never settle
    page.wait_for_timeout(1500)
    _shrink(page.screenshot(), path)


def _shrink(data: bytes, path: Path) -> None:
    """Write a picture with as many colours as fit into MOST_BYTES."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    for colors in (256, 128, 64, 32):
        buffer = io.BytesIO()
        image.quantize(colors).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def _wait(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} was not there after {seconds:.0f} s")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
