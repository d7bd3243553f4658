"""GitHub's own description of its REST API, and what checks requests and answers against it."""
