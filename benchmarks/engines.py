"""What runs an exported detector fastest on this CPU, and whether it detects the same.

    python benchmarks/engines.py MODEL [--images FOLDER]
    uv pip install openvino onnxruntime tf2onnx    (into an environment of its own, to compare them)

MODEL is the folder of a bundle. Each engine gets the same frames, in its best way: TensorFlow 32 at
a time, TFLite and ONNX Runtime one a thread, OpenVINO one a stream. Prints frames/s and the largest
difference from TensorFlow's scores; those not installed are left out. The ratio is of TFLite, which
is the default, over the fastest of the others in float32.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.child import TENSORFLOW
from boxloop.inference.portable import MODEL, Array, Spec, decode, fit

for variable, value in TENSORFLOW.items():
    os.environ.setdefault(variable, value)

SECONDS = 10
FRAMES = 16
CORES = len(os.sched_getaffinity(0))

Candidates = Callable[[Array], Sequence[Any]]
"""Frames to boxes and scores, and what else the engine gives."""


def main() -> None:
    """Time each engine that is installed, compare what it says, and print the ratio."""
    parser = argparse.ArgumentParser(description="Benchmark of engines.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, help="JPEG files; by default noise")
    options = parser.parse_args()
    frames = _frames(Spec.read(options.model), options.images)
    speeds, expected = {}, None
    for name, open_model in ENGINES.items():
        try:
            candidates, batch, threads = open_model(options.model)
        except ModuleNotFoundError as error:
            sys.stdout.write(f"{name}: {error.name} is not installed\n")
            continue
        scores = np.concatenate([candidates(frame[None])[1] for frame in frames])
        expected = scores if expected is None else expected
        call = partial(candidates, np.resize(frames, (batch, *frames[0].shape)))
        speeds[name] = _rate(call, batch, threads)
        sys.stdout.write(
            f"{name}: {speeds[name]:.1f} frames/s, {batch} a call, {threads} threads, "
            f"largest difference of a score {np.abs(scores - expected).max():.1e}\n"
        )
    others = [name for name in speeds if not name.startswith(("TFLite", "OpenVINO, "))]
    fastest = max(speeds[name] for name in others)
    sys.stdout.write(f"engines ratio={speeds['TFLite'] / fastest:.2f}\n")


def open_tensorflow(folder: Path) -> tuple[Candidates, int, int]:
    """Load the SavedModel."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))

    def candidates(frames: Array) -> Sequence[Array]:
        outputs = model.signatures["candidates"](frames=tf.constant(frames))
        return outputs["boxes"].numpy(), outputs["scores"].numpy()

    return candidates, 32, 1


def open_tflite(folder: Path) -> tuple[Candidates, int, int]:
    """Load the TFLite file as Boxloop does."""
    from boxloop.inference.engine import open_engine

    engine = open_engine(folder, Spec.read(folder), "tflite", has_tflite=True, batch_size=1)
    return engine.candidates, 1, engine.threads


def open_tflite_whole(folder: Path) -> tuple[Candidates, int, int]:
    """Load the TFLite file into one interpreter on all cores."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / MODEL), num_threads=CORES)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    outputs = [output["index"] for output in interpreter.get_output_details()]

    def candidates(frames: Array) -> Sequence[Array]:
        interpreter.set_tensor(given, frames)
        interpreter.invoke()
        return _boxes_first([interpreter.get_tensor(index) for index in outputs])

    return candidates, 1, 1


def open_openvino(folder: Path, precision: str = "f32") -> tuple[Candidates, int, int]:
    """Compile the same TFLite file, for frames/s."""
    import openvino

    core = openvino.Core()
    model = core.read_model(str(folder / MODEL))
    model.reshape({model.inputs[0]: [1, *Spec.read(folder).input_size, 3]})
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(model, "CPU", settings)

    def candidates(frames: Array) -> Sequence[Array]:
        outputs = compiled.create_infer_request().infer({0: frames})
        return _boxes_first(outputs.values())

    return candidates, 1, CORES


def open_onnx(folder: Path) -> tuple[Candidates, int, int]:
    """Convert the same TFLite file to ONNX and load it, one core a call."""
    import onnxruntime

    if importlib.util.find_spec("tf2onnx") is None:
        raise ModuleNotFoundError(name="tf2onnx")
    with tempfile.TemporaryDirectory() as scratch:
        path = f"{scratch}/detector.onnx"
        command = ["-m", "tf2onnx.convert", "--tflite", str(folder / MODEL), "--output", path]
        subprocess.run([sys.executable, *command, "--opset", "17"], check=True, capture_output=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name

    def candidates(frames: Array) -> Sequence[Array]:
        return _boxes_first(session.run(None, {name: frames}))

    return candidates, 1, CORES


def _boxes_first(outputs: Iterable[Any]) -> Sequence[Array]:
    return sorted(outputs, key=lambda output: output.ndim, reverse=True)


def _frames(spec: Spec, folder: Path | None) -> Array:
    if folder is None:
        noise = np.random.default_rng(0).integers(0, 256, (FRAMES, *spec.input_size, 3))
        return noise.astype(np.float32)
    paths = sorted(folder.glob("*.jpg"))[:FRAMES]
    return np.stack([fit(decode(path.read_bytes()), spec).frame for path in paths])


def _rate(call: Callable[[], Any], frames: int, threads: int) -> float:
    """Return frames a second of calls by several threads at once."""
    end = time.monotonic() + SECONDS

    def work(_: int) -> int:
        done = 0
        while time.monotonic() < end:
            call()
            done += frames
        return done

    start = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.monotonic() - start)


ENGINES: dict[str, Callable[[Path], tuple[Candidates, int, int]]] = {
    "TensorFlow": open_tensorflow,
    "TFLite": open_tflite,
    "TFLite, all cores a frame": open_tflite_whole,
    "OpenVINO": open_openvino,
    "OpenVINO, bfloat16": partial(open_openvino, precision="bf16"),
    "ONNX Runtime": open_onnx,
}

if __name__ == "__main__":
    main()
