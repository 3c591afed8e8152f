"""The U-Net: a batch of images in, a map of class scores out (Ronneberger et al. 2015)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hf_unet.arguments import shortened, whole
from hf_unet.errors import ModelError
from hf_unet.geometry import CONVS_PER_LEVEL, Geometry, same_geometry, valid_geometry
from hf_unet.network import SegmentationNetwork


class UNet(SegmentationNetwork):
    """U-Net of O. Ronneberger, P. Fischer and T. Brox, MICCAI 2015, arXiv:1505.04597.

    The defaults are the paper's network: 23 convolutions, 31,030,658 parameters, 572 x 572
    pixels in and 388 x 388 out. Every argument is kept in ``config.json``.

    Parameters
    ----------
    in_channels : int
        Channels of the input image. Grey images are repeated for a network of three channels,
        colour images are turned grey for a network of one.
    classes : sequence of str
        Names of the classes, one output channel each; the first is the background unless
        ``multilabel``. A single name makes a network of one output channel with a sigmoid.
    base_channels : int
        Channels of the first level; each level below has twice as many.
    depth : int
        Number of poolings.
    padding : {"valid", "same"}
        Unpadded convolutions with copy and crop, or convolutions padded with zeros.
    norm : None or "batch"
        Batch normalisation after each 3x3 convolution. (Norms that look at the tile, such as
        instance norm, would make a tile's result depend on where the tile lies.)
    dropout : float
        Probability at the end of the contracting path: after its last level and after the
        bottleneck, where the authors' own network has it.
    multilabel : bool
        Classes may overlap: a sigmoid each, in place of a softmax over all.
    normalization : str
        How intensities are scaled before the network, a name of
        `hf_unet.images.NORMALIZATIONS`.
    thresholds : sequence of float, optional
        Probability from which on a pixel belongs to a class: one for each class of a
        multi-label network, a single one for the foreground of a network of one or two
        classes. None: the most probable class, 0.5 for a sigmoid.
    colors : sequence of str, optional
        Colours of the classes in overlays, as ``"#rrggbb"``. None: a colour-blind-safe palette.
    min_area : int
        Instances of fewer pixels than this are left out of ``Segmentation.instances``.
    border : bool
        The last of three classes is the border of objects: learnt in order to keep objects that
        touch apart, and part of the object in a mask.
    seed_threshold : float, optional
        Probability from which on a pixel is a seed of an object; objects grow from seeds by
        watershed. None: objects are the connected pieces of a mask.
    seed_depth : float
        Pixels by which a place must lie deeper inside than the way to a deeper one, to be a seed
        of its own: objects that touch are parted by their shape. 0: shape does not count.
    seed_area : int
        Seeds of fewer pixels than this are left out.
    test_time_averaging : bool
        Average the probabilities over the eight flips and quarter turns of the image, at eight
        times the cost; the paper averaged seven rotations.
    calibration : sequence of (slope, intercept), optional
        Of each class of a mask, by which its log-odds are calibrated for
        ``Segmentation.expected_dice``, and for nothing else; None for a class without. None: the
        network makes no such estimate.
    downsampling : int
        For objects larger than the network's context, such as organs in X-rays: blocks of so many
        pixels along each side are averaged before the first convolution, and the scores are
        interpolated bilinearly between blocks after the last. 1: the paper's network.

    Raises
    ------
    ModelError
        If an argument makes no network; the message says which and what would be right.

    Examples
    --------
    >>> import torch
    >>> model = UNet(base_channels=8, depth=2).eval()
    >>> model(torch.zeros(1, 1, 60, 76)).shape
    torch.Size([1, 2, 20, 36])
    >>> model.margin, model.output_size(60)
    (20, 20)
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: Sequence[str] = ("background", "foreground"),
        base_channels: int = 64,
        depth: int = 4,
        padding: str = "valid",
        norm: str | None = None,
        dropout: float = 0.5,
        multilabel: bool = False,
        normalization: str = "percentile",
        thresholds: Sequence[float] | None = None,
        colors: Sequence[str] | None = None,
        min_area: int = 0,
        border: bool = False,
        seed_threshold: float | None = None,
        seed_depth: float = 0.0,
        seed_area: int = 0,
        test_time_averaging: bool = False,
        calibration: Sequence[Sequence[float] | None] | None = None,
        downsampling: int = 1,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            classes=classes,
            multilabel=multilabel,
            normalization=normalization,
            thresholds=thresholds,
            colors=colors,
            min_area=min_area,
            border=border,
            seed_threshold=seed_threshold,
            seed_depth=seed_depth,
            seed_area=seed_area,
            test_time_averaging=test_time_averaging,
            calibration=calibration,
        )
        if padding not in ("valid", "same"):
            raise ModelError(f'padding is "valid" or "same", not {shortened(padding)}.')
        if norm not in (None, "batch"):
            raise ModelError(f'norm is None or "batch", not {shortened(norm)}.')
        if (
            isinstance(dropout, bool)
            or not isinstance(dropout, (int, float))
            or not 0 <= dropout < 1
        ):
            raise ModelError(
                f"dropout is a probability from 0 up to below 1, not {shortened(dropout)}."
            )

        self.base_channels = whole("base_channels", base_channels, at_least=1, at_most=4096)
        self.depth = whole("depth", depth, at_least=1, at_most=8)
        self.padding = padding
        self.norm = norm
        self.dropout = float(dropout)
        self.downsampling = whole("downsampling", downsampling, at_least=1, at_most=64)
        build = valid_geometry if padding == "valid" else same_geometry
        self._geometry = build(self.depth, self.downsampling)

        pad = 0 if padding == "valid" else 1
        channels = [base_channels * 2**level for level in range(depth + 1)]
        self.contracting = nn.ModuleList(
            Convolutions(before, after, pad, norm)
            for before, after in zip([in_channels, *channels], channels[:-1], strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(self.dropout)
        self.bottleneck = Convolutions(channels[-2], channels[-1], pad, norm)
        self.up = nn.ModuleList(
            UpConvolution(2 * width, width, kernel_size=2, stride=2)
            for width in reversed(channels[:-1])
        )
        self.expansive = nn.ModuleList(
            Convolutions(2 * width, width, pad, norm) for width in reversed(channels[:-1])
        )
        self.classifier = Convolution(base_channels, len(self.classes), kernel_size=1)
        self.reset_parameters()

    @property
    def geometry(self) -> Geometry:
        """Margin, grid and accepted sizes."""
        return self._geometry

    @property
    def activation_bytes_per_pixel(self) -> int:
        """Memory that inference takes for each pixel of input, a safe estimate.

        The peak is the first level of the expansive path: the copied skip, the concatenation
        and the result of its first convolution, 4 x base_channels floats, and as much again
        for the convolution's working space. With ``downsampling`` those are values of a block,
        and each pixel has its scores, as logits and as probabilities.
        """
        at_each = 8 * self.base_channels
        if self.downsampling > 1:
            at_each = -(-at_each // self.downsampling**2) + 4 * len(self.classes)
        return 4 * at_each

    def forward(self, images: Tensor) -> Tensor:
        """Score every pixel for every class.

        Parameters
        ----------
        images : (N, in_channels, H, W) float tensor
            Scaled by the rule that ``normalization`` names; H and W accepted by `geometry`.

        Returns
        -------
        (N, len(classes), H', W') float tensor of logits, with H' = ``output_size(H)``.

        Raises
        ------
        ModelError
            If the number of channels or the size does not fit; names the nearest sizes that do.
        """
        self._check_input(images)
        blocks = self.downsampling
        x = images if blocks == 1 else functional.avg_pool2d(images, blocks)
        skips = []
        for level, convolutions in enumerate(self.contracting, start=1):
            x = convolutions(x)
            if level == self.depth:
                x = self.drop(x)
            skips.append(x)
            x = self.pool(x)
        x = self.drop(self.bottleneck(x))
        for up, convolutions in zip(self.up, self.expansive, strict=True):
            x = up(x)
            x = convolutions(torch.cat((crop(skips.pop(), like=x), x), dim=1))
        scores = cast(Tensor, self.classifier(x))
        return scores if blocks == 1 else self._at_each_pixel(scores)

    def _at_each_pixel(self, scores: Tensor) -> Tensor:
        """Scores of blocks, interpolated; without those beyond which there is no other block."""
        side = self.downsampling
        scores = functional.interpolate(scores, scale_factor=side, mode="bilinear")
        return scores if self.padding == "same" else scores[..., side:-side, side:-side]

    def reset_parameters(self) -> None:
        """Draw new weights: He initialisation, as in the paper's section 3.

        Normally distributed with standard deviation sqrt(2 / N), N the number of incoming
        values of one output value: 9 x 64 for a 3x3 convolution over 64 channels. An output
        pixel of an up-convolution of stride 2 receives one pixel, so N is its input channels.
        """
        if self.classifier.weight.is_meta:  # no values; torch would load its compiler to draw none
            return
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                incoming = module.in_channels
                if isinstance(module, nn.Conv2d):
                    incoming *= module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, std=(2 / incoming) ** 0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)


def load_network(name: str | Path, **options: Any) -> SegmentationNetwork:
    """Load a network of whichever class of this library its config.json names.

    Takes what `UNet.from_pretrained` takes, and raises what it raises.
    """
    return SegmentationNetwork.from_pretrained(name, **options)


def network_without_weights(
    config: dict[str, Any], title: str, **changed: Any
) -> SegmentationNetwork:
    """What a config.json says of a network, of whichever class of this library it names.

    Takes and raises what `hf_unet.repositories.storage.StoredNetwork.from_config` does.
    """
    return SegmentationNetwork.from_config(config, title, **changed)


def best_device() -> str:
    """The fastest device here: "cuda", "mps" or "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def crop(features: Tensor, like: Tensor) -> Tensor:
    """Crop the centre of ``features`` to the height and width of ``like`` (copy and crop).

    Examples
    --------
    >>> import torch
    >>> crop(torch.arange(5.0).view(1, 1, 1, 5), like=torch.zeros(1, 1, 1, 3)).flatten().tolist()
    [1.0, 2.0, 3.0]
    """
    height, width = like.shape[-2:]
    top, left = (features.shape[-2] - height) // 2, (features.shape[-1] - width) // 2
    return features[..., top : top + height, left : left + width]


class Undrawn:
    """A layer whose weights `UNet.reset_parameters` sets, and nobody before it."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Convolution(Undrawn, nn.Conv2d):
    """A convolution without weights of its own choice."""


class UpConvolution(Undrawn, nn.ConvTranspose2d):
    """An up-convolution, likewise."""


class BatchNorm(Undrawn, nn.BatchNorm2d):
    """Batch norm, likewise."""


class Convolutions(nn.Sequential):
    """The 3x3 convolutions of one level, each followed by a ReLU.

    Where nothing is learnt, batch norm is folded into the convolution before it: its statistics
    are constants there, and a convolution scaled and shifted is a convolution. The result is the
    same to float rounding, and a pass over the level's activations is saved.

    Parameters
    ----------
    before, after : int
        Channels of the input and of the output.
    pad : int
        Zeros on each side.
    norm : None or "batch"
    """

    def __init__(self, before: int, after: int, pad: int, norm: str | None) -> None:
        layers: list[nn.Module] = []
        for channels in (before, *[after] * (CONVS_PER_LEVEL - 1)):
            # Batch norm subtracts the mean, and with it any bias.
            layers.append(
                Convolution(channels, after, kernel_size=3, padding=pad, bias=norm is None)
            )
            if norm == "batch":
                layers.append(BatchNorm(after))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)
        self._foldable = norm == "batch"

    def forward(self, input: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H', W')."""
        if not self._foldable or self.training or torch.is_grad_enabled():
            return cast(Tensor, super().forward(input))  # type: ignore[no-untyped-call]
        x = input
        convolution: nn.Conv2d
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                convolution = layer
            elif isinstance(layer, nn.BatchNorm2d):
                weight, bias = _folded(convolution, layer)
                x = functional.conv2d(x, weight, bias, padding=convolution.padding)
            else:
                x = layer(x)
        return x

    def fold(self) -> None:
        """Fold batch norm for good: what is left are convolutions and ReLUs, fit for export."""
        for index in reversed(range(len(self))):
            if isinstance(norm := self[index], nn.BatchNorm2d):
                convolution = cast(nn.Conv2d, self[index - 1])
                folded = _folded(convolution, norm)
                convolution.weight, convolution.bias = (nn.Parameter(part) for part in folded)
                del self[index]
        self._foldable = False


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what the two do in turn."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None  # as BatchNorm2d is made here
    scale = norm.weight.float() / torch.sqrt(variance.float() + norm.eps)
    weight = convolution.weight.float() * scale[:, None, None, None]
    bias = norm.bias.float() - mean.float() * scale
    return weight.to(convolution.weight.dtype), bias.to(convolution.weight.dtype)
