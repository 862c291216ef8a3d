"""Encoders of timm's: what they give of images of any size, for whole images and under a segmenter. Weights are fresh."""

from dataclasses import asdict

import pytest
import torch

from pt4al_backend.errors import ConfigError
from pt4al_backend.learn.networks import Segmenter, TimmEncoder, TimmForm, build, form_of, pooled

CONV, VIT = "test_efficientnet.r160_in1k", "test_vit.r160_in1k"
#: Its channels come last.
SWIN = "swin_tiny_patch4_window7_224.ms_in1k"
#: Cannot be dilated.
MOBILENET = "mobilenetv3_small_050.lamb_in1k"


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def body(encoder: str, architecture: str = "") -> TimmEncoder:
    torch.manual_seed(0)
    return TimmEncoder(TimmForm(encoder, architecture)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("encoder", [CONV, VIT, SWIN])
def test_pooled_features_are_those_that_timm_pools(encoder: str) -> None:
    network, images = body(encoder), pictures(2, 64, 64)
    with torch.inference_mode():
        expected = network.net.forward_features(network.normalised(images))
        means = expected[:, 1:].mean(1) if encoder == VIT else network.net.forward_head(expected, pre_logits=True)
        if encoder == CONV:
            means = expected.mean((2, 3))
        torch.testing.assert_close(pooled(network(images)), means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", [CONV, VIT, SWIN, MOBILENET])
@pytest.mark.parametrize("architecture", ["", "deeplabv3plus"])
def test_maps_have_the_channels_and_strides_that_the_body_says(encoder: str, architecture: str) -> None:
    network = body(encoder, architecture)
    with torch.inference_mode():
        found = network.maps(pictures(1, 64, 96))
        torch.testing.assert_close(network(pictures(1, 64, 96)), found[-1], rtol=1e-4, atol=1e-4)
    assert [tuple(each.shape[1:]) for each in found] == [
        (width, -(-64 // stride), -(-96 // stride)) for width, stride in zip(network.widths, network.strides, strict=True)
    ]


@pytest.mark.parametrize(("encoder", "stride"), [(CONV, 16), (MOBILENET, 32), (SWIN, 32), (VIT, 16)])
def test_segmenter_sees_an_early_map_and_a_late_one(encoder: str, stride: int) -> None:
    strides = body(encoder, "deeplabv3plus").strides
    assert strides[-1] == stride
    assert strides[0] == (16 if encoder == VIT else 4)


@pytest.mark.parametrize(
    ("encoder", "architecture"),
    [(CONV, "deeplabv3plus"), (CONV, "deeplabv3"), (CONV, "dpt"), (MOBILENET, "deeplabv3plus"), (SWIN, "dpt"), (VIT, "dpt")],
)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (47, 33)])
def test_every_pixel_gets_float32_logits_at_any_size(encoder: str, architecture: str, height: int, width: int) -> None:
    model = Segmenter(body(encoder, architecture), 5).eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(pictures(2, height, width))
    assert logits.shape == (2, 5, height, width)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_vision_transformer_gets_the_transformers_decoder_whatever_is_set() -> None:
    names = [Segmenter(body(VIT, architecture), 2).decoder.state_dict().keys() for architecture in ("deeplabv3plus", "dpt")]
    assert names[0] == names[1]


@pytest.mark.parametrize("encoder", [CONV, VIT])
def test_all_of_a_segmenter_learns_from_a_single_image(encoder: str) -> None:
    model = Segmenter(body(encoder, "deeplabv3plus"), 3).train()
    model(pictures(1, 32, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())
    assert all(parameter.grad is not None for parameter in model.body.levels()[0] if parameter.requires_grad)


@pytest.mark.parametrize("encoder", [CONV, VIT, SWIN])
def test_levels_hold_all_weights_once_those_next_to_the_pixels_first(encoder: str) -> None:
    network = body(encoder)
    levels = network.levels()
    assert len(levels) > 3
    assert sorted(id(each) for level in levels for each in level) == sorted(map(id, network.parameters()))
    assert any(each is next(iter(network.net.parameters())) for each in levels[0])


@pytest.mark.parametrize(("least", "seen"), [(None, (64, 80)), (128, (128, 160)), (32, (32, 40))])
def test_small_images_are_enlarged_by_a_whole_number(least: int | None, seen: tuple[int, int]) -> None:
    network = TimmEncoder(TimmForm(CONV, least_side=least))
    assert network.normalised(torch.zeros(1, 3, 32, 40)).shape[2:] == seen


def test_body_is_made_again_from_what_a_manifest_says_of_it() -> None:
    form = TimmForm(CONV, "deeplabv3plus")
    assert form_of(asdict(form)) == form
    assert form_of({"encoder": CONV, "kind": "timm"}) == TimmForm(CONV)  # before segmenters had such encoders
    assert build(form).widths == body(CONV, "deeplabv3plus").widths


def test_frozen_body_keeps_weights_and_statistics_in_training() -> None:
    network = body(CONV, "deeplabv3plus")
    network.freeze()
    model = Segmenter(network, 2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model(pictures(2, 32, 32)).sum().backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())


def test_images_that_patches_do_not_tile_are_refused_with_a_size_that_they_do() -> None:
    network = body(VIT)
    network.require_shape((32, 48))
    with pytest.raises(ConfigError, match=r"16 x 16 pixels.*image_size.*such as 96"):
        network.require_shape((98, 98))
    body(VIT, "dpt").require_shape((98, 130))  # a segmenter's are padded


def test_network_of_one_size_refuses_others_and_names_it() -> None:
    network = body("beit_base_patch16_224.in22k_ft_in22k_in1k")
    with pytest.raises(ConfigError, match=r"cannot see images of 64 x 64.*image_size in the extra params to 224"):
        network.require_shape((64, 64))
    network.require_shape((224, 224))


@pytest.mark.parametrize(
    ("encoder", "architecture", "problem"),
    [
        ("levit_128s.fb_dist_in1k", "deeplabv3plus", "no map of 1/4"),
        ("tf_efficientnt_lite0", "", "tf_efficientnet_lite0"),
        ("tresnet_m.miil_in21k", "", "gives no feature maps.*resnet"),
    ],
)
def test_network_that_cannot_work_is_refused_with_the_nearest_names_and_where_to_look(
    monkeypatch: pytest.MonkeyPatch, encoder: str, architecture: str, problem: str
) -> None:
    monkeypatch.delattr("timm.models.tresnet.TResNet.forward_intermediates")
    with pytest.raises(ConfigError, match=rf"{encoder}.*{problem}") as refused:
        body(encoder, architecture)
    assert "nearest names are" in str(refused.value)
    assert "pt4al weights list" in refused.value.remedy
