"""rsbench: step-level safety and effectiveness of multimodal reasoning chains."""

__version__ = "0.1.0"
