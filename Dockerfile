# emoq with ffmpeg. First: make package PLATFORMS=linux/x64 (see docs/install.md).
FROM node:24-bookworm-slim

# tini is process 1. No signal from within a container kills that one, so emoq could not end itself at a second Ctrl-C.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ffmpeg tini \
  && rm -rf /var/lib/apt/lists/*

# The package is mounted for this step, so that no layer contains it. With --user, any user may write to the folders.
RUN --mount=type=bind,target=/package \
  npm install --global --no-audit --no-fund /package/emoq-*.tgz \
  && rm -rf /root/.npm /tmp/node-compile-cache \
  && install --directory --owner=node --group=node --mode=1777 /models /data

# Backbones are kept in /models. One malloc arena makes training steps up to a tenth faster.
ENV HF_HOME=/models \
  MALLOC_ARENA_MAX=1 \
  NODE_ENV=production

# As a number: with runAsNonRoot, Kubernetes refuses a name.
USER 1000:1000
WORKDIR /data
VOLUME ["/models", "/data"]
ENTRYPOINT ["tini", "--", "emoq"]
CMD ["--help"]
