# syntax=docker/dockerfile:1
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Nothing that is needed at run time has an install script.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY bin bin
COPY src src
COPY policies policies
COPY signatures signatures
COPY migrations migrations
COPY LICENSE README.md CHANGELOG.md ./
# An image that cannot read what it ships is not built.
RUN node src/main.ts signatures match https://api.openai.com/ && node src/main.ts policy list

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="Cordon" \
  org.opencontainers.image.description="AI-policy enforcement proxy" \
  org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 cordon \
  && useradd --system --uid 10001 --gid cordon --home-dir /var/lib/cordon cordon \
  && install -d -o cordon -g cordon -m 0700 /var/lib/cordon
COPY --from=build /app /app
# Stripped types and compiled code are kept between starts of one container.
ENV NODE_ENV=production \
  NODE_COMPILE_CACHE=/tmp/node-compile-cache \
  CORDON_DATA_DIR=/var/lib/cordon \
  CORDON_OBSERVE__LISTEN=0.0.0.0:9464
USER cordon
WORKDIR /var/lib/cordon
VOLUME /var/lib/cordon
EXPOSE 3128 8181 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/src/main.ts"]
CMD ["start"]
