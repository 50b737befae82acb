# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SCMNet against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.blocks import InvertedResidual, upsample2  # noqa: E402
from segnode.networks.scmnet import SCMNet  # noqa: E402

# The specification's, per module.
PARAMETERS = {
    'd1': 960, 'd2': 53_120, 's0': 720, 's1': 1_080, 's2': 1_968, 'context2': 2_844,
    'd3': 214_464, 's3': 5_328, 'context4': 10_296, 'd4': 788_256, 's4': 16_704,
    'context5': 27_400, 'laterals': 2 * 10_432 + 6_336 + 3_264 + 2_240 + 1_728,
    'fusion': 13 * 4_864, 'classifier': 4_864 + 3_792 + 931,
}


class TestSCMNet(NetworkCase):
    factory = SCMNet
    parameters = 1_230_391

    def test_parameters_per_module(self) -> None:
        made = SCMNet(19)
        found = {n: sum(p.numel() for p in m.parameters()) for n, m in made.named_children()}
        assert found == PARAMETERS
        statistics = sum(b.numel() for n, b in made.named_buffers() if 'running' in n)
        assert self.parameters + statistics == 1_255_687

    def test_skips_are_an_option_without_parameters(self, network) -> None:
        def skips(made) -> int:
            return sum(m.skip for m in made.modules() if isinstance(m, InvertedResidual))
        changed = SCMNet(11, skips=True).eval()
        changed.load_state_dict(network.state_dict())
        assert (skips(network), skips(changed)) == (0, 5)
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert not torch.equal(network(x), changed(x))

    def test_classifying_before_the_enlargement_is_the_published_order(self, network) -> None:
        x = torch.randn(1, 64, 8, 8)
        first, second, _, last = network.classifier
        with torch.no_grad():
            published = last(upsample2(second(first(x))))
            assert torch.allclose(upsample2(network.classifier(x)), published, atol=1e-5)
