# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""SFRSeg against its specification."""

from networks.network_cases import NetworkCase
import pytest

torch = pytest.importorskip('torch')

from segnode.networks.blocks import DilatedCascade, InvertedResidual, resize  # noqa: E402
from segnode.networks.sfrseg import SFRSeg  # noqa: E402

# The specification's, by hand. A map's are its deep and shallow blocks, re-entry and context.
PARAMETERS = {
    'x1': 720, 'x2': 1_080, 'laterals': 27_264, 'aggregation': 15 * 4_864 + 2_400,
    'classifier': 4_864 + 3_792 + 931,
}
MAP_PARAMETERS = {
    'a3': 56_552, 'a4': 161_240, 'a5': 105_600, 'a6': 138_048,
    'b3': 9_192, 'b4': 211_832, 'b5': 96_912, 'b6': 138_048,
    'c4': 15_416, 'c5': 4_944, 'c6': 138_048, 'd5': 18_864, 'd6': 346_560,
}


class TestSFRSeg(NetworkCase):
    factory = SFRSeg
    parameters = 1_555_267

    def test_parameters_per_module(self) -> None:
        made = SFRSeg(19)
        found = {n: _count(m) for n, m in made.named_children() if n != 'encoders'}
        assert found == PARAMETERS
        maps = dict.fromkeys(MAP_PARAMETERS, 0)
        for blocks in made.encoders.children():
            for name, block in blocks.named_children():
                maps[name] += _count(block)
        assert maps == MAP_PARAMETERS
        statistics = sum(b.numel() for n, b in made.named_buffers() if 'running' in n)
        assert self.parameters + statistics == 1_592_115  # as the authors' file, run

    def test_third_encoder_renewed(self, network) -> None:
        """Parameters of the other reading; only it uses c4 for c5, so d5 depends on c4."""
        assert _count(SFRSeg(19, renew_c5=True)) == 1_766_755
        for renew, reached in ((False, False), (True, True)):
            made = SFRSeg(11, renew_c5=renew).eval()
            made.load_state_dict(network.state_dict(), strict=not renew)
            x2 = torch.rand(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
            with torch.no_grad():
                before = made.encoders(x2)
                for parameter in made.encoders.context['c4'].parameters():
                    parameter.mul_(1.1)
                after = made.encoders(x2)
            changed = [not torch.equal(one, other) for one, other in zip(before, after)]
            assert changed == [False, True, reached, reached]

    def test_skips_are_an_option_without_parameters(self, network) -> None:
        def skips(made) -> int:
            return sum(m.skip for m in made.modules() if isinstance(m, InvertedResidual))
        changed = SFRSeg(11, skips=True).eval()
        changed.load_state_dict(network.state_dict())
        assert (skips(network), skips(changed)) == (0, 5)
        x = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert not torch.equal(network(x), changed(x))

    def test_dilations(self, network) -> None:
        """Of every depthwise convolution in the encoders that has one."""
        found = {
            n.removeprefix('encoders.'): m.dilation[0] for n, m in network.named_modules()
            if isinstance(m, torch.nn.Conv2d) and n.startswith('encoders') and m.dilation[0] > 1
        }
        deep = {f'deep.{name}.1.0.depthwise.0': 2 for name in ('a3', 'a4', 'b4')}
        reentry = {
            f'reentry.{name}.smooth.0': factor
            for name, factor in (('b3', 8), ('c4', 4), ('d5', 2))
        }
        context = {
            f'context.{name}.cascade.{i}.0.0': dilation
            for name in network.encoders.context for i, dilation in enumerate((6, 12, 18))
        }
        assert found == {**deep, **reentry, **context}

    def test_classifying_before_the_enlargement_is_the_published_order(self, network) -> None:
        x = torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(0))
        first, second, _, last = network.classifier
        with torch.no_grad():
            published = last(resize(second(first(x)), 2))
            assert torch.allclose(resize(network.classifier(x), 2), published, atol=1e-5)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('reuse', [True, False])
def test_dilated_cascade(reuse: bool) -> None:
    torch.manual_seed(0)
    cascade = DilatedCascade(16, reuse=reuse).eval()
    x = torch.randn(1, 16, 9, 12)
    first, second, third = cascade.cascade
    with torch.no_grad():
        r = cascade.reduce(x)
        s = first(r)
        t = second(s + r if reuse else s)
        u = third(t + r if reuse else t)
        assert torch.equal(cascade(x), torch.cat([r, s, t, u], 1))
