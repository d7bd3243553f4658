"""The API's documentation: an OpenAPI 3.1 document, and one HTML page made from it."""
