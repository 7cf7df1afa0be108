# An image that trains, compares and audits; docs/how-to/docker.md says how. Built from the root of a
# checkout:
#   docker build --file docker/train.Dockerfile --tag inklings-train .
FROM python:3.11-slim

# which build of torch: cpu, or one for a GPU, such as cu130
ARG TORCH_BACKEND=cpu

WORKDIR /opt/inklings
RUN pip install --no-cache-dir uv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN uv pip install --system --no-cache --torch-backend ${TORCH_BACKEND} --constraint constraints.txt '.[hub,sweep]'
COPY configs configs

RUN useradd --create-home --uid 1000 inklings && install --directory --owner inklings /runs
USER inklings
ENV INKLINGS_CACHE=/runs/.cache
WORKDIR /runs
VOLUME /runs

# a training answers nobody: that it lives is that its process does
HEALTHCHECK NONE
# as Ctrl-C: the step ends, the run is saved, and `resume` goes on from there
STOPSIGNAL SIGINT
ENTRYPOINT ["inklings"]
CMD ["train", "/opt/inklings/configs/reference.toml", "--run", "/runs/reference"]
