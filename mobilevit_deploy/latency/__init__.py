"""Latency: one fresh process per artifact, samples in milliseconds, statistics from a library."""

from mobilevit_deploy.latency.measure import LatencyReport, LatencyRequest, measure_latency

__all__ = ["LatencyReport", "LatencyRequest", "measure_latency"]
