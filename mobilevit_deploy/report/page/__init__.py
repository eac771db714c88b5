"""The page of ``mvd report``: every export of a folder, its latencies and plots, in one HTML file."""
