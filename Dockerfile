# mlim, for a CPU or a GPU: see docs/install.md
#   docker build --tag mlim .                                       with the libraries of a GPU, as pip brings them
#   docker build --tag mlim --build-arg TORCH_INDEX=URL .           without: torch from the index of its CPU builds
#   docker run --rm --user $(id -u):$(id -g) --volume $PWD:/shop [--gpus all] mlim run recipe.yaml
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=""
ARG EXTRAS=all
# a compiler for the one dependency that has no wheel on arm64; it stays in this stage
RUN if [ "$(uname -m)" != x86_64 ]; then \
        apt-get update && apt-get install --yes --no-install-recommends cargo gcc libc6-dev; \
    fi
RUN python -m venv /opt/mlim
# first what hardly ever changes: torch is most of the image
RUN /opt/mlim/bin/pip install --no-cache-dir torch torchvision ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY workbench workbench
RUN /opt/mlim/bin/pip install --no-cache-dir ".[$EXTRAS]" \
    && if [ -n "$TORCH_INDEX" ]; then /opt/mlim/bin/pip uninstall --yes nvidia-dali-cuda120; fi

FROM python:${PYTHON}-slim
COPY --from=build /opt/mlim /opt/mlim
COPY recipes /recipes
ENV PATH=/opt/mlim/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp
RUN useradd --create-home --uid 1000 mlim && mkdir /shop && chown mlim /shop
USER mlim
WORKDIR /shop
ENTRYPOINT ["mlim"]
CMD ["--help"]
