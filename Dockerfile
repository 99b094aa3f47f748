# docker build -t tidings .
# docker run -p 8080:8080 tidings
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package tidings-server

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/tidings /usr/local/bin/tidings
ENV TIDINGS_BIND=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/local/bin/tidings", "health"]
ENTRYPOINT ["/usr/local/bin/tidings"]
CMD ["serve"]
