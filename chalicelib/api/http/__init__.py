"""The HTTP code that all views share, one subject per file.

`endpoints` declares a route and runs its view. It reads the request with `requests` (id, address,
root path), `parameters`, `cursors` and `bodies`, and repeats requests with `idempotency`. It makes
the response with `answers` and `problems` (errors). `middleware` adds headers to every response
and logs it. `gateway` refuses events that API Gateway would not send.
"""
