"""Pools, and means over the map or over tokens."""
