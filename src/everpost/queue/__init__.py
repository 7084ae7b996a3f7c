"""Delivery: schedule, lease, route, attempt, reports, operator verbs."""
