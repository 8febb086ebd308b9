"""The sections of ``scripts/gpu_report.py``, one module each, and what they share."""
