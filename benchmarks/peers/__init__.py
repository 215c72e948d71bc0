"""Methods that change face attributes, trained on the same pairs for the same minutes and scored alike.

`python -m benchmarks.peers --help`; see docs/comparison.md.
"""
