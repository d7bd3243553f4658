"""Times that the rules count with, in seconds."""

# Two looks at work that goes well; also the schedule's period.
PERIOD = 60
# Between two looks at what nobody can mend but its owner.
SLOW = 600
# Between two looks at a service at rest, should no event say that somebody else changed it.
WATCH = 3600
# No worker lives longer: every function's time-out is below this. Until it has passed since the
# last claim, a call may still be in the air.
WORKER_LIFE = 31
# CodeBuild's idempotencyToken lives five minutes (StartBuild in its API reference). Repeating a
# call is safe while the token outlives the worker that repeats it.
TOKEN_LIFE = 240
# BatchGetBuilds may not know a build in its first moments.
UNKNOWN_GRACE = 120
# How long past its deadline work is kept while AWS does not answer at all.
SILENCE = 600
