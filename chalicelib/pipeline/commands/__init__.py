"""Requests of callers and pushes: each has one public function and one transaction."""
