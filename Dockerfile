# The workers' image: built in one stage with pip, run in another without it, as a user that owns only /data.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY pyproject.toml constraints.txt README.md ./
COPY cornerman cornerman
COPY engine engine
COPY gateway gateway
COPY ledger ledger
COPY producer producer
COPY workers workers
# Compiled here, because the runtime user cannot write next to the sources and would compile them at each start.
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[feed,http,tracing,workers]' \
    && /venv/bin/python -m compileall -q /venv/lib \
    && NUMBA_CACHE_DIR=/kernels /venv/bin/python -m engine.selftest ensemble \
    && /venv/bin/pip uninstall --yes pip setuptools

# Flower in an image of its own (docker compose --profile flower): no pool needs it.
FROM python:3.11-slim AS flower
COPY constraints.txt .
RUN pip install --no-cache-dir --constraint constraints.txt 'celery[redis]' flower && useradd --uid 10001 --create-home flower
USER flower
EXPOSE 5555

FROM python:3.11-slim
COPY --from=build /venv /venv
RUN useradd --uid 10001 --create-home cornerman && install -d -o cornerman /data
# The engine's kernels for the processor of the build; on another processor they are compiled again, into the same folder.
COPY --from=build --chown=cornerman /kernels /kernels
ENV PATH=/venv/bin:$PATH CORNERMAN_DATA=/data NUMBA_CACHE_DIR=/kernels PYTHONUNBUFFERED=1
USER cornerman
WORKDIR /data
VOLUME /data
ENTRYPOINT ["cornerman"]
CMD ["--help"]
