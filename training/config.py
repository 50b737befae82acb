# Copyright 2026 The segnode authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run is made of, as typed dataclasses that YAML and the command line fill."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from segnode.errors import SegnodeError
from segnode.labels import LabelSet
from segnode.networks.zoo import network_info, NETWORKS
from segnode.record import ModelRecord
from training.data_values import check_data_values
from training.number_checks import check_above, check_from_zero
from training.run_checks import check_init, check_optim, check_run


@dataclass
class DataConfig:
    """The data and how it is augmented.

    Attributes:
        train: what to train on: DATASET:SPLIT, or a list of those.
        val: what to validate on, likewise; all of it with the same classes.
        weights: how often an epoch shows each frame of each entry of ``train``: 1 once, 0.5 a
            random half of them. By default 1 for all.
        roots: folder of each dataset; by default its variable says (CAMVID_DATASET).
        label_set: the classes to learn, a built-in set or a YAML file; by default those of the
            first entry of ``train``. Other datasets' classes are mapped to them.
        label_maps: YAML files with tables of your own from one label set to another.
        check: compare the sizes that the headers of all images and labels state before training.
        input_size: height and width of the crops that are trained on.
        eval_size: height and width that whole images are brought to for validation and that the
            model is released for; null is input_size.
        fit: how that is done: stretch, letterbox (aspect kept, the rest black) or crop (aspect
            kept, what stands out cut off and so missed). What is scored is always the image at its
            own size, without any padding.
        scale: range of the random zoom.
        scale_of: what scale 1 is: input, the image brought to eval_size as fit says; or image,
            its own pixels, with the aspect kept.
        cat_max_ratio: a crop in which one class has this share of the labelled pixels, or more,
            is drawn anew, up to ten times; 1 takes the first. mmsegmentation's recipes have 0.75.
        class_uniform: probability that a frame's place in the epoch is given to a class drawn
            from those that the training data have, all alike: a frame that has it is shown, and
            the crop is centred on one of its pixels. 0 leaves all to chance.
        class_uniform_without: names of classes that are not drawn.
        class_mix: probability that half of the classes of another frame of the batch, drawn at
            random, are laid over a frame (ClassMix); without effect in batches of one.
        flip: probability of a left-right flip.
        jitter: strength of the random brightness, contrast and saturation.
        hue: degrees by which colours are turned about the grey axis at most, either way.
        white_balance: strength of the random tint, factors of blue, green and red each from
            [1 - white_balance, 1 + white_balance]: for cameras and light other than these.
        gamma: strength of the random tone curve, its exponent from [1 / (1 + gamma), 1 + gamma].
        workers: loader processes per machine, shared out among its training processes; 0 loads in
            these.
        cache: auto keeps decoded frames where they take at most a quarter of the memory that is
            free (of the process' share of it); memory keeps them all; none reads each anew.
        augment_on: loader (CPU, frame by frame), device (all frames are decoded onto the device
            that trains, and whole batches are augmented there), or auto: device on a GPU where
            the frames take at most a quarter of its free memory, else loader.
    """

    train: str | list[str] = 'camvid:train'
    val: str | list[str] = 'camvid:val'
    weights: list[float] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=dict)
    label_set: str = ''
    label_maps: list[str] = field(default_factory=list)
    check: bool = True
    input_size: tuple[int, int] = (384, 512)
    eval_size: tuple[int, int] | None = None
    fit: Literal['stretch', 'letterbox', 'crop'] = 'stretch'
    scale: tuple[float, float] = (0.6, 1.6)
    scale_of: Literal['input', 'image'] = 'input'
    cat_max_ratio: float = 1.0
    class_uniform: float = 0.0
    class_uniform_without: list[str] = field(default_factory=list)
    class_mix: float = 0.0
    flip: float = 0.5
    jitter: float = 0.3
    hue: float = 0.0
    white_balance: float = 0.0
    gamma: float = 0.0
    workers: int = 0
    cache: Literal['auto', 'memory', 'none'] = 'auto'
    augment_on: Literal['auto', 'loader', 'device'] = 'auto'

    @property
    def network_size(self) -> tuple[int, int]:
        """Height and width that the network is validated and released at."""
        height, width = self.eval_size or self.input_size
        return height, width


@dataclass
class BoundaryConfig:
    """The loss of a boundary head; without effect where the network has none.

    The defaults are what PIDNet's authors train with. For MSFNet: weight 1, width 3, size logits,
    main 0.

    Attributes:
        weight: of the class-balanced binary cross-entropy of the boundary head.
        width: of the boundaries in the target, in pixels of the training image.
        size: where head and target are compared: labels (the head's logits are enlarged) or
            logits (the target is shrunk by its maximum).
        main: weight of the main output's loss taken once more, over those pixels alone where the
            head is sure of a boundary; 0 leaves it out.
        threshold: probability of a boundary above which the head is sure.
    """

    weight: float = 20.0
    width: int = 4
    size: Literal['labels', 'logits'] = 'labels'
    main: float = 1.0
    threshold: float = 0.8


@dataclass
class DistillConfig:
    """Learning from a trained model.

    Attributes:
        teacher: name or path of a released model with the run's classes; null has no teacher.
        kind: logits (Hinton's, per pixel) or channels (per class, over the image; Shu et al.).
        weight: of the distillation beside the other losses.
        temperature: by which both networks' logits are divided.
    """

    teacher: str | None = None
    kind: Literal['logits', 'channels'] = 'logits'
    weight: float = 1.0
    temperature: float = 4.0


@dataclass
class LossConfig:
    """The loss.

    Attributes:
        kind: of the main output: cross_entropy over all pixels, or ohem (over the hard ones).
        class_weights: of every cross-entropy, from the training split: enet (1 / ln(c +
            frequency)), median_frequency, inverse_frequency, or none.
        enet_c: the constant c.
        ohem_threshold: a pixel whose true class has less than this probability is hard.
        ohem_min_kept: the least number of pixels that ohem keeps: below 1 a share of the labelled
            pixels, else pixels of one process' batch.
        dice: weight of the soft Dice loss of the main output; 0 leaves it out.
        lovasz: weight of the Lovász-softmax of the main output; 0 leaves it out.
        auxiliary: weight of the loss of the auxiliary outputs of class logits, where the network
            has any: one number for all, or a list with one for each.
        auxiliary_kind: of these outputs, as ``kind``.
        boundary: of a boundary head, where the network has one.
        distill: from a trained model.
    """

    kind: Literal['cross_entropy', 'ohem'] = 'cross_entropy'
    class_weights: Literal['enet', 'median_frequency', 'inverse_frequency', 'none'] = 'enet'
    enet_c: float = 1.10
    ohem_threshold: float = 0.7
    ohem_min_kept: float = 0.0625
    dice: float = 0.0
    lovasz: float = 0.0
    auxiliary: float | list[float] = 0.4
    auxiliary_kind: Literal['cross_entropy', 'ohem'] = 'cross_entropy'
    boundary: BoundaryConfig = field(default_factory=BoundaryConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)


@dataclass
class OptimConfig:
    """The optimiser: linear warm-up, then a schedule.

    Attributes:
        kind: adamw (decoupled weight decay), adam (L2 in the gradient) or sgd.
        lr: peak learning rate.
        lr_batch: images per step for which ``lr`` is given: the real rate is ``lr`` times
            (images of all processes and accumulated batches / lr_batch), for adam and adamw its
            square root. Null takes ``lr`` as it is.
        momentum: of sgd.
        nesterov: sgd's form of it.
        weight_decay: on convolution kernels only, not on norms, biases and PReLU slopes.
        backbone_lr_factor: of the rate of the backbone, where the network has one.
        schedule: poly ((1 - t) ** power), cosine or constant, after the warm-up.
        power: exponent of poly.
        final_factor: part of the rate that is left at the end of poly and cosine.
        warmup_steps: steps of the linear warm-up.
        warmup_epochs: the same in epochs; where above 0 it counts instead of warmup_steps.
        ema_decay: of the running average of the weights, which is what is evaluated and kept;
            0 keeps the weights as they are.
        bn_momentum: of the batch-norm statistics while training; null keeps the network's own.
            Keras' 0.01 and 0.003 (in PyTorch's sense) forget the initial statistics over
            hundreds of steps, so in a short run every early evaluation would be of them.
        precise_bn: whole training frames over which these statistics are taken anew for the
            released weights, see ``training.precise_bn``; 0 releases the running averages.
    """

    kind: Literal['adamw', 'adam', 'sgd'] = 'adamw'
    lr: float = 2e-3
    lr_batch: int | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-2
    backbone_lr_factor: float = 1.0
    schedule: Literal['poly', 'cosine', 'constant'] = 'poly'
    power: float = 0.9
    final_factor: float = 0.0
    warmup_steps: int = 100
    warmup_epochs: float = 0.0
    ema_decay: float = 0.998
    bn_momentum: float | None = 0.1
    precise_bn: int = 0


@dataclass
class BackboneConfig:
    """What the network's backbone starts from.

    Attributes:
        weights: file of an image classifier's weights, in torchvision's, timm's or another known
            layout; read once, at the start of the run. Null starts from random weights.
        color_order: rgb or bgr, as the file's images were; the model then takes its own so. Its
            mean and std are to be given, too, where they are not ImageNet's.
    """

    weights: str | None = None
    color_order: Literal['rgb', 'bgr'] = 'rgb'


@dataclass
class InitConfig:
    """A trained model that the whole network starts from, read once, at the start of the run.

    Attributes:
        weights: name or path of a released model, or a checkpoint of fit (.ckpt), of the same
            network, with the run's classes or with others: what depends on the classes is then
            taken class by class, by name or by a table from one label set to the other. Null
            starts from random weights.
    """

    weights: str | None = None


@dataclass
class LogConfig:
    """What is written of a run beside its checkpoints; metrics.csv always is.

    Attributes:
        tensorboard: write events for TensorBoard, where it is installed.
        pictures: validation frames shown there, as image, truth and prediction.
        every: steps between two entries of loss and learning rate there.
    """

    tensorboard: bool = True
    pictures: int = 4
    every: int = 10


@dataclass
class FitConfig:
    """One training run.

    Attributes:
        name: of the run and of the model it makes.
        network: a name of the zoo.
        network_args: keyword arguments of the network.
        backbone: what its backbone starts from.
        init: what the whole of it starts from.
        data: the data.
        loss: the loss.
        optim: the optimiser.
        log: what is written beside the checkpoints.
        epochs: passes over the training split.
        max_steps: steps of the optimiser; where given they count and not the epochs.
        batch_size: images per step of one process.
        accumulate: batches whose gradients are added up for one step of the optimiser.
        clip_gradient: largest norm of the gradient; null does not clip.
        precision: as pytorch-lightning names it: 32-true, bf16-mixed or 16-mixed.
        val_every: epochs between two validations; the last epoch is always validated.
        keep: best checkpoints that are kept; beyond one in the folder best/.
        early_stop: validations in a row without a better mean IoU after which the run ends; null
            goes on to the end.
        max_minutes: no epoch is begun that would end after so many minutes of this sitting;
            --resume goes on.
        seed: of weights, order and augmentation.
        devices: processes per machine; auto takes every GPU, else one CPU process. Where torchrun
            or srun starts the processes, auto takes theirs.
        accelerator: auto (gpu where there is one), cpu or gpu.
        sync_bn: batch-norm statistics over all GPUs of a step; without effect elsewhere.
        threads: CPU threads of PyTorch; 0 leaves its own choice.
        out: folder of checkpoints and logs.
        mean: per channel (RGB), of pixels scaled to 0..1.
        std: the same.
    """

    name: str = 'fsffnet_camvid'
    network: str = 'fsffnet'
    network_args: dict[str, Any] = field(default_factory=dict)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    init: InitConfig = field(default_factory=InitConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    log: LogConfig = field(default_factory=LogConfig)
    epochs: int = 80
    max_steps: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    clip_gradient: float | None = None
    precision: str = '32-true'
    val_every: int = 5
    keep: int = 1
    early_stop: int | None = None
    max_minutes: float | None = None
    seed: int = 1
    devices: int | str = 'auto'
    accelerator: str = 'auto'
    sync_bn: bool = True
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


def check(config: FitConfig, resume: bool = False) -> None:
    """Find what cannot work before any data is read.

    Args:
        config: the run.
        resume: it goes on, and so has no need of the backbone's file.

    Raises:
        SegnodeError: names the value and what it may be.
    """
    for size in (config.data.input_size, config.data.network_size):
        network_info(config.network).check_input_size(size, config.network_args)
    check_data_values(config.data)
    _check_backbone(config, resume)
    check_init(config)
    check_run(config)
    check_optim(config.optim)
    _check_loss(config.loss)


def _check_loss(loss: LossConfig) -> None:
    choices = {
        'kind': (loss.kind, ('cross_entropy', 'ohem')),
        'class_weights': (
            loss.class_weights, ('enet', 'median_frequency', 'inverse_frequency', 'none')
        ),
        'auxiliary_kind': (loss.auxiliary_kind, ('cross_entropy', 'ohem')),
        'boundary.size': (loss.boundary.size, ('labels', 'logits')),
        'distill.kind': (loss.distill.kind, ('logits', 'channels')),
    }
    for name, (choice, known) in choices.items():
        if choice not in known:
            raise SegnodeError(
                f'loss.{name} must be one of {", ".join(known)}, not {choice!r}.'
            )
    auxiliary = loss.auxiliary if isinstance(loss.auxiliary, list) else [loss.auxiliary]
    for weight in auxiliary:
        check_from_zero({'loss.auxiliary': weight})
    check_from_zero({
        'loss.ohem_min_kept': loss.ohem_min_kept, 'loss.dice': loss.dice,
        'loss.lovasz': loss.lovasz, 'loss.boundary.weight': loss.boundary.weight,
        'loss.boundary.main': loss.boundary.main, 'loss.distill.weight': loss.distill.weight,
    })
    check_above({'loss.enet_c': loss.enet_c}, 1)
    check_above({'loss.distill.temperature': loss.distill.temperature})
    if loss.boundary.width < 1:
        raise SegnodeError(
            f'loss.boundary.width must be 1 pixel or more, not {loss.boundary.width}.'
        )
    for name, value in (('ohem_threshold', loss.ohem_threshold),
                        ('boundary.threshold', loss.boundary.threshold)):
        if not 0 < value <= 1:
            raise SegnodeError(f'loss.{name} must be above 0 and at most 1, not {value}.')


def _check_backbone(config: FitConfig, resume: bool) -> None:
    given = config.backbone
    if given.weights is None:
        if given.color_order != 'rgb':
            raise SegnodeError(
                f'backbone.color_order {given.color_order} goes with the weights of a backbone: '
                'give their file as backbone.weights.'
            )
        return
    if not network_info(config.network).backbone:
        able = ', '.join(info.name for info in NETWORKS.values() if info.backbone)
        raise SegnodeError(
            f'{config.network} has no backbone that could start from {given.weights}; networks '
            f'that have one are {able}.'
        )
    if not resume and not Path(given.weights).expanduser().is_file():
        raise SegnodeError(f'There is no file {given.weights} (backbone.weights).')


def model_record(
    config: FitConfig, labels: LabelSet, licence: str, training: dict[str, Any] | None = None
) -> ModelRecord:
    """Return the record of the model that this run makes."""
    return ModelRecord(
        network=config.network,
        network_args=dict(config.network_args),
        label_set=labels,
        input_size=config.data.network_size,
        mean=config.mean,
        std=config.std,
        color_order=config.backbone.color_order,
        fit=config.data.fit,
        data_licence=licence,
        training=training or {},
    )
