"""An image of this program, built from a checkout of it, and how Docker and Fly keep it going.

Nothing of the rendering machine is in these files but the name and the time budget: a container has a home, a PATH and
a user of its own.
"""

from __future__ import annotations

from runner.errors import Refused
from runner.service.plan import File, Plan

HOME = "/var/lib/afk"
FLY_LONGEST_S = 300
"""Fly ends a machine with shared CPUs that takes longer. Source: fly.io/docs/reference/configuration, kill_timeout."""
_UID = 10001

_DOCKERFILE = f"""\
# The runner as an image, built from a checkout of this program: put this file, compose.yaml and .dockerignore beside
# its pyproject.toml, then `docker compose build`. What your commands need goes into an image of yours, FROM this one.
#
# A tag moves. Pin what you have tried: `docker buildx imagetools inspect python:3.13-slim-bookworm` names its digest,
# `--build-arg BASE=python@sha256:...` builds from it.
ARG BASE=python:3.13-slim-bookworm

FROM ${{BASE}} AS build
WORKDIR /src
RUN python -m venv /opt/afk
COPY requirements.txt ./
RUN /opt/afk/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY runner runner
COPY console console
COPY styles styles
RUN /opt/afk/bin/pip install --no-cache-dir --no-compile --no-deps --no-build-isolation . \\
 && python -m compileall -q /opt/afk/lib

FROM ${{BASE}} AS runner
RUN groupadd --gid {_UID} afk \\
 && useradd --uid {_UID} --gid {_UID} --home-dir {HOME} --no-create-home --shell /usr/sbin/nologin afk \\
 && install -d -m 0700 -o {_UID} -g {_UID} {HOME}
COPY --from=build /opt/afk /opt/afk
ENV PATH=/opt/afk/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 AFK_HOME={HOME}
VOLUME ["{HOME}"]
STOPSIGNAL SIGTERM
# A warning, such as a parked runner, is no reason to call the container unhealthy; 2 and 3 are.
HEALTHCHECK --interval=60s --timeout=10s --start-period=60s --retries=3 \\
  CMD ["/bin/sh", "-c", "/opt/afk/bin/afk-runner status --check --quiet; test $? -lt 2"]
USER {_UID}:{_UID}
ENTRYPOINT ["/opt/afk/bin/afk-runner"]
CMD ["run", "--supervisor", "docker", "--home", "{HOME}"]

# Fly mounts a volume that belongs to root: it is given to the runner's user, and root's rights are dropped.
FROM runner AS fly
USER root
ENTRYPOINT ["/bin/sh", "-euc", "chown {_UID}:{_UID} {HOME}; chmod 700 {HOME}; exec setpriv --reuid {_UID} \\
--regid {_UID} --clear-groups --no-new-privs --inh-caps=-all /opt/afk/bin/afk-runner \\"$@\\"", "afk-runner"]
CMD ["run", "--supervisor", "fly", "--home", "{HOME}"]

# Without --target the last stage is built: the one for Docker.
FROM runner
"""

_IGNORE = """\
# Nothing gets into the image that is not named here: no .env, no database, no home.
*
!pyproject.toml
!requirements.txt
!README.md
!LICENSE
!runner
!console
!styles
**/__pycache__
**/.env
**/*.db
**/.DS_Store
"""

_COMPOSE = """\
# Once:   docker compose build
#         docker compose run --rm runner init
# Settings and keys go into the volume, never into this file or the image:
#         docker compose run --rm -T --entrypoint sh runner -c 'umask 077; cat > {home}/afk.toml' < afk.toml
#         docker compose run --rm -T --entrypoint sh runner -c 'umask 077; cat > {home}/.env' < .env
# Then:   docker compose up -d
# Verbs:  docker compose exec runner afk-runner status
# Stop:   docker compose exec runner afk-runner kill    parks it: it stays parked over restarts until `resume`
#         docker compose stop                           ends the process
name: {name}
services:
  runner:
    image: {name}
    build: .
    # Reaps what loses its parent.
    init: true
    # Exit code 0 is an end that somebody asked for, and `always` would undo it.
    restart: on-failure:5
    stop_signal: SIGTERM
    stop_grace_period: {end_within_s}s
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    pids_limit: 2048
    volumes: ["home:{home}"]
volumes:
  home: {{}}
"""

_FLY = """\
# Beside the Dockerfile that `afk-runner service render --platform docker` gives.
# Once:   fly apps create {name}
#         fly volumes create afk_home --size 1
#         fly deploy --ha=false
#         fly ssh console -C "setpriv --reuid {uid} --regid {uid} --clear-groups afk-runner init --home {home}"
# It is one machine with one volume: SQLite does not work over a network, and a second machine would have a home of
# its own. Until its settings are there it says so in its log and waits for them.
# Stop:   fly ssh console -C "... afk-runner kill" parks it, over deploys too; `fly machine stop` ends it and keeps the
#         volume. `fly scale count 0` destroys the machine.
app = "{name}"
kill_signal = "SIGTERM"
kill_timeout = "{end_within_s}s"

[build]
dockerfile = "Dockerfile"
build-target = "fly"

[deploy]
strategy = "immediate"

# Without a service there is no proxy whose idea of idleness could stop a busy machine.
[[mounts]]
source = "afk_home"
destination = "{home}"

# Safe because a stop and a refusal park: a host that restarts may leave a machine down under any other policy.
[[restart]]
policy = "always"

[[vm]]
size = "shared-cpu-1x"
memory = "512mb"
"""


def render_docker(plan: Plan) -> tuple[File, ...]:
    """What builds the image and runs it."""
    name = plan.name.lower()
    compose = _COMPOSE.format(name=name, home=HOME, end_within_s=plan.end_within_s)
    return (
        File(name="Dockerfile", text=_DOCKERFILE),
        File(name=".dockerignore", text=_IGNORE),
        File(name="compose.yaml", text=compose),
    )


def render_fly(plan: Plan) -> tuple[File, ...]:
    """Fly's description of the app. Raises Refused for a grace that is longer than Fly waits."""
    if plan.end_within_s > FLY_LONGEST_S:
        raise Refused(
            f"Fly waits {FLY_LONGEST_S} s at most and this home's runner may take {plan.end_within_s} s to end; "
            'shorten "stop_grace" in [runner]'
        )
    name = plan.name.lower().replace("_", "-")
    text = _FLY.format(name=name, home=HOME, end_within_s=plan.end_within_s, uid=_UID)
    return (File(name="fly.toml", text=text),)
