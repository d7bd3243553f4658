"""Builds and deployments: commands record requests, reconcilers do the work.

The life of a push, with the functions that it passes through:

1. `api.webhooks.receive_github` decodes the delivery once, `signatures.verify` finds the secrets
   that signed it, and `domain.pushes.parse_push` reads the push.
2. `commands.pushes.receive_push` finds the services that follow the branch. One transaction creates
   a queued build for each of them (`new_builds.new_build`, `new_builds.accept_build`), the receipt
   of the push, and the trace of the delivery. `aws.queue.wake` sends a wake-up for each build.
3. `triggers.wakeups.on_wakeup` gets that message, or `triggers.schedule.on_schedule` finds the
   build in the due index. Both call `reconcilers.loop.reconcile`.
4. `reconcilers.builds.reconcile_build` ends builds of earlier pushes
   (`superseding.supersede_builds`) and reads the line of queued builds (`line.read_line`). It
   decides with `domain.builds.decide_start` and calls StartBuild with
   `domain.requests.start_build_request`. The row gets `called_at` before the call.
5. CodeBuild's events and the schedule call it again. The build is `building` once it has left
   CodeBuild's own queue. `domain.builds.decide_progress` reads
   CodeBuild's report. At success the digest comes from ECR.
6. `auto_deploy.why_not_deployed` decides for the service, and for each that deploys its images,
   whether the image is deployed. One transaction ends the build and makes the new deployments
   active or waiting (`new_deployments.enqueue`), and `aws.queue.wake` names their services. For
   the other services the build has `not_deployed`.
7. `reconcilers.services.reconcile_service` calls `deployments.deploy`, which observes the ECS
   service and decides with `domain.rollouts.decide_active`. `begins.begin` registers a task
   definition, keeps it, records it with `called_at`, and calls UpdateService with
   `domain.requests.update_service_request`. If the service has a release command,
   `release_commands.advance` first runs it in a task, to its end.
8. ECS's events and the schedule call it again until the rollout has ended and its tasks prove the
   release (`evidence.find_proof`), which its receipt keeps. One transaction ends the deployment
   (`ends`), makes it `current` if it succeeded, and makes the waiting one active.

Without an active deployment `domain.rollouts.decide_idle` keeps ECS at the current release. What
another party chose (`domain.rollouts.origin_of`) stays and is shown as drift. Any worker may repeat
any step at any time: a write to a build, deployment or service that was read is on condition of its
version. If the row has changed since, the write raises `Stale`.
"""
