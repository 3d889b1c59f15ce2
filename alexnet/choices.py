"""The values that options can take. The command line reads them without importing torch, and every other folder too."""

from typing import Literal

DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]
PrecisionChoice = Literal["auto", "fp32", "bf16"]
Views = Literal[1, 5, 9, 10]

# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────
Resample = Literal["bicubic", "bilinear", "lanczos", "box"]
Format = Literal["raw", "jpeg"]
Decode = Literal["full", "scaled"]
ClassOrder = Literal["sorted", "devkit", "listed"]

# ── training ─────────────────────────────────────────────────────────────────────────────────────────────────────
Initialisation = Literal["code", "paper", "zf"]
ColourNoise = Literal["code", "paper", "off"]
MeanMode = Literal["aligned", "centre"]
Crops = Literal["random", "ten", "centre"]
Head = Literal["network", "linear"]
Keep = Literal["best", "last"]
FixedViews = Literal["centre", "ten"]
FrozenViews = FixedViews | int
FrozenFeatures = Literal["exact"] | FrozenViews

# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────
Colours = Literal["rgb", "bgr"]
Form = Literal["safetensors", "torchvision", "onnx", "torch-export"]

# ── looking inside ───────────────────────────────────────────────────────────────────────────────────────────────
Method = Literal["deconvnet", "guided", "gradient"]
AttributionMethod = Literal[
    "gradient",
    "input-x-gradient",
    "integrated-gradients",
    "smoothgrad",
    "deconvnet",
    "guided",
    "grad-cam",
    "grad-cam++",
    "lrp",
    "occlusion",
    "rise",
]
NormRule = Literal["pass", "adjoint"]
Overlap = Literal["add", "overwrite"]
Normalisation = Literal["relative", "none", "unit"]
Fill = Literal["mean", "edge"]
Control = Literal["object", "picture"]
Preset = Literal["fourier", "yosinski-1", "yosinski-2", "yosinski-3", "yosinski-4"]
AblationOrder = Literal["activation", "effect", "random"]

# ── features ─────────────────────────────────────────────────────────────────────────────────────────────────────
NumberType = Literal["float32", "float16"]
Way = Literal["exact", "codes", "hamming", "faiss"]
ProbeKind = Literal["svm", "softmax"]
Embedding = Literal["pca", "t-sne", "umap"]
Beside = Literal["random", "target", "fine-tune"]
