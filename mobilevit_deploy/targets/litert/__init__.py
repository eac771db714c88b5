"""LiteRT: Android's own format, and the reader of .tflite files."""
