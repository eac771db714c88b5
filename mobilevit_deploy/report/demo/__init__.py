"""``mvd demo``: a trained model and a picture that come with the package, taken to every target that is installed."""
