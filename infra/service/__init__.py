"""`make service`: a first service, in AWS or on this machine, registered with Slipway.

`names` decides what its parts are called, `registration` talks to Slipway, `stage` to AWS, and
`local` to the embedded cloud of `make run`.
"""
