"""What the package costs beside the same job written by hand; run by ``python -m benchmarks``."""
