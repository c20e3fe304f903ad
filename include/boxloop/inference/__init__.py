"""Detect with an exported bundle: without TensorFlow where that is fastest."""
