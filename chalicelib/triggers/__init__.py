"""The triggers of the pipeline besides HTTP: the queue, AWS's events and the schedule."""
