"""``pt4al rank`` of millions of images from a web server, end to end: time, and the memory of each process.

Images are tiny, and the encoder is timm's smallest, with fresh weights: what is measured is what does not depend on either.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pt4al_backend.bench.numbers.footprint import Footprint
from pt4al_backend.bench.numbers.measuring import err
from pt4al_backend.bench.numbers.servers import BenchmarkFailed
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import Workbench
from pt4al_backend.bench.scale import lake
from pt4al_backend.jobs.shards.folder import LocalFolder
from pt4al_backend.jobs.shards.plan import Plan, shard_size
from pt4al_backend.jobs.shards.shard import DIGEST_BYTES, Notes, Shard
from pt4al_backend.learn.pretext.rotation import VIEWS
from pt4al_backend.ops.rank_files.unfinished import fingerprint

ENCODER = "test_efficientnet.r160_in1k"
WORKERS, TAKE = 2, 50_000
SIDE, GROUPS = 32, 200
MB = 1e6


def measure(bench: Workbench) -> list[Line]:
    """Seconds of the whole, and what each process held at most."""
    folder, count = bench.folder / "ranking", bench.sizes.images
    folder.mkdir()
    weights(folder / "weights")
    with lake.running(count, folder / "lake.log") as url, Footprint() as footprint:
        seconds = _ranked(folder, url)
        held = footprint.look()
    take = min(TAKE, count)
    if len(json.loads((folder / "tasks.json").read_text())) != take:
        raise BenchmarkFailed(f"Not all of {take:,} tasks were written.")
    what = f"rank of {count:,} images of {lake.SIDE} px from a web server on this machine, {WORKERS} workers"
    note = f"{count / seconds:,.0f} images/s, all stages; {ENCODER}, fresh weights, four orientations"
    alone, bytes_alone = of_shards(bench.folder / "shards", count)
    what_alone = f"the same of {count:,} images whose shards are there, of 256 features: losses, herding and order alone"
    lines = [
        Line(what, seconds, "s", note=note),
        Line(what_alone, alone, "s", note=f"{bytes_alone / MB:,.0f} MB at most in the command"),
    ]
    for role in sorted(held):
        lines.append(Line(f"— peak memory of the {role}", held[role] / MB, "MB"))
    return lines


def of_shards(folder: Path, count: int) -> tuple[float, int]:
    """Seconds and bytes that the command takes where all shards are there, of made-up features in groups."""
    (folder / "work").mkdir(parents=True)
    weights(folder / "weights")
    work, images = LocalFolder(folder / "work"), "/lake"
    size, width, rng = shard_size(count), 256, np.random.default_rng(0)
    decisive = {"images": [images], "task": "classification", "size": None, "encoder": ENCODER}
    sides = {"stored": (SIDE, SIDE), "shape": (SIDE, SIDE)}
    bounds = {"max_bytes": 1, "max_pixels": 1, "begun": "", "listing": "", "root": images, "sha256": ""}
    facts = {"wanted": fingerprint(decisive), "images": count, "size": size, "task": "classification", "encoder": ENCODER}
    plan = Plan.model_validate({**facts, **sides, **bounds})
    work.begin(plan, [f"{images}/{number:09}.bmp" for number in range(count)], {})
    centres = rng.normal(size=(GROUPS, VIEWS, width)).astype(np.float32)
    for number in range(plan.shards):
        features = centres[rng.integers(0, GROUPS, plan.count(number))]
        features += rng.normal(size=features.shape).astype(np.float32)
        marks = rng.integers(0, 256, (len(features), DIGEST_BYTES), np.uint8)
        work.put(plan, number, Shard(features.astype(np.float16), marks, Notes(problems={}, changed=[])))
    with Footprint() as footprint:
        seconds = _ranked(folder, images, "--work-dir", str(folder / "work"))
        return seconds, footprint.look()["command"]


def weights(folder: Path) -> None:
    """Writes fresh weights of the encoder, as ``PT4AL_WEIGHTS_DIR`` holds them."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    network = timm.create_model(ENCODER, pretrained=False)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / f"{ENCODER}.safetensors")


def _ranked(folder: Path, images: str, *options: str) -> float:
    """Seconds of the command."""
    environment = {
        **os.environ,
        "PT4AL_DATA_DIR": str(folder / "data"),
        "PT4AL_DEVICE": "cpu",
        "PT4AL_WEIGHTS_DIR": str(folder / "weights"),
        "PT4AL_ENCODER": ENCODER,
    }
    command = [sys.executable, "-m", "pt4al_backend", "rank", images, "--out", str(folder / "tasks.json")]
    command += ["--take", str(TAKE), "--workers", str(WORKERS), *options]
    began = time.monotonic()
    with (folder / "rank.log").open("w+b") as log:
        ended = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)  # noqa: S603 - our own command
    if ended.returncode:
        raise BenchmarkFailed(f"pt4al rank failed: {(folder / 'rank.log').read_text()[-1500:]}")
    err.print(f"  {(folder / 'rank.log').read_text().strip().splitlines()[-1]}")
    return time.monotonic() - began
