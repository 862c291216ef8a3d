"""A model as a folder of its own, packed while it is sent: its artefact, what answers images by it, and how to use that."""

import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from pt4al_backend import __version__, artefacts
from pt4al_backend.artefacts import HEAD, MANIFEST, WEIGHTS
from pt4al_backend.jobs.manifest import ModelManifest
from pt4al_backend.server.streamed_file import StreamedFile

#: The files of an artefact that loading the model takes; the others are outputs of its training.
NEEDED = (WEIGHTS, HEAD)
PIECE = 1 << 20
SCRIPT = Path(__file__).parent / "model_folder" / "predict.py"

README = """\
This folder holds a model that was trained by PT4AL for Label Studio {version}.

In an environment where the PT4AL backend is installed, of that version, from where you got it,

    python predict.py IMAGE...

prints a line of JSON for each image. Its classes: {classes}.
It learned {labels} labels. {metric} on control picks: {value}.
"""


def pack(result: Path, name: str) -> Iterator[bytes]:
    """A zip file with the folder ``name``, piece by piece, of the artefact of a training.

    Raises:
        StoreCorrupt: the artefact is damaged.
    """
    manifest = artefacts.manifest(result)
    held = {file: digest for file, digest in manifest["files"].items() if file in NEEDED}
    texts = {
        "predict.py": SCRIPT.read_text(),
        "README.txt": _readme(ModelManifest.model_validate(manifest)),
        f"model/{MANIFEST}": json.dumps({**manifest, "files": held}, indent=1),
    }
    packed = StreamedFile()
    with ZipFile(packed, "w", ZIP_STORED) as archive:
        for file, text in texts.items():
            archive.writestr(ZipInfo(f"{name}/{file}"), text)
            yield packed.take()
        for file in held:
            entry = ZipInfo(f"{name}/model/{file}")
            with (result / file).open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield packed.take()
    yield packed.take()


def _readme(model: ModelManifest) -> str:
    control = model.control
    value = "not measured" if control.value is None else f"{100 * control.value:.1f} % of {control.total}"
    classes = ", ".join(model.classes[:100]) + (", …" if len(model.classes) > 100 else "")
    return README.format(version=__version__, classes=classes, labels=model.train_size, metric=control.metric, value=value)
