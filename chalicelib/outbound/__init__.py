"""Calls to receivers outside AWS. The only importer of urllib3."""
