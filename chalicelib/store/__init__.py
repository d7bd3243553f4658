"""The only importer of pynamodb: tables, reads, and moves that are committed together."""
