# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build

RUN python -m venv /opt/portico
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY kernel kernel
COPY plugins plugins
COPY examples/servers examples/servers
RUN /opt/portico/bin/pip install --no-cache-dir --no-compile '.[postgresql,mysql,rest,shaping,grpc,a2a]' \
    && /opt/portico/bin/python -m compileall -q /opt/portico/lib

FROM python:3.13-slim

RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin portico \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/portico
COPY --from=build /opt/portico /opt/portico

# Only a registry writes, to its folder; bytecode is in the image, and logs go to stderr.
ENV PATH=/opt/portico/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PORTICO_CONFIG=/etc/portico/gateway.toml \
    PORTICO_GATEWAY__LISTEN=0.0.0.0:4444 \
    PORTICO_GATEWAY__STATE=/var/lib/portico

USER 10001:10001
WORKDIR /etc/portico
EXPOSE 4444
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4444/healthz', timeout=2)"]

ENTRYPOINT ["gateway", "serve", "--plugins"]
