"""Telling channels what happened: each is brought to the state that a row has now.

A commit marks its rows as not told, in the same write, and then sends a message for each channel.
If the message is lost, the schedule sends another. The queue delivers one message after another for
each channel and service, so that no older state can overtake a newer one. `loop` has the steps, and
each kind of receiver has a module with three functions: the state that it is told of a row, the
telling, and a test.
"""
