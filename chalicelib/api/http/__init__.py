"""The frame around every view: one subject a file.

`endpoints` declares a route and runs its view; it uses `requests` (names and addresses), `bodies`,
`parameters` and `cursors` (what was sent), `idempotency` (requests that are repeated), `answers`
(what is sent back) and `problems` (errors). `middleware` completes every answer, and `gateway`
refuses events that API Gateway would not send.
"""
