"""Latency, profiles and comparisons."""
