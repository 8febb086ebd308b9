"""What ``scripts/make_test_weights.py`` writes: pipelines with random values, in the layout of the released ones."""
