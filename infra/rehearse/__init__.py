"""`make rehearse` deploys to an emulator of AWS on this machine, uses the stage, and deletes it.

The emulator is ministack: it runs CloudFormation, Lambda's packages, API Gateway and IAM's rules.
The tests use moto instead, which runs none of these. `docs/install.md` lists what neither shows.
"""
