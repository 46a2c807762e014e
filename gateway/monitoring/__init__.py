"""Dashboards, rules and runbook for who watches a gateway with Prometheus and Grafana."""
