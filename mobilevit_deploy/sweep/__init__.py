"""mvd sweep: a matrix of models, targets, precisions and devices, on one machine or on a cluster."""
