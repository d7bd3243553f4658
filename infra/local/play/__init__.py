"""What plays on the embedded cloud: the demo, its sample application, GitHub's deliveries."""
