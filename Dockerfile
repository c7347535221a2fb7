# The operator's image. The first stage has pip and the sources; what runs has only the virtual environment.
FROM python:3.11-slim AS build
RUN python -m venv /opt/hpc-operator
ENV PATH=/opt/hpc-operator/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# Dependencies first: this layer stays while only our own code changes.
COPY requirements.lock ./
RUN pip install --require-hashes --no-deps --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator ./operator
RUN pip install --no-deps . && pip uninstall --yes pip

FROM python:3.11-slim
LABEL org.opencontainers.image.source=https://github.com/azurehpc/azure-hpc-operator \
      org.opencontainers.image.licenses=MIT
COPY --from=build /opt/hpc-operator /opt/hpc-operator
ENV PATH=/opt/hpc-operator/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, because the kubelet can check runAsNonRoot only then.
USER 65532:65532
ENTRYPOINT ["hpc-operator"]
CMD ["run"]
