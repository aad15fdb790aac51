"""From a student to what a device runs: ONNX, int8, checked, packaged."""

from ftx_edge.exporters.confidence import Abstention
from ftx_edge.exporters.gate import Agreement
from ftx_edge.exporters.pipeline import ExportResult, export_student
from ftx_edge.exporters.run import export

__all__ = ["Abstention", "Agreement", "ExportResult", "export", "export_student"]
