"""The hot kernels of core over tables of realistic size, and the journal, without a gateway around them."""
