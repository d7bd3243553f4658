"""Requests of callers and pushes: one public function for each verb."""
