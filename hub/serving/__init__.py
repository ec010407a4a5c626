"""The embedded server: TensorFlow Serving's contract on REST and gRPC, from `hub.serving.server.Server`."""
