"""The comparison of training methods: its plan, its runs, its tables; `tools/comparison.py` runs it."""
