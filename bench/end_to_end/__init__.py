"""The parts of the section on the whole way."""
