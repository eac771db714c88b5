"""How an export grows with the model and with the image: see ``__main__``."""
