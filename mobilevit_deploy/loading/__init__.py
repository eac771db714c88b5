"""From a MODEL argument to an ``nn.Module`` with weights that are accounted for."""
