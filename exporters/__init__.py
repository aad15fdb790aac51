"""From a student to what a device runs: ONNX, int8, checked, packaged."""

from ftx_edge.exporters.confidence import Abstention
from ftx_edge.exporters.gate import Agreement
from ftx_edge.exporters.pipeline import ExportResult, export, export_student

__all__ = ["Abstention", "Agreement", "ExportResult", "export", "export_student"]
