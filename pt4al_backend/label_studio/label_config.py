"""What of a labeling config a model can learn: one choice for one image.

The config is XML that any member of the Label Studio project can edit. A document type is refused, and with it every
declaration of entities, so that a small config cannot grow into a large one nor read files.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pt4al_backend.errors import LabelConfigUnsupported

_WHERE = "in Label Studio, Settings > Labeling Interface"

#: Controls that outline objects, in lower case: Label Studio's pages read tags without regard to case.
_OUTLINES = {"brush", "brushlabels", "polygon", "polygonlabels", "bitmask", "bitmasklabels", "vector", "vectorlabels"}
_OUTLINES |= {"rectangle", "rectanglelabels", "ellipse", "ellipselabels", "keypoint", "keypointlabels", "magicwand"}

#: "$image"; neither "$meta.image" nor "$images[0]" nor a fixed address.
_FIELD = re.compile(r"\$([^$.\[\]{}/]+)")


@dataclass(frozen=True)
class ClassificationConfig:
    """A project in which annotators pick one of several choices for an image.

    Attributes:
        from_name: name of the ``<Choices>``.
        to_name: name of the ``<Image>``.
        image_key: field of a task's data that holds the image's address.
        labels: what annotations hold, in the config's order: a choice's alias, its value if it has none.
    """

    from_name: str
    to_name: str
    image_key: str
    labels: tuple[str, ...]

    task: ClassVar[str] = "classification"


@dataclass(frozen=True)
class SegmentationConfig:
    """A project in which annotators outline the classes of an image.

    Attributes:
        from_name: name of the tag that lists the classes: ``<BrushLabels>``, ``<PolygonLabels>``, ``<BitmaskLabels>`` or
            ``<Labels>``.
        to_name: name of the ``<Image>``.
        image_key: field of a task's data that holds the image's address.
        labels: what annotations hold, in the config's order; a class's index is its id in masks.
        shape: what predictions are drawn with.
        tool: name of the ``<Brush>``, ``<Polygon>`` or ``<Bitmask>`` beside ``<Labels>``; "" if one tag is both.
    """

    from_name: str
    to_name: str
    image_key: str
    labels: tuple[str, ...]
    shape: Literal["brush", "polygon", "bitmask"]
    tool: str = ""

    task: ClassVar[str] = "segmentation"


#: What a project can be about.
LabelConfig = ClassificationConfig | SegmentationConfig


def parse(label_config_xml: str) -> ClassificationConfig:
    """Reads a project's labeling config.

    Raises:
        LabelConfigUnsupported: nothing in it, or more than one thing, can be learnt; the remedy says what to change.
    """
    root = _tree(label_config_xml)
    image = _image(root)
    choices = _choices(root, image)
    field = _FIELD.fullmatch(image.get("value", ""))
    if field is None:
        _refuse(
            f"<Image {_name(image)}> has value={image.get('value', '')!r}, not one field of the task's data.",
            f'Write value="$image", with the name of your field, {_WHERE}.',
        )
    return ClassificationConfig(choices.get("name", ""), image.get("name", ""), field.group(1), _labels(choices))


def _tree(text: str) -> Element:
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        _refuse(f"The labeling config is not XML ({error}).", f"Correct it {_WHERE}.")
    return builder.close()


def _refuse_doctype(*_: object) -> NoReturn:
    _refuse("The labeling config declares a document type.", f"Remove <!DOCTYPE …> {_WHERE}.")


def _image(root: Element) -> Element:
    images = _tags(root, "image")
    if not images:
        others = sorted({tag.tag for tag in root.iter() if tag.get("name") and tag.get("value") and not tag.get("toName")})
        found = f"; it shows {', '.join(f'<{tag}>' for tag in others)}" if others else ""
        _refuse(f"The labeling config shows no image{found}.", f'Add <Image name="image" value="$image"/> {_WHERE}.')
    if len(images) > 1:
        _refuse(f"The labeling config shows several images: {_names(images)}.", f"Keep one <Image> {_WHERE}.")
    image = images[0]
    if not image.get("name"):
        _refuse("The <Image> of the labeling config has no name.", f'Write <Image name="image" …> {_WHERE}.')
    if image.get("valueList"):
        _refuse(f"<Image {_name(image)}> shows a list of images.", f'Write value="$image" instead of valueList {_WHERE}.')
    return image


def _choices(root: Element, image: Element) -> Element:
    found = [tag for tag in _tags(root, "choices") if not (_yes(tag, "perRegion") or _yes(tag, "perItem"))]
    name = image.get("name", "")
    add = f'Add <Choices name="label" toName="{name}"> {_WHERE}.'
    if not found and _tags(root, "choices"):
        _refuse(
            "The only <Choices> are asked for each region or item, not for the image.", f"{add} Leave perRegion and perItem out."
        )
    if not found:
        outlines = sorted({tag.tag for tag in root.iter() if tag.tag.lower() in _OUTLINES})
        if outlines:
            shown = ", ".join(f"<{tag}>" for tag in outlines)
            _refuse(
                f"Segmentation and detection ({shown}) are not supported by this version.", f"To classify whole images: {add}"
            )
        _refuse("The labeling config asks for no choice.", add)
    pointing = [tag for tag in found if name in _targets(tag)]
    if not pointing:
        _refuse(f"No <Choices> points to <Image {_name(image)}>, but {_names(found)}.", f'Write toName="{name}" {_WHERE}.')
    if len(pointing) > 1:
        _refuse(f"The labeling config asks for several choices: {_names(pointing)}.", f"Keep one <Choices> {_WHERE}.")
    choices = pointing[0]
    if not choices.get("name"):
        _refuse("The <Choices> of the labeling config has no name.", f'Write <Choices name="label" …> {_WHERE}.')
    if _targets(choices) != [name]:
        _refuse(f"<Choices {_name(choices)}> points to more than the image.", f'Write toName="{name}" {_WHERE}.')
    if choices.get("choice", "single").lower() == "multiple":
        _refuse(f"<Choices {_name(choices)}> lets annotators pick several choices.", f'Write choice="single" {_WHERE}.')
    if choices.get("value"):
        _refuse(f"<Choices {_name(choices)}> takes its choices from the task's data.", f"List them as <Choice …> {_WHERE}.")
    return choices


def _labels(choices: Element) -> tuple[str, ...]:
    found = _tags(choices, "choice")
    if any(_tags(choice, "choice") for choice in found):
        _refuse(f"<Choices {_name(choices)}> holds choices within choices.", f"List all as one level of <Choice …> {_WHERE}.")
    labels = [choice.get("alias") or choice.get("value") or "" for choice in found]
    if "" in labels:
        _refuse(f"A <Choice> of <Choices {_name(choices)}> has no value.", f'Write <Choice value="…"/> {_WHERE}.')
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        _refuse(
            f"<Choices {_name(choices)}> holds {', '.join(map(repr, twice))} more than once.",
            f"Make every choice another {_WHERE}.",
        )
    if len(labels) < 2:
        _refuse(
            f"<Choices {_name(choices)}> offers {len(labels)} choices; a model needs two or more.", f"Add <Choice …> {_WHERE}."
        )
    return tuple(labels)


def _tags(element: Element, tag: str) -> list[Element]:
    """Descendants with this tag name, in lower case."""
    return [each for each in element.iter() if each is not element and each.tag.lower() == tag]


def _targets(control: Element) -> list[str]:
    return [name.strip() for name in control.get("toName", "").split(",")]


def _yes(tag: Element, attribute: str) -> bool:
    return tag.get(attribute, "false").lower() == "true"


def _name(tag: Element) -> str:
    return f'name="{tag.get("name", "")}"'


def _names(tags: list[Element]) -> str:
    return ", ".join(repr(tag.get("name", "")) for tag in tags)


def _refuse(message: str, remedy: str) -> NoReturn:
    raise LabelConfigUnsupported(message, remedy)
