# An image that serves runs; docs/how-to/docker.md says how. Built from the root of a checkout:
#   docker build --file docker/serve.Dockerfile --tag inklings-serve .
FROM python:3.11-slim

# which build of torch: cpu, or one for a GPU, such as cu130
ARG TORCH_BACKEND=cpu

WORKDIR /opt/inklings
RUN pip install --no-cache-dir uv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN uv pip install --system --no-cache --torch-backend ${TORCH_BACKEND} --constraint constraints.txt '.[serve]'

RUN useradd --create-home --uid 1000 inklings && install --directory --owner inklings /runs
USER inklings
ENV INKLINGS_CACHE=/runs/.cache
WORKDIR /runs
VOLUME /runs

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["inklings", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["builtin:reference"]
