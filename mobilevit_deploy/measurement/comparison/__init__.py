"""Artifacts side by side: latency ratios from alternating runs, drift between outputs, and sizes."""

from mobilevit_deploy.measurement.comparison.compare import Comparison, ComparisonRequest, compare_artifacts

__all__ = ["Comparison", "ComparisonRequest", "compare_artifacts"]
