"""The parts of the section on gRPC intake."""
