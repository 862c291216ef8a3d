import pytest

from pt4al_backend.errors import LabelConfigUnsupported
from pt4al_backend.label_studio.label_config import ClassificationConfig, MultilabelConfig, SegmentationConfig, parse

IMAGE = '<Image name="image" value="$image"/>'
CHOICES = '<Choices name="label" toName="image"><Choice value="cat"/><Choice value="dog"/></Choices>'


TWO = '<Label value="cat"/><Label value="dog"/>'
BRUSH = f'<BrushLabels name="mask" toName="image">{TWO}</BrushLabels>'
LABELS = f'<Labels name="label" toName="image">{TWO}</Labels>'


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


def test_one_choice_for_one_image() -> None:
    assert parse(view(IMAGE, CHOICES)) == ClassificationConfig("label", "image", "image", ("cat", "dog"))


def test_tags_around_the_choices_are_ignored() -> None:
    config = view(
        '<Header value="What is it?"/>',
        '<Image name="photo" value="$url of photo" zoom="true"/>',
        '<!-- <Choices name="old" toName="photo"/> -->',
        '<choices name="animal" toName="photo" choice="single-radio">',
        '<View><Choice value="größer"/><Choice value="a &amp; b"/></View></choices>',
        '<TextArea name="remark" toName="photo"/>',
    )
    assert parse(config) == ClassificationConfig("animal", "photo", "url of photo", ("gr\u00f6\u00dfer", "a & b"))


def test_an_alias_stands_for_the_value_as_in_annotations() -> None:
    choices = '<Choices name="c" toName="image"><Choice value="A cat" alias="cat"/><Choice value="dog"/></Choices>'
    assert parse(view(IMAGE, choices)).labels == ("cat", "dog")


def test_choices_per_region_are_ignored_beside_choices_of_the_image() -> None:
    per_region = '<Choices name="part" toName="image" perRegion="true"><Choice value="x"/></Choices>'
    assert parse(view(IMAGE, per_region, CHOICES)).from_name == "label"


@pytest.mark.parametrize("shape", ["brush", "polygon", "bitmask"])
def test_labels_to_outline_make_a_segmentation(shape: str) -> None:
    config = view(IMAGE, f'<{shape}labels name="mask" toName="image">{TWO}</{shape}labels>')
    assert parse(config) == SegmentationConfig("mask", "image", "image", ("cat", "dog"), shape)


@pytest.mark.parametrize("tag", ["Brush", "polygon", "BITMASK"])
def test_labels_beside_a_tool_make_a_segmentation(tag: str) -> None:
    config = view(IMAGE, LABELS, f'<{tag} name="tool" toName="image"/>')
    assert parse(config) == SegmentationConfig("label", "image", "image", ("cat", "dog"), tag.lower(), "tool")


def test_of_several_tools_the_first_draws_predictions() -> None:
    tools = [f'<{tag} name="{tag}" toName="image"/>' for tag in ("Rectangle", "Polygon", "Brush")]
    assert parse(view(tools[0], tools[1], LABELS, IMAGE, tools[2])).tool == "Polygon"


def test_one_class_against_the_background_is_enough_to_segment() -> None:
    assert parse(view(IMAGE, BRUSH.replace('<Label value="dog"/>', ""))).labels == ("cat",)


def test_a_label_s_alias_stands_for_its_value_as_in_annotations() -> None:
    assert parse(view(IMAGE, BRUSH.replace('value="cat"', 'value="A cat" alias="cat"'))).labels == ("cat", "dog")


def test_most_classes_that_a_mask_can_hold_are_accepted() -> None:
    labels = "".join(f'<Label value="{k}"/>' for k in range(255))
    assert len(parse(view(IMAGE, BRUSH.replace(TWO, labels))).labels) == 255


@pytest.mark.parametrize("beside", ["RectangleLabels", "KeyPointLabels", "EllipseLabels"])
def test_boxes_beside_a_brush_leave_a_segmentation(beside: str) -> None:
    boxes = f'<{beside} name="prompt" toName="image" smart="true">{TWO}</{beside}>'
    per_region = '<Choices name="part" toName="image" perRegion="true"><Choice value="x"/></Choices>'
    config = parse(view(boxes, IMAGE, BRUSH, per_region))
    assert isinstance(config, SegmentationConfig)
    assert config.from_name == "mask"


REVIEW = '<Choices name="review" toName="image"><Choice value="good"/><Choice value="bad"/></Choices>'


@pytest.mark.parametrize("outlines", [BRUSH, f'{LABELS}<Polygon name="p" toName="image"/>'])
def test_review_question_beside_outlines_leaves_a_segmentation(outlines: str) -> None:
    for config in (view(IMAGE, outlines, REVIEW), view(IMAGE, REVIEW, outlines)):
        assert parse(config).task == "segmentation"
        assert parse(config, task="segmentation").task == "segmentation"


def test_running_classification_stays_one_when_outlines_are_added() -> None:
    found = parse(view(IMAGE, BRUSH, CHOICES), running="label", task="classification")
    assert (found.task, found.from_name) == ("classification", "label")
    assert parse(view(IMAGE, BRUSH, CHOICES), task="classification").task == "classification"
    assert parse(view(IMAGE, BRUSH), running="label", task="classification").task == "segmentation"


def test_box_with_a_question_is_a_classification() -> None:
    boxes = BRUSH.replace("Brush", "Rectangle")
    assert parse(view(IMAGE, boxes, REVIEW)).from_name == "review"
    assert parse(view(IMAGE, LABELS, '<Rectangle name="r" toName="image"/>', REVIEW)).from_name == "review"


def test_setting_names_the_control_to_learn() -> None:
    config = view(IMAGE, CHOICES, REVIEW, BRUSH)
    assert [parse(config, name).from_name for name in ("label", "review", "mask")] == ["label", "review", "mask"]
    assert parse(config, "review", running="mask").from_name == "review"


def test_control_that_is_learned_stays_when_another_is_added() -> None:
    assert parse(view(IMAGE, REVIEW, CHOICES), running="label").from_name == "label"


def test_control_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(LabelConfigUnsupported) as caught:
        parse(view(IMAGE, CHOICES, BRUSH), "mood")
    assert "'control' is 'mood'" in caught.value.message
    assert "'label' (<Choices>), 'mask' (<BrushLabels>)" in caught.value.message
    assert "extra params" in caught.value.remedy


def test_image_is_the_one_that_the_control_points_to() -> None:
    reference = '<Image name="reference" value="$other"/>'
    assert parse(view(reference, IMAGE, CHOICES)).image_key == "image"
    assert parse(view(reference, IMAGE, CHOICES.replace('toName="image"', 'toName="reference"'))).image_key == "other"
    assert parse(view('<Image name="sheet" valueList="$pages"/>', IMAGE, BRUSH)).image_key == "image"


POLYGONS = BRUSH.replace("Brush", "Polygon").replace("mask", "shape")


def test_lists_with_the_same_classes_are_one() -> None:
    other_order = POLYGONS.replace(TWO, '<Label value="dog"/><Label value="cat"/>')
    for config in (view(IMAGE, BRUSH, POLYGONS), view(IMAGE, BRUSH, other_order)):
        assert parse(config) == SegmentationConfig("mask", "image", "image", ("cat", "dog"), "brush", also=("shape",))
    assert parse(view(IMAGE, BRUSH, POLYGONS), "shape") == SegmentationConfig(
        "shape", "image", "image", ("cat", "dog"), "polygon", also=("mask",)
    )
    with_tool = parse(view(IMAGE, LABELS, '<Polygon name="p" toName="image"/>', BRUSH))
    assert with_tool == SegmentationConfig("label", "image", "image", ("cat", "dog"), "polygon", "p", also=("mask",))


def test_lists_of_other_classes_are_left_to_the_setting() -> None:
    parts = POLYGONS.replace("cat", "paw")
    with pytest.raises(LabelConfigUnsupported, match=r"'mask' \(<BrushLabels>\), 'shape' \(<PolygonLabels>\)"):
        parse(view(IMAGE, BRUSH, parts))
    found = parse(view(IMAGE, BRUSH, parts), "shape")
    assert isinstance(found, SegmentationConfig)
    assert (found.labels, found.also, found.others) == (("paw", "dog"), (), ("mask",))


@pytest.mark.parametrize("tag", ["RectangleLabels", "EllipseLabels"])
def test_boxes_of_the_classes_count_with_the_outlines(tag: str) -> None:
    boxes = POLYGONS.replace("PolygonLabels", tag)
    found = parse(view(IMAGE, BRUSH, boxes, boxes.replace("shape", "part").replace('value="cat"', 'value="paw"')))
    assert isinstance(found, SegmentationConfig)
    assert (found.also, found.others) == (("shape",), ("part",))


@pytest.mark.parametrize("spelled", ["multiple", "Multiple"])
def test_several_choices_are_a_main_task_of_their_own(spelled: str) -> None:
    one, several = (parse(view(IMAGE, CHOICES.replace("name=", f'choice="{choice}" name='))) for choice in ("single", spelled))
    assert isinstance(several, MultilabelConfig)
    assert (several.task, several.labels) == ("multilabel", ("cat", "dog"))
    assert (one.task, one.labels) == ("classification", ("cat", "dog"))
    assert several != one
    assert parse(
        view(IMAGE, CHOICES.replace("name=", 'choice="multiple" name=').replace('<Choice value="dog"/>', ""))
    ).labels == ("cat",)


def test_of_one_choice_and_several_the_setting_decides() -> None:
    several = CHOICES.replace("label", "tags").replace("name=", 'choice="multiple" name=')
    both = view(IMAGE, CHOICES, several)
    assert parse(both, "tags").task == "multilabel"
    assert parse(both, "label").task == "classification"
    assert parse(both, running="tags", task="multilabel").from_name == "tags"
    assert parse(view(IMAGE, several, BRUSH)).task == "segmentation"
    assert parse(view(IMAGE, several, BRUSH), task="multilabel").task == "multilabel"


def test_many_thousand_classes_are_read() -> None:
    choices = "".join(f'<Choice value="{k}"/>' for k in range(20_000))
    assert len(parse(view(IMAGE, f'<Choices name="c" toName="image">{choices}</Choices>')).labels) == 20_000
    with pytest.raises(LabelConfigUnsupported, match="and others more than once") as caught:
        parse(view(IMAGE, f'<Choices name="c" toName="image">{choices * 2}</Choices>'))
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("config", "reason", "remedy"),
    [
        ("", "not XML", "Settings > Labeling Interface"),
        ("<View>", "not XML", "Settings > Labeling Interface"),
        ("<View></View>", "no image", '<Image name="image" value="$image"/>'),
        (view('<Text name="t" value="$text"/>', CHOICES), "it shows <Text>", "<Image"),
        (view('<Image value="$image"/>', CHOICES), "no name", "name="),
        (view('<Image name="image" valueList="$images"/>', CHOICES), "list of images", "valueList"),
        (view('<Image name="image" value="http://x/y.png"/>', CHOICES), "'http://x/y.png'", 'value="$image"'),
        (view('<Image name="image" value="$a.b"/>', CHOICES), "'$a.b'", 'value="$image"'),
        (view('<Image name="image" value="$a[0]"/>', CHOICES), "'$a[0]'", 'value="$image"'),
        (view('<Image name="image" value="$"/>', CHOICES), "'$'", 'value="$image"'),
        (view(IMAGE), "has neither choices nor outlines", "<Choices"),
        (
            view(IMAGE, CHOICES, CHOICES.replace("label", "mood")),
            "'label' (<Choices>), 'mood' (<Choices>)",
            '{"control": "label"}',
        ),
        (view(IMAGE, '<Taxonomy name="t" toName="image"/>'), "neither choices nor outlines, but <Taxonomy>", "<Choices"),
        (view(IMAGE, '<Rating name="r" toName="image"/>', '<TextArea name="t" toName="image"/>'), "<Rating>, <TextArea>", "<Ch"),
        (view(IMAGE, CHOICES.replace('toName="image"', 'toName="text"')), "No <Choices> points to", 'toName="image"'),
        (view(IMAGE, CHOICES.replace('toName="image"', 'toName="image,text"')), "more than the image", 'toName="image"'),
        (view(IMAGE, CHOICES.replace('name="label"', "")), "has no name", "name="),
        (view(IMAGE, CHOICES.replace("name=", 'perRegion="true" name=')), "belong to each region", "perRegion"),
        (view(IMAGE, CHOICES.replace("name=", 'perItem="True" name=')), "belong to each region or item", "perItem"),
        (view(IMAGE, CHOICES.replace("name=", 'value="$options" name=')), "from the task's data", "<Choice"),
        (view(IMAGE, CHOICES.replace('<Choice value="dog"/>', "")), "offers one choice;", "<Choice"),
        (view(IMAGE, CHOICES.replace("dog", "cat")), "'cat' more than once", "another"),
        (view(IMAGE, CHOICES.replace('value="dog"', "")), "has no value", "value="),
        (
            view(IMAGE, CHOICES.replace('<Choice value="cat"/>', '<Choice value="cat"><Choice value="lynx"/></Choice>')),
            "within",
            "one level",
        ),
        (view(IMAGE), "neither choices nor outlines", "to segment them <BrushLabels"),
        (view(IMAGE, BRUSH.replace('toName="image"', 'toName="text"')), "No <BrushLabels> points to", 'toName="image"'),
        (view(IMAGE, BRUSH.replace('toName="image"', 'toName="image,text"')), "more than the image", 'toName="image"'),
        (view(IMAGE, BRUSH.replace('name="mask"', "")), "<BrushLabels> of the labeling config has no name", "<BrushLabels name="),
        (view(IMAGE, BRUSH.replace("name=", 'choice="multiple" name=')), "pick several labels", 'choice="single"'),
        (view(IMAGE, BRUSH.replace("name=", 'value="$labels" name=')), "its labels from the task's data", "<Label …>"),
        (view(IMAGE, BRUSH.replace(TWO, "")), "offers no label;", "Add <Label …>"),
        (view(IMAGE, BRUSH.replace("dog", "cat")), "'cat' more than once", "every label another"),
        (view(IMAGE, BRUSH.replace('value="dog"', "")), "has no value", '<Label value="…"/>'),
        (view(IMAGE, BRUSH.replace(TWO, "".join(f'<Label value="{k}"/>' for k in range(256)))), "256 labels", "Remove some"),
        (view(IMAGE, BRUSH).replace("$image", "$images[0]"), "'$images[0]'", 'value="$image"'),
        (view(IMAGE, LABELS), "No <Brush>, <Polygon> or <Bitmask> beside", '<Brush name="tool" toName="image"/>'),
        (view(IMAGE, LABELS, '<Rectangle name="r" toName="image"/>'), "No <Brush>, <Polygon> or <Bitmask>", "<Brush name="),
        (view(IMAGE, LABELS, '<Brush name="b" toName="text"/>'), "points to the image alone", 'toName="image"'),
        (view(IMAGE, LABELS, '<Brush toName="image"/>'), "<Brush> of the labeling config has no name", "<Brush name="),
        (view(IMAGE, '<Brush name="b" toName="image"/>'), "<Brush> without <Labels>", '<Labels name="label" toName="image">'),
        (view(IMAGE, BRUSH.replace("Brush", "Rectangle")), "Detection (<RectangleLabels>)", "<BrushLabels"),
        (view(IMAGE, '<KeyPoint name="k" toName="image"/>'), "Detection (<KeyPoint>)", "<Choices"),
    ],
)
def test_unsupported_config_is_refused_with_a_remedy(config: str, reason: str, remedy: str) -> None:
    with pytest.raises(LabelConfigUnsupported) as caught:
        parse(config)
    assert reason in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE View [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE View [<!ENTITY file SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE View SYSTEM "http://127.0.0.1/evil.dtd">',
    ],
)
def test_documents_that_declare_entities_are_refused(declaration: str) -> None:
    with pytest.raises(LabelConfigUnsupported, match="document type"):
        parse(declaration + view(IMAGE, CHOICES))


def test_deep_nesting_is_read_or_refused_but_never_fatal() -> None:
    depth = 20_000
    assert parse("<View>" * depth + IMAGE + CHOICES + "</View>" * depth).labels == ("cat", "dog")
