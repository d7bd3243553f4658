"""Users of the embedded cloud: the demo, its sample application and GitHub's deliveries."""
