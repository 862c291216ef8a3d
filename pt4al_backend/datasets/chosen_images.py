"""Images of which people choose what they show: one class, or several."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from xml.sax.saxutils import quoteattr

from pt4al_backend.aliases import Json
from pt4al_backend.datasets.folder_images import FolderImages
from pt4al_backend.label_studio.classification import ChoicesReader


@dataclass(frozen=True)
class ChosenImages(FolderImages):
    """``chosen`` is the label of each image: its class, or the text of its set of classes (see ``label_sets``)."""

    chosen: Mapping[Path, str] = field(default_factory=dict)

    choice: ClassVar[str]  #: Label Studio's word for how many choices an image gets
    label_reader: ClassVar[type[ChoicesReader]]

    def label_config(self) -> str:
        """Asks what an image shows; digits are their own hotkeys."""
        hotkey = {name: f" hotkey={quoteattr(name)}" for name in self.classes if len(name) == 1 and name.isdecimal()}
        choices = "\n".join(f"    <Choice value={quoteattr(name)}{hotkey.get(name, '')}/>" for name in self.classes)
        return (
            '<View>\n  <Image name="image" value="$image" width="320px" maxWidth="320px"/>\n'
            f'  <Choices name="label" toName="image" choice="{self.choice}" showInLine="true">\n'
            f"{choices}\n  </Choices>\n</View>\n"
        )

    def regions(self, path: Path) -> list[Json]:
        return self.label_reader(self.config).regions(self.chosen[path], None, None)

    def answer(self, path: Path) -> str:
        return self.chosen[path]
