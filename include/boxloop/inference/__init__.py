"""Detect with an exported bundle, on the machine there is: without TensorFlow where that is fast."""
