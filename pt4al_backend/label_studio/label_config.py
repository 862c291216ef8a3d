"""What of a labeling config a model can learn: one choice for an image or several, or outlines of the classes in it.

The config is XML that any member of the Label Studio project can edit. A document type is refused, and with it every
declaration of entities, so that a small config cannot grow into a large one nor read files.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.images.mask_files import MOST_CLASSES

_SHOWN = 10  # labels in a message
_WHERE = "in Label Studio, Settings > Labeling Interface"

#: What a class can be outlined with.
Shape = Literal["brush", "polygon", "bitmask"]

#: Tags that outline what <Labels> lists; in lower case, as Label Studio's pages read tags without regard to it.
_TOOLS: tuple[Shape, ...] = ("brush", "polygon", "bitmask")
#: Tags that list the classes and outline them as well.
_BOTH: dict[str, Shape] = {f"{tool}labels": tool for tool in _TOOLS}
#: Tags that list the classes of regions that a person may use beside outlines: what is in them is filled.
_FILLED = ("rectanglelabels", "ellipselabels")
#: Tags whose regions alone do not say which pixels belong to them.
_BOXES = ("rectangle", "ellipse", *_FILLED, "keypoint", "keypointlabels", "vector", "vectorlabels")
#: Every tag that gives regions a class.
_LISTS = (*_BOTH, "labels", *_FILLED, "keypointlabels", "vectorlabels")

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
        shown: what annotators read for each of them: its value.
    """

    from_name: str
    to_name: str
    image_key: str
    labels: tuple[str, ...]
    shown: tuple[str, ...] = field(default=(), compare=False)

    task: ClassVar[str] = "classification"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tags that labels are given with."""
        return (self.from_name,)


@dataclass(frozen=True)
class MultilabelConfig(ClassificationConfig):
    """A project in which annotators pick any number of the choices for an image (``choice="multiple"``)."""

    task: ClassVar[str] = "multilabel"


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
        also: names of further tags that list the same classes: their regions count as well.
        others: names of tags that list other classes: their regions are not this project's.
    """

    from_name: str
    to_name: str
    image_key: str
    labels: tuple[str, ...]
    shape: Shape
    tool: str = ""
    also: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    task: ClassVar[str] = "segmentation"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tags that labels are given with."""
        return (self.from_name, *self.also)


#: What a project can be about.
LabelConfig = ClassificationConfig | SegmentationConfig


def parse(label_config_xml: str, control: str = "", *, running: str = "", task: str = "") -> LabelConfig:
    """Reads a project's labeling config.

    Label lists with the same classes for the same image are one. Where more than one thing can be learned, it is what
    ``control`` names; else what the project learns already; else the outlines, as a choice beside them is mostly a review.

    Args:
        control: the setting: name of the tag to learn.
        running: name of the tag that the project has learned so far; it stays if it is still there.
        task: main task that the project has learned so far.

    Raises:
        LabelConfigUnsupported: nothing in it, or more than one thing, can be learned; the remedy says what to change.
    """
    root = _tree(label_config_xml)
    images = _tags(root, "image")
    if len(images) == 1:
        _check(images[0])
    controls = _chosen(_controls(root, images), control, running, task)
    found = controls[0]
    image = next(each for each in images if each.get("name") in _targets(found))
    _check(image)
    if found.tag.lower() == "choices":
        _require_sound(found, image, "choices")
        kind, fewest = (MultilabelConfig, 1) if _is_multiple(found) else (ClassificationConfig, 2)
        labels = _labels(found, "choice", fewest)
        return kind(found.get("name", ""), image.get("name", ""), _field(image), labels, _shown(found, "choice"))
    _require_sound(found, image, "labels")
    if _is_multiple(found):
        _refuse(
            f"<{found.tag} {_name(found)}> lets annotators pick several labels for one region, which is not supported.",
            f'Write choice="single" {_WHERE}.',
        )
    labels = _labels(found, "label", fewest=1)
    shape, tool = _tool(root, image, found)
    listing = [tag for tag in _tags(root, *_LISTS) if tag is not found and tag.get("name")]
    same = [tag for tag in listing if tag in controls[1:] or _is_filled_with(tag, image, labels)]
    also, others = (tuple(tag.get("name", "") for tag in listing if (tag in same) == counts) for counts in (True, False))
    return SegmentationConfig(found.get("name", ""), image.get("name", ""), _field(image), labels, shape, tool, also, others)


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


def _check(image: Element) -> None:
    if not image.get("name"):
        _refuse("The <Image> of the labeling config has no name.", f'Write <Image name="image" …> {_WHERE}.')
    if image.get("valueList"):
        _refuse(f"<Image {_name(image)}> shows a list of images.", f'Write value="$image" instead of valueList {_WHERE}.')
    _field(image)


def _field(image: Element) -> str:
    """The field of the task's data that an image shows."""
    field = _FIELD.fullmatch(image.get("value", ""))
    if field is None:
        _refuse(
            f"<Image {_name(image)}> has value={image.get('value', '')!r}, not one field of the task's data.",
            f'Write value="$image", with the name of your field, {_WHERE}.',
        )
    return field.group(1)


def _controls(root: Element, images: Sequence[Element]) -> list[list[Element]]:
    """What can be learned: tags that list what annotators pick from, those with the same classes together; at least one."""
    if not images:
        others = sorted({tag.tag for tag in root.iter() if tag.get("name") and tag.get("value") and not tag.get("toName")})
        shown = f"; it shows {', '.join(f'<{tag}>' for tag in others)}" if others else ""
        _refuse(f"The labeling config shows no image{shown}.", f'Add <Image name="image" value="$image"/> {_WHERE}.')
    names = {image.get("name", "") for image in images}
    choices = [tag for tag in _tags(root, "choices") if not (_yes(tag, "perRegion") or _yes(tag, "perItem"))]
    lists = _tags(root, *_BOTH, "labels")
    if choices and not _tags(root, *_TOOLS):  # a list without a tool outlines nothing
        lists = [tag for tag in lists if tag.tag.lower() in _BOTH]
    if not choices and not lists:
        _refuse_rest(root, images[0])
    pointing = [tag for tag in (*choices, *lists) if names.intersection(_targets(tag))]
    if not pointing:
        found = [*choices, *lists]
        shown = ", ".join(f"<Image {_name(image)}>" for image in images)
        _refuse(
            f"No {_spelled(found)} points to {shown}, but {_names(found)}.",
            f'Write toName="{images[0].get("name", "")}" {_WHERE}.',
        )
    groups: dict[object, list[Element]] = {}
    for tag in pointing:
        classes = frozenset(map(_label, _tags(tag, "label")))
        key = tag if tag.tag.lower() == "choices" else (tag.get("toName"), classes)
        groups.setdefault(key, []).append(tag)
    return list(groups.values())


def _refuse_rest(root: Element, image: Element) -> NoReturn:
    """Says what there is instead of choices and outlines."""
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
            f"Detection ({_spelled(boxes)}) is not supported: boxes and points do not say which pixels they mean.",
            f"{classify}, {segment}",
        )
    if _tags(root, "choices"):
        _refuse(
            "The only <Choices> belong to each region or item, not to the image.",
            f"{classify} without perRegion and perItem, {segment}",
        )
    asking = [tag for tag in root.iter() if tag.get("toName")]
    found = f", but {_spelled(asking)}" if asking else ""
    _refuse(f"The labeling config has neither choices nor outlines{found}.", f"{classify}, {segment}")


def _chosen(groups: list[list[Element]], control: str, running: str, task: str) -> list[Element]:
    """The tags to learn, of all that can be learned; the one that was named comes first."""
    for name in filter(None, (control, running)):
        for group in groups:
            if named := [tag for tag in group if tag.get("name") == name]:
                return [*named, *(tag for tag in group if tag not in named)]
        if name == control:
            there = _listed([tag for group in groups for tag in group])
            what = f"The setting 'control' is {control!r}, but the labeling config has {there} to learn."
            _refuse(what, "Name one of them in the extra params, or remove the setting.")
    outlines = [group for group in groups if group[0].tag.lower() != "choices"]
    choices = [group for group in groups if group[0].tag.lower() == "choices"]
    likely = (outlines or choices) if task in ("", "segmentation") else (choices or outlines)
    if len(likely) == 1:
        return likely[0]
    found = [tag for group in groups for tag in group]
    example = likely[0][0].get("name", "")
    _refuse(
        f"The labeling config has several controls that can be learned: {_listed(found)}.",
        f'Name the one to learn in the extra params, such as {{"control": "{example}"}}, or keep one {_WHERE}.',
    )


def _require_sound(control: Element, image: Element, what: str) -> None:
    """Refuses a tag that does not list what annotators pick from for the image."""
    name = image.get("name", "")
    tag = f"<{control.tag} {_name(control)}>"
    if not control.get("name"):
        _refuse(f"The <{control.tag}> of the labeling config has no name.", f'Write <{control.tag} name="label" …> {_WHERE}.')
    if _targets(control) != [name]:
        _refuse(f"{tag} points to more than the image.", f'Write toName="{name}" {_WHERE}.')
    if control.get("value"):
        _refuse(f"{tag} takes its {what} from the task's data.", f"List them as <{what[:-1].title()} …> {_WHERE}.")


def _is_multiple(control: Element) -> bool:
    """Whether annotators may pick several at once."""
    return control.get("choice", "single").lower() == "multiple"


def _is_filled_with(tag: Element, image: Element, labels: Sequence[str]) -> bool:
    """Whether a tag draws boxes or ellipses of these classes on the image."""
    listed = set(map(_label, _tags(tag, "label")))
    return tag.tag.lower() in _FILLED and _targets(tag) == [image.get("name")] and bool(listed) and listed.issubset(labels)


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
    if any(len(each) and _tags(each, tag) for each in found):
        _refuse(f"{parent} holds {tag}s within {tag}s.", f"List all as one level of {wish} {_WHERE}.")
    labels = list(map(_label, found))
    if tag == "label" and len(labels) > MOST_CLASSES:
        _refuse(f"{parent} offers {len(labels)} {tag}s; a mask tells {MOST_CLASSES} apart.", f"Remove some {_WHERE}.")
    if "" in labels:
        _refuse(f"A <{tag.title()}> of {parent} has no value.", f'Write <{tag.title()} value="…"/> {_WHERE}.')
    twice = sorted(label for label, times in Counter(labels).items() if times > 1)
    if twice:
        shown = f"{', '.join(map(repr, twice[:_SHOWN]))}{' and others' if len(twice) > _SHOWN else ''}"
        _refuse(f"{parent} holds {shown} more than once.", f"Make every {tag} another {_WHERE}.")
    if len(labels) < fewest:
        offered = f"one {tag}" if labels else f"no {tag}"
        _refuse(f"{parent} offers {offered}; a model needs {fewest} or more.", f"Add {wish} {_WHERE}.")
    return tuple(labels)


def _shown(control: Element, tag: str) -> tuple[str, ...]:
    """What annotators read for each of ``_labels``; with its alias behind it where another one reads the same."""
    found = _tags(control, tag)
    values = Counter(each.get("value") or _label(each) for each in found)
    names = ((each.get("value") or _label(each), _label(each)) for each in found)
    return tuple(value if values[value] == 1 else f"{value} ({label})" for value, label in names)


def _label(tag: Element) -> str:
    """What annotations hold of a ``<Choice>`` or a ``<Label>``."""
    return tag.get("alias") or tag.get("value") or ""


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


def _listed(tags: Sequence[Element]) -> str:
    return ", ".join(f"{tag.get('name', '')!r} (<{tag.tag}>)" for tag in tags)


def _refuse(message: str, remedy: str) -> NoReturn:
    raise LabelConfigUnsupported(message, remedy)
