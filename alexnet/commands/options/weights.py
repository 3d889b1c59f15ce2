"""Options of the commands that bring weights in and out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from alexnet.choices import ClassOrder, Colours, Form
from alexnet.commands.options.common import RunArgument, option


@dataclass(frozen=True)
class Weights:
    """List the pretrained weights that can be used by name.

    `alexnet import NAME RUN` downloads and checks them. Where a command takes a run, their name does too, and so does
    hf:OWNER/NAME for a run on the Hugging Face Hub. Files are kept in the cache folder (~/.cache/alexnet). If the
    environment variable ALEXNET_WEIGHTS_URL is set, files come from that address.

    Examples:
        alexnet weights
        alexnet train photos.store --out runs/photos --from torchvision --freeze conv1-conv5
    """


@dataclass(frozen=True)
class Import:
    """Make a run folder from other people's weights.

    Supported: torchvision's alexnet (.pth, .safetensors), Caffe's AlexNet and CaffeNet (.caffemodel, also
    product-quantised), ONNX, cuda-convnet's layout (.npz), and what `alexnet export` writes. What a file lacks is
    reported, and asked for or refused where it is needed. docs/weights.md says where the usual files come from.

    Examples:
        alexnet import torchvision runs/torchvision
        alexnet import alexnet-owt-7be5be79.pth runs/torchvision --classes synset_words.txt
        alexnet import bvlc_alexnet.caffemodel runs/caffe --mean ilsvrc_2012_mean.npy --classes synset_words.txt
        alexnet import net.onnx runs/net --mean 123.68,116.78,103.94 --colours bgr
    """

    source: Annotated[Positional[Path], arg(metavar="NAME|FILE")]
    """Pretrained weights by name (`alexnet weights` lists them), or a file of weights, a folder or a tar archive."""
    run_folder: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder to make."""
    file: Annotated[Path | None, option("FILE", default="downloaded")] = None
    """With NAME: the file, if you have downloaded it already. It is checked like a download."""
    classes: Annotated[Path | None, option("FILE", default="what the file says")] = None
    """The list of classes: synset_words.txt, imagenet_class_index.json, meta.mat, CSV, JSON, or one class per line."""
    order: Annotated[ClassOrder | None, arg(help_behavior_hint="(default: the format's)")] = None
    """Order of the outputs: by sorted synset, by ILSVRC id, or as the list of classes has them."""
    mean: Annotated[str | None, option("FILE|R,G,B", default="the format's")] = None
    """What is subtracted from pictures: an image (.npy, .binaryproto; in the weights' colour order), or a colour."""
    std: Annotated[str | None, option("R,G,B", default="the format's")] = None
    """What the inputs were divided by, on the scale 0–255; it is folded into the first layer's weights."""
    colours: Annotated[Colours | None, arg(help_behavior_hint="(default: the format's)")] = None
    """Colour order that the first layer reads."""
    net: Annotated[str | None, option("NAME", default="the format's")] = None
    """The network of the zoo that the weights belong to (.npz, .caffemodel)."""


@dataclass(frozen=True)
class Export:
    """Write a run's weights for other tools.

    safetensors: the whole run in one file. torchvision: the state dict of its alexnet, for runs of --net torchvision.
    onnx: a graph with LRN nodes and a free batch size, compared with PyTorch on 64 pictures (if onnxruntime is
    installed). torch-export: for torch.export.load. What a format can't hold (classes, mean) goes to FILE.json.
    `alexnet import` reads the first three back bit for bit.

    Examples:
        alexnet export runs/photos --to onnx --preprocessing --out photos.onnx
        alexnet export runs/photos --to onnx --preprocessing --int8 photos.store --out photos-int8.onnx
        alexnet export runs/photos --to safetensors --out photos.safetensors
    """

    run_folder: RunArgument
    to: Form
    """The format."""
    out: Annotated[Path | None, option("FILE", default="RUN/NETWORK.suffix")] = None
    """The file to write."""
    preprocessing: bool = False
    """The model takes uint8 pictures (B, 256, 256, 3), and itself subtracts the mean and crops the centre. onnx takes
    pictures of any height and width, and gives probabilities too."""
    int8: Annotated[Path | None, option("STORE", default="fp32")] = None
    """onnx in int8, calibrated on training pictures of this store; the errors before and after, on its validation
    pictures, are printed."""
    check: Annotated[Path | None, option("STORE", default="random pictures")] = None
    """A store whose first validation pictures are used for the comparison of onnx."""
