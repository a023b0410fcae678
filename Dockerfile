# emoq with ffmpeg. First: make package PLATFORMS=linux/x64 (see docs/install.md).
FROM node:24-bookworm-slim

RUN apt-get update \
  && apt-get install --yes --no-install-recommends ffmpeg \
  && rm -rf /var/lib/apt/lists/*

# The package is mounted for this step, so that no layer contains it.
RUN --mount=type=bind,target=/package \
  npm install --global --no-audit --no-fund /package/emoq-*.tgz \
  && rm -rf /root/.npm \
  && mkdir -p /models /data \
  && chown node:node /models /data

# Backbones are kept in /models. One malloc arena makes training steps up to a tenth faster.
ENV HF_HOME=/models \
  MALLOC_ARENA_MAX=1 \
  NODE_ENV=production

USER node
WORKDIR /data
VOLUME ["/models", "/data"]
ENTRYPOINT ["emoq"]
CMD ["--help"]
