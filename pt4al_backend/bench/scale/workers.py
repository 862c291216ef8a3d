"""Images that one and two workers describe in a second, from files to shards, and what follows for millions on GPUs."""

from pathlib import Path
from time import perf_counter

from PIL import Image

from pt4al_backend.bench.numbers.pictures import Pictures
from pt4al_backend.bench.numbers.table import Line
from pt4al_backend.bench.numbers.workbench import ENCODER, Workbench
from pt4al_backend.bench.scale.rates import Rate
from pt4al_backend.config import project_settings, server_settings
from pt4al_backend.images.frames import choose
from pt4al_backend.images.source_frames import Bounds
from pt4al_backend.images.sources import Files
from pt4al_backend.jobs.run import LocalRunner
from pt4al_backend.jobs.shards.folder import LocalFolder
from pt4al_backend.jobs.shards.plan import Plan
from pt4al_backend.jobs.spec import ShardsSpec
from pt4al_backend.learn.pretext.rotation import VIEWS
from pt4al_backend.learn.weights.pretrained import obtain
from pt4al_backend.ops.rank_files.workers import Workers
from pt4al_backend.phases import Phase

SIDE, IMAGES, SHARD = 500, 480, 24
WORKERS = (1, 2)
AT_LEAST = 1.8
#: Images a second of a forward pass at 224 pixels (DINOv3 at 256) in mixed precision on an RTX 4090, as timm's benchmark files
#: have them. Nothing of this project was measured on it.
GPU = "one RTX 4090"
PUBLISHED = {
    "mobilenetv3_large_100.ra4_e3600_r224_in1k": 14_600,
    "convnext_nano.in12k_ft_in1k": 6_200,
    "vit_small_patch16_dinov3.lvd1689m": 3_200,
}
MILLIONS = (1, 10, 100)


def measure(bench: Workbench) -> list[Line]:
    """Images a second by number of workers, of reading alone, and projected hours."""
    folder = bench.folder / "workers"
    source = _pictures(folder / "images")
    one, two = (_rate(folder / f"{count}", source, count) for count in WORKERS)
    read = _read(source)
    what = f"images of {SIDE} px described by {ENCODER}, two workers as a multiple of one"
    lines = [
        Line(what, two / one, "", AT_LEAST, at_least=True, note=f"{two:.1f} against {one:.1f} images/s, n = {IMAGES}, n = 1"),
        Line("— read and decoded alone, by one thread", read, "images/s", note=f"JPEG of {SIDE} x {SIDE} px"),
    ]
    for encoder, passes in PUBLISHED.items():
        images = passes / VIEWS
        hours = " / ".join(f"{million * 1e6 / images / 3600:,.1f}" for million in MILLIONS)
        note = f"{hours} h for 1 / 10 / 100 million if {images / read:,.0f} such cores keep it busy"
        lines.append(Line(f"projected, not measured: {encoder} on {GPU}", images, "images/s", note=note))
    return lines


def _pictures(folder: Path) -> Files:
    folder.mkdir(parents=True)
    pictures = Pictures(SIDE)
    for k in range(IMAGES):
        Image.fromarray(pictures.square(k)).save(folder / f"{k:05}.jpg", quality=90)
    return Files.find([str(folder)])


def _rate(folder: Path, source: Files, workers: int) -> float:
    """Images a second of so many workers, from the first that were described to the last."""
    settings, options = server_settings(data_dir=folder, device="cpu"), project_settings({"encoder": ENCODER})
    shape, stored = choose("classification", [(SIDE, SIDE)], gpu=False)
    plan = Plan(
        wanted="",
        listing="",
        begun="",
        root=source.root,
        images=IMAGES,
        size=SHARD,
        task="classification",
        stored=stored,
        shape=shape,
        encoder=ENCODER,
        sha256=obtain(ENCODER, settings.weights_dir, settings.pretrained, lambda _: None).digest,
        max_bytes=settings.image_max_bytes,
        max_pixels=settings.image_max_pixels,
    )
    work, rate = LocalFolder(folder / "work"), Rate(Phase.FEATURES)
    work.begin(plan, source.names, {})
    spec = ShardsSpec(
        task="classification",
        settings=options,
        device="cpu",
        pretrained=settings.pretrained,
        weights=settings.weights_dir,
        stored=stored,
        shape=shape,
        place=str(folder / "work"),
        workers=workers,
    )
    Workers(folder, spec, LocalRunner()).run(work, plan, rate)
    return rate.per_second


def _read(source: Files) -> float:
    settings = server_settings()
    bounds, (_, stored) = (
        Bounds(settings.image_max_bytes, settings.image_max_pixels),
        choose("classification", [(SIDE, SIDE)], gpu=False),
    )
    began = perf_counter()
    for name in source.names:
        bounds.frame_of(source, name, "classification", stored)
    return len(source.names) / (perf_counter() - began)
