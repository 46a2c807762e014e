"""A gateway in trouble under the eyes of a real Prometheus: what its rules say, and a picture of the dashboard."""
