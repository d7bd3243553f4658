"""What runs Slipway: the AWS stack, the build, and an embedded cloud."""
