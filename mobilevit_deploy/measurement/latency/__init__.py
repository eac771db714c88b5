"""Latency: fresh processes for each artifact, samples in milliseconds, statistics from a library."""

from mobilevit_deploy.measurement.latency.measure import LatencyReport, LatencyRequest, measure_latency

__all__ = ["LatencyReport", "LatencyRequest", "measure_latency"]
