"""What of a labeling config a model can learn: one choice for one image, or outlines of the classes in it.

The config is XML that any member of the Label Studio project can edit. A document type is refused, and with it every
declaration of entities, so that a small config cannot grow into a large one nor read files.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.images.mask_files import MOST_CLASSES

_WHERE = "in Label Studio, Settings > Labeling Interface"

#: What a class can be outlined with.
Shape = Literal["brush", "polygon", "bitmask"]

#: Tags that outline what <Labels> lists; in lower case, as Label Studio's pages read tags without regard to it.
_TOOLS: tuple[Shape, ...] = ("brush", "polygon", "bitmask")
#: Tags that list the classes and outline them as well.
_BOTH: dict[str, Shape] = {f"{tool}labels": tool for tool in _TOOLS}
#: Tags whose regions do not say which pixels belong to them.
_BOXES = ("rectangle", "rectanglelabels", "ellipse", "ellipselabels", "keypoint", "keypointlabels", "vector", "vectorlabels")

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
        labels: what annotations hold, in the config's order: a label's alias, its value if it has none. Its index is its id
            in masks.
        shape: what predictions are drawn with: the first tool in the config. Annotations of any other are read as well.
        tool: name of the ``<Brush>``, ``<Polygon>`` or ``<Bitmask>`` beside ``<Labels>``; "" if one tag is both.
    """

    from_name: str
    to_name: str
    image_key: str
    labels: tuple[str, ...]
    shape: Shape
    tool: str = ""

    task: ClassVar[str] = "segmentation"


#: What a project can be about.
LabelConfig = ClassificationConfig | SegmentationConfig


def parse(label_config_xml: str) -> LabelConfig:
    """Reads a project's labeling config.

    A choice for the image makes it a classification, whatever can be outlined beside it; else labels to outline make it a
    segmentation.

    Raises:
        LabelConfigUnsupported: nothing in it, or more than one thing, can be learnt; the remedy says what to change.
    """
    root = _tree(label_config_xml)
    image = _image(root)
    if choices := [tag for tag in _tags(root, "choices") if not (_yes(tag, "perRegion") or _yes(tag, "perItem"))]:
        control = _control(choices, image, "choices")
        labels = _labels(control, "choice", fewest=2)
        return ClassificationConfig(control.get("name", ""), image.get("name", ""), _field(image), labels)
    control = _control(_lists(root, image), image, "labels")
    labels = _labels(control, "label", fewest=1)
    shape, tool = _tool(root, image, control)
    return SegmentationConfig(control.get("name", ""), image.get("name", ""), _field(image), labels, shape, tool)


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


def _field(image: Element) -> str:
    """The field of the task's data that an image shows."""
    field = _FIELD.fullmatch(image.get("value", ""))
    if field is None:
        _refuse(
            f"<Image {_name(image)}> has value={image.get('value', '')!r}, not one field of the task's data.",
            f'Write value="$image", with the name of your field, {_WHERE}.',
        )
    return field.group(1)


def _lists(root: Element, image: Element) -> list[Element]:
    """The tags that list classes to outline; at least one."""
    if found := _tags(root, *_BOTH, "labels"):
        return found
    name = image.get("name", "")
    classify = f'To classify whole images add <Choices name="label" toName="{name}">'
    segment = f'to segment them <BrushLabels name="mask" toName="{name}"> {_WHERE}.'
    if tools := _tags(root, *_TOOLS):
        _refuse(
            f"{_spelled(tools)} without <Labels>: what annotators draw has no class.",
            f'Add <Labels name="label" toName="{name}"> {_WHERE}.',
        )
    if boxes := _tags(root, *_BOXES):
        _refuse(
            f"Detection ({_spelled(boxes)}) is not supported: a box does not say which pixels belong to it.",
            f"{classify}, {segment}",
        )
    if _tags(root, "choices"):
        _refuse(
            "The only <Choices> belong to each region or item, not to the image.",
            f"{classify} without perRegion and perItem, {segment}",
        )
    _refuse("The labeling config has neither choices nor outlines.", f"{classify}, {segment}")


def _control(found: list[Element], image: Element, what: str) -> Element:
    """The one tag that lists what annotators pick from."""
    name = image.get("name", "")
    pointing = [tag for tag in found if name in _targets(tag)]
    if not pointing:
        none = f"No {_spelled(found)} points to <Image {_name(image)}>, but {_names(found)}."
        _refuse(none, f'Write toName="{name}" {_WHERE}.')
    if len(pointing) > 1:
        either = _spelled(pointing).replace(", ", " or ")
        _refuse(f"The labeling config has several {what}: {_names(pointing)}.", f"Keep one {either} {_WHERE}.")
    control = pointing[0]
    tag = f"<{control.tag} {_name(control)}>"
    if not control.get("name"):
        _refuse(f"The <{control.tag}> of the labeling config has no name.", f'Write <{control.tag} name="label" …> {_WHERE}.')
    if _targets(control) != [name]:
        _refuse(f"{tag} points to more than the image.", f'Write toName="{name}" {_WHERE}.')
    if control.get("choice", "single").lower() == "multiple":
        _refuse(f"{tag} lets annotators pick several {what}.", f'Write choice="single" {_WHERE}.')
    if control.get("value"):
        _refuse(f"{tag} takes its {what} from the task's data.", f"List them as <{what[:-1].title()} …> {_WHERE}.")
    return control


def _tool(root: Element, image: Element, control: Element) -> tuple[Shape, str]:
    """What predictions are drawn with, and the name of its tag if that is not the one that lists the classes."""
    if shape := _BOTH.get(control.tag.lower()):
        return shape, ""
    name = image.get("name", "")
    tools = [tool for tool in _tags(root, *_TOOLS) if _targets(tool) == [name]]
    if not tools:
        _refuse(
            f"No <Brush>, <Polygon> or <Bitmask> beside <{control.tag} {_name(control)}> points to the image alone.",
            f'Write <Brush name="tool" toName="{name}"/> {_WHERE}.',
        )
    tool = tools[0]
    if not tool.get("name"):
        _refuse(f"The <{tool.tag}> of the labeling config has no name.", f'Write <{tool.tag} name="tool" …> {_WHERE}.')
    return next(shape for shape in _TOOLS if shape == tool.tag.lower()), tool.get("name", "")


def _labels(control: Element, tag: str, fewest: int) -> tuple[str, ...]:
    parent, wish = f"<{control.tag} {_name(control)}>", f"<{tag.title()} …>"
    found = _tags(control, tag)
    if any(_tags(each, tag) for each in found):
        _refuse(f"{parent} holds {tag}s within {tag}s.", f"List all as one level of {wish} {_WHERE}.")
    labels = [each.get("alias") or each.get("value") or "" for each in found]
    if tag == "label" and len(labels) > MOST_CLASSES:
        _refuse(f"{parent} offers {len(labels)} {tag}s; a mask tells {MOST_CLASSES} apart.", f"Remove some {_WHERE}.")
    if "" in labels:
        _refuse(f"A <{tag.title()}> of {parent} has no value.", f'Write <{tag.title()} value="…"/> {_WHERE}.')
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        _refuse(f"{parent} holds {', '.join(map(repr, twice))} more than once.", f"Make every {tag} another {_WHERE}.")
    if len(labels) < fewest:
        _refuse(f"{parent} offers {len(labels)} {tag}s; a model needs {fewest} or more.", f"Add {wish} {_WHERE}.")
    return tuple(labels)


def _tags(element: Element, *tags: str) -> list[Element]:
    """Descendants with one of these tag names, in lower case."""
    return [each for each in element.iter() if each is not element and each.tag.lower() in tags]


def _spelled(tags: list[Element]) -> str:
    return ", ".join(f"<{tag}>" for tag in sorted({tag.tag for tag in tags}))


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
