"""Training: SRPO and the optimisers it is compared with. Imports rsbench, never the reverse."""
