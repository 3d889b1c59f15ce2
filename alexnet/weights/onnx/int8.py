"""A graph with int8 weights and activations (onnxruntime's static quantisation): a quarter of the size."""

from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from alexnet.files.atomic import space_checked
from alexnet.files.temporary import TemporaryFolder
from alexnet.text import in_bytes


class _Batches(quantization.CalibrationDataReader):
    def __init__(self, name: str, batches: Iterable[np.ndarray]) -> None:
        self.name, self.batches = name, iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def quantised(model: onnx.ModelProto, batches: Iterable[np.ndarray]) -> onnx.ModelProto:
    """The graph with the convolutions and dense layers in int8. `batches`: inputs that it is run on to find the range
    of each layer's activations. Weights get 7 bits and a scale per output: with 8, sums of products saturate on
    processors without VNNI (on AVX2 the errors doubled)."""
    tagged = onnx.ModelProto()
    tagged.CopyFrom(model)
    add_pre_process_metadata(tagged)  # without this tag onnxruntime advises to do what follows
    with TemporaryFolder("alexnet-int8-") as folder:
        needed = 4 * tagged.ByteSize()  # prepared, with inferred shapes, with measuring nodes, in int8
        remedy = ". Set the environment variable TMPDIR to a folder on another disk."
        space_checked(folder, needed, f"quantising takes {in_bytes(needed)}", remedy)
        prepared, out = folder / "prepared.onnx", folder / "int8.onnx"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(prepared)  # here the weights of each column are a constant
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        onnxruntime.InferenceSession(tagged.SerializeToString(), options, providers=["CPUExecutionProvider"])
        quantization.quantize_static(
            prepared,
            out,
            _Batches(model.graph.input[0].name, batches),
            op_types_to_quantize=["Conv", "Gemm"],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        tagged.CopyFrom(model)
        tagged.graph.CopyFrom(onnx.load(out).graph)
    onnx.checker.check_model(tagged)
    return tagged
