"""The description of the API, for programs (OpenAPI 3.1) and for people (one page of HTML)."""
