# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""The scales of the measures, and the uncertainty of an image through the Segmenter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segnode.errors import SegnodeError
from segnode.segmenter import Segmenter
from segnode.uncertainty import maximum, MEASURES, Uncertainty
import small_bayesian


def of_values(values: list[float], classes: int = 11) -> Uncertainty:
    """Return maps of these values, the same for each measure."""
    maps = np.array([values], np.float32)
    return Uncertainty(maps, maps, maps, classes)


@pytest.mark.parametrize('classes', [2, 11, 19])
def test_the_maxima_are_reached(classes: int) -> None:
    """As many passes as classes, each sure of another class."""
    passes = np.eye(classes)
    mean = passes.mean(0)
    assert maximum('variance', classes) == pytest.approx(passes.var(0).mean())
    for measure in ('entropy', 'mutual_information'):
        assert maximum(measure, classes) == pytest.approx(-(mean * np.log(mean)).sum())


def test_no_passes_go_beyond() -> None:
    rng = np.random.default_rng(0)
    for sharpness in (0.02, 0.3, 3.0):
        passes = rng.dirichlet(np.full(5, sharpness), (1000, 7))
        assert passes.var(1).mean(1).max() <= maximum('variance', 5)


@pytest.mark.parametrize('measure', MEASURES)
def test_grey_levels(measure: str) -> None:
    """From 0 to 255, rounded, and no value wraps round."""
    limit = maximum(measure, 11)
    found = of_values([0.0, limit * 0.4 / 255, limit * 0.6 / 255, limit / 2, limit, 1.01 * limit])
    scaled = found.scaled(measure)
    assert scaled.dtype == np.uint8 and scaled.shape == (1, 6)
    assert scaled[0].tolist() in ([0, 0, 1, 127, 255, 255], [0, 0, 1, 128, 255, 255])


def test_a_single_class_is_certain() -> None:
    assert of_values([0.0, 0.0], 1).scaled('entropy').tolist() == [[0, 0]]


@pytest.mark.parametrize('fit', ['stretch', 'letterbox', 'crop'])
def test_through_the_segmenter(
    fit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps at the image's size, for each image its own; the maximum where nobody looked."""
    pytest.importorskip('torch').manual_seed(0)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    segmenter = Segmenter.load(
        small_bayesian.stem(), runtime='pytorch', fit=fit, samples=4, threads=1)
    images = [small_bayesian.frames(1, size)[0] for size in ((50, 70), (32, 64), (50, 70))]
    results = segmenter.segment_batch(images)
    for image, result in zip(images, results):
        found = result.uncertainty
        assert found is not None and found.num_classes == 11
        unseen = result.labels == 255
        assert unseen.any() == (fit == 'crop' and image.shape[:2] == (50, 70))
        for measure in MEASURES:
            values = getattr(found, measure)
            assert values.shape == image.shape[:2] and values.dtype == np.float32
            assert (values >= 0).all() and len(np.unique(values)) > 100
            assert (found.scaled(measure)[unseen] == 255).all()
            assert (values[~unseen] < maximum(measure, 11)).all()
        assert (found.mutual_information[~unseen] <= found.entropy[~unseen] + 1e-5).all()
    first, third = results[0].uncertainty, results[2].uncertainty
    assert first is not None and third is not None
    assert (first.entropy != third.entropy).mean() > 0.6  # one image, other samples
    segmenter.close()


def test_it_is_there_only_when_asked_for() -> None:
    pytest.importorskip('torch')
    segmenter = Segmenter.load(small_bayesian.stem(), runtime='pytorch')
    image = small_bayesian.frames(1)[0]
    first, second = segmenter.segment(image), segmenter.segment(image)
    assert first.uncertainty is None and (first.labels == second.labels).all()


def test_a_network_without_it() -> None:
    with pytest.raises(SegnodeError, match='Monte Carlo dropout, which fsffnet has not'):
        Segmenter.load('fsffnet', allow_random_weights=True, samples=20)


def test_predict_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """--samples makes the picture; the measure chosen is what it shows."""
    torch = pytest.importorskip('torch')
    cv2 = pytest.importorskip('cv2')
    import json

    from segnode.__main__ import main

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    image = small_bayesian.frames(1, (40, 60))[0]
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    arguments = ['predict', str(tmp_path / 'a.png'), '--model', str(small_bayesian.stem()),
                 '--runtime', 'pytorch', '--threads', '1', '--out', str(tmp_path / 'out')]

    def picture_of(measure: str) -> np.ndarray:
        torch.manual_seed(4)
        segmenter = Segmenter.load(
            small_bayesian.stem(), runtime='pytorch', samples=3, threads=1)
        found = segmenter.segment(image).uncertainty
        assert found is not None
        return np.asarray(cv2.applyColorMap(found.scaled(measure), cv2.COLORMAP_INFERNO))

    drawn = {}
    for measure in ('entropy', 'mutual_information'):
        torch.manual_seed(4)
        assert main([*arguments, '--samples', '3', '--uncertainty', measure, '--json']) == 0
        (answer,) = json.loads(capsys.readouterr().out)['images']
        assert set(answer['uncertainty']) == set(MEASURES)
        assert len(answer['written']) == 5
        drawn[measure] = cv2.imread(str(tmp_path / 'out' / 'a_uncertainty.png'))
        assert (drawn[measure] == picture_of(measure)).all()
    assert (drawn['entropy'] != drawn['mutual_information']).any()
    assert main([*arguments, '--samples', '3', '--save', 'uncertainty']) == 0

    assert main([*arguments, '--json', '--out', str(tmp_path / 'plain')]) == 0
    assert 'uncertainty' not in capsys.readouterr().out
    assert not (tmp_path / 'plain' / 'a_uncertainty.png').exists()
    for asked in (['--save', 'uncertainty'], ['--uncertainty', 'variance']):
        assert main([*arguments, *asked]) == 1
        told = capsys.readouterr().err
        assert 'error: there is an uncertainty picture only with --samples' in told
    assert main([*arguments, '--samples', '1']) == 1
    assert 'error: samples must be 0 (off) or 2 to 100, not 1' in capsys.readouterr().err
