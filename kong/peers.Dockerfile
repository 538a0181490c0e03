# The `lab` binary, for its `peers` command: a development identity provider and a sample upstream.
# Built from the root of the repository, see docker-compose.yml.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked -p test-harness --bin lab

FROM debian:bookworm-slim
COPY --from=build /src/target/debug/lab /usr/local/bin/lab
USER nobody
ENTRYPOINT ["lab"]
