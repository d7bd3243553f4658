"""The emulation of AWS: moto with patches, and engines for CodeBuild and ECS."""
