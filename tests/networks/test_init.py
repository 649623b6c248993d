from __future__ import annotations

import doctest

import pytest

from normsearch import networks
from normsearch.errors import NetworkError
from normsearch.networks import NETWORKS, UNet2d, build_network


def test_networks_are_built_by_name() -> None:
    net = build_network("unet2d", out_channels=3, depth=1, norm="IN", seed=0)
    assert isinstance(net, UNet2d)
    assert net.head.out_channels == 3
    assert list(NETWORKS) == ["unet2d", "res_unet3d", "classifier", "resnet"]


def test_an_unknown_name_or_setting_is_told_with_the_likely_one() -> None:
    with pytest.raises(NetworkError) as caught:
        build_network("unet")
    assert str(caught.value) == (
        "network must be one of unet2d, res_unet3d, classifier, resnet or module:function, "
        "got 'unet'. Did you mean 'unet2d'?"
    )
    with pytest.raises(NetworkError) as caught:
        build_network("unet2d", depht=3)
    assert str(caught.value) == (
        "unet2d has the settings in_channels, out_channels, first_channels, depth, norm, seed, "
        "activation, got 'depht'. Did you mean 'depth'?"
    )


def test_everything_public_is_there() -> None:
    assert all(hasattr(networks, name) for name in networks.__all__)


def test_examples_run() -> None:
    assert doctest.testmod(networks).failed == 0
