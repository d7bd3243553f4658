"""The HTTP edge: parse, authorise, call the pipeline, serialise."""
