"""The formats that a graph is converted to: one package each, and what they share."""
