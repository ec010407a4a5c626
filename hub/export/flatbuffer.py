"""The operations in a `.tflite` file, read from its flatbuffer, so that no runtime has to accept it first."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Op:
    """One operation: its name (`FlexName` for one only TensorFlow has), subgraph, and tensors by name."""

    name: str
    subgraph: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def operations(content: bytes) -> Iterator[Op]:
    """Every operation of every subgraph, in the order in which they run."""
    from ai_edge_litert import schema_py_generated as schema

    builtin = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAsModel(content, 0)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    names = [code.CustomCode().decode() if code.CustomCode() else builtin[code.BuiltinCode()] for code in codes]
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        tensors = [graph.Tensors(index).Name().decode() for index in range(graph.TensorsLength())]
        for index in range(graph.OperatorsLength()):
            op = graph.Operators(index)
            inputs = tuple(tensors[op.Inputs(k)] for k in range(op.InputsLength()) if op.Inputs(k) >= 0)
            outputs = tuple(tensors[op.Outputs(k)] for k in range(op.OutputsLength()))
            yield Op(names[op.OpcodeIndex()], number, inputs, outputs)
