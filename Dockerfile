# syntax=docker/dockerfile:1
# Dependencies are built in a layer of their own, from the manifests alone: a change of our code rebuilds our code.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
RUN mkdir src tests && : > src/lib.rs && echo 'fn main() {}' > src/main.rs && cp src/main.rs tests/zz_coverage.rs \
    && cargo build --release --locked --bin sparsefit \
    && rm -r src tests target/release/deps/*sparsefit* target/release/.fingerprint/sparsefit-*
COPY . .
RUN cargo build --release --locked --bin sparsefit \
    && install -d -m 0700 /rootfs/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/sparsefit /usr/local/bin/sparsefit
COPY --from=build --chown=65532:65532 /rootfs/data /data
USER 65532:65532
ENV SPARSEFIT_DATA_DIR=/data \
    SPARSEFIT_LISTEN=0.0.0.0:7878 \
    SPARSEFIT_LOG_JSON=true
VOLUME /data
EXPOSE 7878
STOPSIGNAL SIGTERM
# Listening beyond loopback is refused until the operator decides: keys, or SPARSEFIT_INSECURE_NO_AUTH=true.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/usr/local/bin/sparsefit", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/sparsefit"]
CMD ["serve"]
