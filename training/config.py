# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run is made of, as typed dataclasses that YAML and the command line fill."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from segnode.networks.zoo import network_info
from segnode.record import ModelRecord

PRECISIONS = ('32-true', 'bf16-mixed', '16-mixed')


@dataclass
class DataConfig:
    """The data and how it is augmented.

    Attributes:
        dataset: name of the dataset.
        root: its folder; by default the variable NAME_DATASET (CAMVID_DATASET).
        train: split to train on.
        val: split to validate on.
        input_size: height and width the network is trained and released for.
        scale: range of the random zoom; 1 is the whole image at input_size.
        flip: probability of a left-right flip.
        jitter: strength of the random brightness, contrast and saturation.
        workers: loader processes per training process; 0 loads in the training process.
    """

    dataset: str = 'camvid'
    root: str | None = None
    train: str = 'train'
    val: str = 'val'
    input_size: tuple[int, int] = (384, 512)
    scale: tuple[float, float] = (0.6, 1.6)
    flip: float = 0.5
    jitter: float = 0.3
    workers: int = 0


@dataclass
class LossConfig:
    """The loss.

    Attributes:
        class_weights: enet (1 / ln(c + frequency), from the training split) or none.
        enet_c: the constant c.
        lovasz: weight of the Lovász-softmax beside the cross-entropy.
        auxiliary: weight of the cross-entropy of each auxiliary output, where the network has any.
    """

    class_weights: Literal['enet', 'none'] = 'enet'
    enet_c: float = 1.10
    lovasz: float = 0.0
    auxiliary: float = 0.4


@dataclass
class OptimConfig:
    """AdamW with linear warm-up and polynomial decay.

    Attributes:
        lr: peak learning rate.
        weight_decay: on convolution kernels only, not on norms and biases.
        warmup_steps: steps of the linear warm-up.
        power: exponent of the decay.
        ema_decay: of the running average of the weights, which is what is evaluated and kept.
        bn_momentum: of the batch-norm statistics while training; null keeps the network's own.
            Keras' 0.01 and 0.003 (in PyTorch's sense) forget the initial statistics over
            hundreds of steps, so in a short run every early evaluation would be of them.
    """

    lr: float = 2e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    power: float = 0.9
    ema_decay: float = 0.998
    bn_momentum: float | None = 0.1


@dataclass
class FitConfig:
    """One training run.

    Attributes:
        name: of the run and of the model it makes.
        network: a name of the zoo.
        network_args: keyword arguments of the network.
        data: the data.
        loss: the loss.
        optim: the optimiser.
        epochs: passes over the training split.
        batch_size: images per step of one process.
        precision: as pytorch-lightning names it: 32-true, bf16-mixed or 16-mixed.
        val_every: epochs between two validations; the last epoch is always validated.
        seed: of weights, order and augmentation.
        devices: processes per machine; auto takes every GPU, else one CPU process.
        accelerator: auto, cpu or gpu.
        threads: CPU threads of PyTorch; 0 leaves its own choice.
        out: folder of checkpoints and logs.
        mean: per channel (RGB), of pixels scaled to 0..1.
        std: the same.
    """

    name: str = 'fsffnet_camvid'
    network: str = 'fsffnet'
    network_args: dict[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    epochs: int = 80
    batch_size: int = 8
    precision: str = '32-true'
    val_every: int = 5
    seed: int = 1
    devices: int | str = 'auto'
    accelerator: str = 'auto'
    threads: int = 0
    out: str = 'runs'
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def from_dict(values: dict[str, Any]) -> FitConfig:
    """Build the configuration from plain types, as ``dataclasses.asdict`` gives them."""
    return _build(FitConfig, values)


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    default = kind()
    arguments = {}
    for f in fields(kind):
        value = values.get(f.name, getattr(default, f.name))
        if is_dataclass(getattr(default, f.name)) and isinstance(value, dict):
            value = _build(type(getattr(default, f.name)), value)
        elif isinstance(getattr(default, f.name), tuple):
            value = tuple(value)
        arguments[f.name] = value
    return kind(**arguments)


def check(config: FitConfig) -> None:
    """Find what cannot work before any data is read.

    Raises:
        SegnodeError: names the value and what it may be.
    """
    network_info(config.network).check_input_size(config.data.input_size)
    positive = {
        'epochs': config.epochs, 'batch_size': config.batch_size, 'val_every': config.val_every,
        'optim.lr': config.optim.lr, 'data.scale': min(config.data.scale),
    }
    for name, value in positive.items():
        if value <= 0:
            raise SegnodeError(f'{name} must be above 0, not {value}.')
    if config.precision not in PRECISIONS:
        raise SegnodeError(
            f'precision must be one of {", ".join(PRECISIONS)}, not {config.precision!r}.'
        )
    devices = str(config.devices)
    if devices != 'auto' and not (devices.isdecimal() and int(devices) > 0):
        raise SegnodeError(f'devices must be auto or a number above 0, not {devices!r}.')


def model_record(
    config: FitConfig, labels: LabelSet, licence: str, training: dict[str, Any] | None = None
) -> ModelRecord:
    """Return the record of the model that this run makes."""
    return ModelRecord(
        network=config.network,
        network_args=dict(config.network_args),
        label_set=labels,
        input_size=config.data.input_size,
        mean=config.mean,
        std=config.std,
        data_licence=licence,
        training=training or {},
    )
