"""What callers and pushes ask for: one verb, one public function, one transaction."""
