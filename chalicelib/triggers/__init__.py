"""What wakes the pipeline besides HTTP: the queue, AWS's events and the clock."""
