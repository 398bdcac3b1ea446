"""The wire formats: our .proto files and what is generated from them."""
