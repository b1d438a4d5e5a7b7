"""How the embedded model `tiny` is made; see train.py."""
