"""Times an exported model as a server calls it: in one process, from several threads, by its signatures.

    python benchmarks/serving.py compare      # a swap against the authors' swap in plain PyTorch, in turn
    python benchmarks/serving.py load         # latency and throughput by signature, batch size and concurrency
    python benchmarks/serving.py soak         # 10,000 requests, 5 % of them garbage: answers and memory
    python benchmarks/serving.py catalogue    # 1,000 exemplars encoded once against as many swaps
    python benchmarks/serving.py litert       # LiteRT against the SavedModel, one image at a time, on 2 threads
    python benchmarks/serving.py status       # an export with a status for each image against one without, in turn

The model has the `official` networks with random weights, which cost as much as trained ones. `compare` needs
PyTorch (`pip install torch`), `litert` LiteRT (`pip install '.[tflite]'`). The figures exclude what TF Serving adds
to the model (HTTP or gRPC, queues): its server cannot be installed from Python's package index.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import served_model
from workers import Worker, answer, take_turns

SIDES = {"torch": "the authors' swap, plain PyTorch", "tensorflow": "serving_default"}
SIGNATURES = ("serving_default", "edit", "encode", "edit_with_code", "edit_with_codes", "interpolate")
TOLERANCE = 2e-3  # of 2, the range of pixels; an image that passed through JPEG and PNG is off by up to 1/255


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        answer(lambda: make_answers(arguments))
        return 0
    parts = {"compare": compare, "load": measure_load, "soak": soak, "catalogue": catalogue, "litert": litert}
    parts["status"] = status_cost
    status = 0
    for size in arguments.image_size:
        with tempfile.TemporaryDirectory() as folder:
            status |= parts[arguments.part](Path(folder), size, arguments)
    return status


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("compare", "load", "soak", "catalogue", "litert", "status"))
    parser.add_argument("--image_size", type=int, nargs="+", help="default: 128 256 to compare, 64 to soak, else 128")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch_size", type=int, nargs="+", help="default: 1 2 4 8 16 for load, else 1 8")
    parser.add_argument("--signatures", nargs="+", default=SIGNATURES, choices=SIGNATURES, help="for load")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4], help="requests at once, for load")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement of load")
    parser.add_argument("--pairs", type=int, default=15, help="turns of each side, 2 or more")
    parser.add_argument("--requests", type=int, default=10_000, help="to soak")
    parser.add_argument("--exemplars", type=int, default=1000, help="in the catalogue")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {"compare": [128, 256], "soak": [64]}.get(arguments.part, [128])
    batches = [1, 8] if arguments.part in ("compare", "status") else [1, 2, 4, 8, 16]
    arguments.image_size = arguments.image_size or sizes
    arguments.batch_size = arguments.batch_size or batches
    return arguments


def compare(folder: Path, size: int, arguments: argparse.Namespace) -> int:
    """A swap from files against the authors' networks without files; the exit status."""
    options = [f"--image_size={size}", f"--width={arguments.width}", f"--folder={folder}"]
    # TensorFlow's side first: it writes the weights that the other reads.
    workers = {
        side: Worker(SIDES[side], [__file__, "compare", f"--side={side}", *options]) for side in ("tensorflow", "torch")
    }
    try:
        return _compare(workers, size, arguments)
    finally:
        for worker in workers.values():
            worker.close()


def _compare(workers: dict[str, Worker], size: int, arguments: argparse.Namespace) -> int:
    print(f"\n{size} px, width {arguments.width}: exported in {workers['tensorflow'].ask('export'):.1f} s")
    ours, theirs = (workers[side].ask("pixels") for side in ("tensorflow", "torch"))
    furthest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if not furthest <= TOLERANCE:
        print(f"edited pixels differ by {furthest:.4f}: not the same swap", file=sys.stderr)
        return 1
    for batch in arguments.batch_size:
        sides = {"swap": "tensorflow", "parts": "tensorflow", "authors": "torch"}
        asked = {name: partial(workers[side].ask, name, batch) for name, side in sides.items()}
        turns = take_turns(asked, arguments.pairs + 1)
        report(f"batch {batch}", {name: times[1:] for name, times in turns.items()})
    return 0


def report(title: str, turns: dict[str, list[float]]) -> None:
    """Prints medians, and the swap's ratio to the other two by turn."""
    medians = ", ".join(f"{name} {1e3 * median(times):.1f} ms" for name, times in turns.items())
    ratios = []
    for name in ("authors", "parts"):
        low, middle, high = quantiles([a / b for a, b in zip(turns["swap"], turns[name], strict=True)], n=4)
        ratios.append(f"swap / {name} {middle:.2f} ({low:.2f} to {high:.2f})")
    print(f"{title}: {medians}; {', '.join(ratios)}")


def make_answers(arguments: argparse.Namespace) -> dict[str, Callable[[int], Any]]:
    """What a side of `compare` is asked."""
    (size,), folder = arguments.image_size, arguments.folder
    served_model.prepare()
    return {"tensorflow": _served_answers, "torch": _torch_answers}[arguments.side](folder, size, arguments.width)


def _served_answers(folder: Path, size: int, width: int) -> dict[str, Callable[[int], Any]]:
    """`swap`: by bytes; `parts`: encode, encode and decode of pixels, compiled one by one; seconds of a call."""
    import tensorflow as tf

    from elegant_tf.model.latent import exchange
    from elegant_tf.runs import load_generator

    path, seconds = served_model.make_export(folder, size, width)
    signatures = served_model.load(path)
    generator, _ = load_generator(folder / "run")
    encode = tf.function(lambda images: generator.encode(images))
    decode = tf.function(lambda code, theirs, skips, w: generator.decode(exchange(code, theirs, w), code, skips))

    def pixels_request(count: int) -> dict[str, Any]:
        return served_model.request("edit", served_model.face_files(count, size), size, signatures)

    def swap(count: int) -> float:
        inputs = served_model.request("serving_default", served_model.face_files(count, size), size, signatures)
        return _seconds(lambda: signatures["serving_default"](**inputs)["edited_bytes"].numpy())

    def parts(count: int) -> float:
        inputs = pixels_request(count)

        def run() -> None:
            code, skips = encode(inputs["images"])
            theirs, _ = encode(inputs["exemplars"][:, 0])
            decode(code, theirs[:, None], skips, inputs["weights"]).numpy()

        return _seconds(run)

    def pixels(_: int) -> list[float]:
        return signatures["edit"](**pixels_request(2))["edited"].numpy()[0].ravel()[:: size // 8].tolist()

    return {"swap": swap, "parts": parts, "pixels": pixels, "export": lambda _: seconds}


def _torch_answers(folder: Path, size: int, width: int) -> dict[str, Callable[[int], Any]]:
    """`authors`: the seconds of two encodings and four decodings, as the authors' program swaps."""
    import numpy as np
    import torch
    from plain_torch import PlainElegant

    plain = PlainElegant(len(served_model.ATTRIBUTES), size, width)
    with np.load(folder / served_model.WEIGHTS_FILE) as weights:
        for name in ("Enc", "Dec"):
            keys = [key for key in weights.files if key.startswith(f"{name}.")]
            state = {key.removeprefix(f"{name}."): torch.from_numpy(weights[key]) for key in keys}
            getattr(plain, name).load_state_dict(state)

    def generate(count: int) -> Callable[[], Any]:
        pixels = _decoded(served_model.face_files(count, size))
        images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0).contiguous()
        return lambda: plain.generate(images, images.flip(0), 0)

    def authors(count: int) -> float:
        with torch.no_grad():
            return _seconds(generate(count))

    def pixels(_: int) -> list[float]:
        with torch.no_grad():
            edited = generate(2)()[2]
        return edited[0].permute(1, 2, 0).numpy().ravel()[:: size // 8].tolist()

    return {"authors": authors, "pixels": pixels}


def _decoded(files: list[bytes]) -> Any:
    import numpy as np
    import tensorflow as tf

    return np.stack([tf.io.decode_jpeg(file).numpy() for file in files])


def _seconds(run: Callable[[], Any], calls: int = 3) -> float:
    """Of one call; the first of all, which may compile, is not counted."""
    run()
    began = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - began) / calls


def measure_load(folder: Path, size: int, arguments: argparse.Namespace) -> int:
    """Latencies and images a second of every signature; the exit status."""
    served_model.prepare()
    path, _ = served_model.make_export(folder, size, arguments.width)
    signatures = served_model.load(path)
    print(f"\n{size} px, width {arguments.width}")
    print(f"{'signature':16}{'batch':>6}{'at once':>8}{'p50 ms':>9}{'p95':>8}{'p99':>8}{'rows/s':>9}")
    for name in arguments.signatures:
        for batch in arguments.batch_size:
            for threads in arguments.threads:
                inputs = served_model.request(name, served_model.face_files(batch, size), size, signatures)
                times, seconds = _hammer(lambda f=signatures[name], i=inputs: f(**i), threads, arguments.seconds)
                p50, p95, p99 = (1e3 * quantiles(times, n=100)[at] for at in (49, 94, 98))
                rate = batch * len(times) / seconds
                print(f"{name:16}{batch:6}{threads:8}{p50:9.1f}{p95:8.1f}{p99:8.1f}{rate:9.1f}", flush=True)
    return 0


def _hammer(ask: Callable[[], Any], threads: int, seconds: float) -> tuple[list[float], float]:
    """Latencies of requests that `threads` threads make one after another, and the seconds that it took."""
    ask()
    end = time.perf_counter() + seconds

    def client(_: int) -> list[float]:
        times = []
        while time.perf_counter() < end or len(times) < 2:
            began = time.perf_counter()
            ask()
            times.append(time.perf_counter() - began)
        return times

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        times = [one for several in pool.map(client, range(threads)) for one in several]
    return times, time.perf_counter() - began


def soak(folder: Path, size: int, arguments: argparse.Namespace) -> int:
    """Swaps from four threads, one in twenty garbage; every answer is checked; the exit status."""
    served_model.prepare()
    import tensorflow as tf

    path, _ = served_model.make_export(folder, size, min(arguments.width, 24))
    swap = served_model.load(path)["serving_default"]
    files = served_model.face_files(16, size)
    weights = tf.ones([1, len(served_model.ATTRIBUTES)])

    def ask(image: bytes, exemplar: bytes) -> bytes:
        inputs = {"image": tf.constant([image]), "exemplar": tf.constant([exemplar]), "weights": weights}
        return swap(**inputs)["edited_bytes"].numpy()[0]

    right = {(a, b): ask(files[a], files[b]) for a in range(16) for b in range(16)}

    def one(number: int) -> str:
        chance = random.Random(number)
        a, b = chance.randrange(16), chance.randrange(16)
        if number % 20:
            return "right" if ask(files[a], files[b]) == right[a, b] else "wrong"
        try:
            ask(chance.randbytes(2000) if number % 40 else files[a][: len(files[a]) // 2], files[b])
        except tf.errors.InvalidArgumentError:
            return "refused"
        return "garbage answered"

    counts: dict[str, int] = {}
    memory = []
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, arguments.requests, 1000):
            for outcome in pool.map(one, range(start, min(start + 1000, arguments.requests))):
                counts[outcome] = counts.get(outcome, 0) + 1
            memory.append(_resident_megabytes())
            print(f"{start + 1000:6} requests: {memory[-1]:.0f} MB, {counts}", flush=True)
    grown = memory[-1] / memory[len(memory) // 5]
    print(f"memory at the end / after a fifth of the requests: {grown:.3f}")
    return int(bool(set(counts) - {"right", "refused"}) or grown > 1.03)


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def catalogue(folder: Path, size: int, arguments: argparse.Namespace) -> int:
    """A photo with each of many exemplars, by codes and by swaps, in turn; the exit status."""
    served_model.prepare()
    import numpy as np
    import tensorflow as tf

    path, _ = served_model.make_export(folder, size, arguments.width)
    signatures = served_model.load(path)
    photo, *exemplars = served_model.face_files(arguments.exemplars + 1, size)
    at_once = 50
    groups = [exemplars[start : start + at_once] for start in range(0, len(exemplars), at_once)]
    weights = np.tile(np.array([1, 0, 0, 1, 0], np.float32), (at_once, 1))
    began = time.perf_counter()
    codes = [signatures["encode"](image=tf.constant(group))["code"] for group in groups]
    encoding = time.perf_counter() - began
    times: dict[str, float] = {"codes": 0.0, "swaps": 0.0}
    furthest = 0
    for group, code in zip(groups, codes, strict=True):
        w = tf.constant(weights[: len(group)])
        began = time.perf_counter()
        by_code = signatures["edit_with_codes"](image=tf.constant([photo]), codes=code[None], weights=w[None])
        between = time.perf_counter()
        by_swap = signatures["serving_default"](
            image=tf.constant([photo] * len(group)), exemplar=tf.constant(group), weights=w
        )
        times["codes"] += between - began
        times["swaps"] += time.perf_counter() - between
        pairs = zip(by_code["edited_bytes"][0].numpy(), by_swap["edited_bytes"].numpy(), strict=True)
        for one, other in pairs:
            difference = tf.io.decode_png(one).numpy().astype(int) - tf.io.decode_png(other).numpy()
            furthest = max(furthest, int(np.abs(difference).max()))
    ratio = times["codes"] / times["swaps"]
    print(f"{len(exemplars)} exemplars, {size} px: by codes {times['codes']:.1f} s, by swaps {times['swaps']:.1f} s")
    print(f"ratio {ratio:.2f}; with the encoding, done once, {(times['codes'] + encoding) / times['swaps']:.2f}")
    print(f"pixels differ by {furthest} of 255 at most")
    return int(furthest > 1 or ratio > 0.5)


def litert(folder: Path, size: int, arguments: argparse.Namespace) -> int:
    """A swap of pixels in LiteRT and in the SavedModel, in turn, each on two threads; the exit status."""
    served_model.prepare(threads=2)
    from ai_edge_litert.interpreter import Interpreter

    from elegant_tf.export.tflite import export_tflite

    path, _ = served_model.make_export(folder, size, arguments.width)
    export_tflite(folder / "run", folder / "phone", ["float32"])
    signatures = served_model.load(path)
    inputs = served_model.request("edit", served_model.face_files(1, size), size, signatures)
    runner = Interpreter(str(folder / "phone" / "elegant_float32.tflite"), num_threads=2).get_signature_runner("swap")
    swap = {"image": inputs["images"], "exemplar": inputs["exemplars"][:, 0], "weights": inputs["weights"][:, 0]}
    swap = {name: value.numpy() for name, value in swap.items()}
    ratios = []
    for _ in range(arguments.pairs):
        served = _seconds(lambda: signatures["edit"](**inputs)["edited"].numpy(), 10)
        ratios.append(_seconds(lambda: runner(**swap)["edited"], 10) / served)
    low, middle, high = quantiles(ratios, n=4)
    print(f"{size} px: LiteRT / SavedModel {middle:.2f} ({low:.2f} to {high:.2f})")
    return 0


def status_cost(folder: Path, size: int, arguments: argparse.Namespace) -> int:
    """A swap by an export with a status for each image and by one without, in turn; the exit status."""
    served_model.prepare()
    from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel

    run = served_model.make_run(folder, size, arguments.width)
    options = {"plain": ExportOptions(version=1), "status": ExportOptions(version=2, status=True)}
    swaps = {
        name: served_model.load(export_savedmodel(run, folder / "models", how))["serving_default"]
        for name, how in options.items()
    }
    for batch in arguments.batch_size:
        inputs = served_model.request("serving_default", served_model.face_files(batch, size), size, swaps)
        asked = {
            name: lambda swap=swap, inputs=inputs: _seconds(lambda: swap(**inputs)["edited_bytes"].numpy())
            for name, swap in swaps.items()
        }
        turns = take_turns(asked, arguments.pairs)
        ratios = [after / before for after, before in zip(turns["status"], turns["plain"], strict=True)]
        low, middle, high = quantiles(ratios, n=4)
        extra = 1e3 * (median(turns["status"]) - median(turns["plain"]))
        print(f"{size} px, batch {batch}: status / plain {middle:.3f} ({low:.3f} to {high:.3f}), {extra:+.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
