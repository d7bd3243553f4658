"""What stands in for AWS: moto, its gaps closed, and the engines of CodeBuild and ECS."""
