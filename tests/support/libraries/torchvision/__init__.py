"""A torchvision with a classifier, and a segmenter whose backbone is downloaded by default, as torchvision's is."""

from . import models as models
