"""The two steps: source model -> mPLM on English text, mPLM -> student on target text; no labels."""

from ftx_edge.distillation.pipeline import DistillResult, distill, distill_step1
from ftx_edge.distillation.plan import Plan, plan

__all__ = ["DistillResult", "Plan", "distill", "distill_step1", "plan"]
