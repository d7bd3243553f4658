"""What moves builds and deployments: requests, and the loop that reconciles them with AWS."""
